"""The lives a contract can lead around the day of the extract. Pure.

A kind is a function of a chance number, of a number of days that all contracts of its household share, and of
`Days`. It gives the dated columns of one source row. Offsets are days from today: -1 is yesterday.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

Days = Sequence[str]
Suspensions = list[list[str | None]]
_PAST, _FUTURE = 2200, 900

ALL: Final[list[str]] = []
PHARMACY: Final = ["LARA", "PHAR", "RADL"]
HOSPITAL: Final = ["HOSP"]
SIGHT: Final = ["AUDI", "DENT", "OPTI"]


class Life(NamedTuple):
    """The dated columns of a source row, and its domains."""

    valid_from: str
    valid_to: str | None = None
    card_valid_to: str | None = None
    closed_on: str | None = None
    suspended: Suspensions = []  # noqa: RUF012 - shared on purpose: rows are written, never changed
    domains: list[str] = ALL


Kind = Callable[[int, int, Days], Life]


def days_around(today: dt.date) -> Days:
    """ISO dates by offset from today; Python's negative indices make `days[-1]` yesterday."""
    return [(today + dt.timedelta(offset)).isoformat() for offset in (*range(_FUTURE), *range(-_PAST, 0))]


def plain(chance: int, shared: int, days: Days) -> Life:
    """Open, and far from both ends."""
    end = days[60 + chance % 300]
    return Life(days[-100 - chance % 1900], end, end if shared & 1 else None)


def endless(chance: int, _shared: int, days: Days) -> Life:
    """Open, without an online end."""
    return Life(days[-100 - chance % 1900], None, days[30 + chance % 500])


def listed(chance: int, _shared: int, days: Days) -> Life:
    """Open, for the domains it lists, pharmacy among them."""
    return Life(days[-90 - chance % 900], days[60 + chance % 300], domains=PHARMACY)


def resumed(chance: int, _shared: int, days: Days) -> Life:
    """Open again after a suspension."""
    pause: Suspensions = [[days[-60 - chance % 30], days[-20 - chance % 30]]]
    return Life(days[-200 - chance % 900], days[60 + chance % 300], suspended=pause)


def hospital(chance: int, _shared: int, days: Days) -> Life:
    """Pays at the hospital only."""
    return Life(days[-90 - chance % 900], days[60 + chance % 300], domains=HOSPITAL)


def sight(chance: int, _shared: int, days: Days) -> Life:
    """Pays for eyes, ears and teeth only."""
    return Life(days[-90 - chance % 900], None, domains=SIGHT)


def renewing(chance: int, shared: int, days: Days) -> Life:
    """About to renew: it ends within days of the extract."""
    end = days[chance % 9 - 4]
    return Life(days[-365 - chance % 700], end, end if shared & 1 else None)


def shortened(chance: int, _shared: int, days: Days) -> Life:
    """Ends online within days, while its card says later: a termination, not a renewal."""
    return Life(days[-365 - chance % 700], days[chance % 9 - 4], days[90 + chance % 200])


def lapsed(chance: int, _shared: int, days: Days) -> Life:
    """Over for 5 to 58 days when extracted; whether that is closed is for its AMC's policy to say."""
    end = days[-5 - chance % 54]
    return Life(days[-365 - chance % 700], end, end)


def terminated(chance: int, shared: int, days: Days) -> Life:
    """Ended before the end printed on the card, either in closed_on alone or in valid_to as well."""
    closed, printed = 2 + chance % 45, days[40 + chance % 200]
    return Life(days[-365 - chance % 700], days[-closed - 1] if shared & 1 else printed, printed, days[-closed])


def terminating(chance: int, _shared: int, days: Days) -> Life:
    """Open today, its termination already known."""
    printed = days[60 + chance % 200]
    return Life(days[-365 - chance % 700], printed, printed, days[2 + chance % 30])


def suspended(chance: int, _shared: int, days: Days) -> Life:
    """Suspended until a known day."""
    pause: Suspensions = [[days[-5 - chance % 40], days[4 + chance % 60]]]
    return Life(days[-365 - chance % 700], days[90 + chance % 200], suspended=pause)


def suspended_endless(chance: int, _shared: int, days: Days) -> Life:
    """Suspended, and nobody knows until when."""
    pause: Suspensions = [[days[-100], days[-80]], [days[-5 - chance % 40], None]]
    return Life(days[-365 - chance % 700], days[90 + chance % 200], suspended=pause)


def not_started(chance: int, _shared: int, days: Days) -> Life:
    """Signed, but its first day is yet to come."""
    return Life(days[2 + chance % 60], days[400 + chance % 100])


def left(chance: int, shared: int, days: Days) -> Life:
    """The contract with the insurer that a household left."""
    printed = days[30 + chance % 200]
    return Life(days[-500 - chance % 900], days[-shared - 1], printed, days[-shared])


def joined(_chance: int, shared: int, days: Days) -> Life:
    """The contract with the insurer that it joined the same day."""
    return Life(days[-shared], days[365 - shared])


def leaving(chance: int, shared: int, days: Days) -> Life:
    """Ends within days, the next insurer's contract being signed."""
    return Life(days[-500 - chance % 900], days[shared % 7 - 1])


def joining(_chance: int, shared: int, days: Days) -> Life:
    """Begins the day after `leaving` ends."""
    return Life(days[shared % 7], days[365 + shared % 7])


def former(chance: int, shared: int, days: Days) -> Life:
    """Over so long ago that a snapshot has no right to keep it."""
    over = 70 + chance % 800
    if shared & 1:
        return Life(days[-over - 400], days[-over])
    return Life(days[-over - 400], days[100], days[100], days[-over])
