"""How old an AMC's extract is. Pure."""

from __future__ import annotations

import datetime as dt

from service.rights.model import Freshness

_DAY = dt.timedelta(days=1)
_FRESH = dt.timedelta(hours=24)
_AGING = dt.timedelta(hours=72)


def age_days(extracted_at: dt.datetime, now: dt.datetime) -> int:
    """Whole days of 24 hours since the extract; negative if it lies in the future."""
    return (now - extracted_at) // _DAY


def freshness(extracted_at: dt.datetime, now: dt.datetime, max_age_days: int) -> Freshness:
    """The label of an extract's age. `max_age_days` counts whole days, as everywhere in the decision."""
    age = now - extracted_at
    if age <= _FRESH:
        return Freshness.FRESH
    if age <= _AGING:
        return Freshness.AGING
    return Freshness.STALE if age // _DAY <= max_age_days else Freshness.EXPIRED
