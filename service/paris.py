"""Days and hours as a pharmacy lives them: in Europe/Paris, of 23 to 25 hours. Pure."""

from __future__ import annotations

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

PARIS: Final = ZoneInfo("Europe/Paris")


def paris_date(instant: dt.datetime) -> dt.date:
    """The date in Paris at an aware instant: the day that budgets, extracts and reports mean."""
    return instant.astimezone(PARIS).date()


def paris_day(now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The instants (UTC) at which the Paris day of `now` begins and ends."""
    start = now.astimezone(PARIS).replace(hour=0, minute=0, second=0, microsecond=0)
    # Adding a day to local midnight is local midnight again, also across a change of summer time.
    return start.astimezone(dt.UTC), (start + dt.timedelta(days=1)).astimezone(dt.UTC)
