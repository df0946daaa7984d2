"""How much each client reads of what it may: today, over a week, and whether that is more than usual. Pure.

Figures are upper bounds, for they serve to find who reads too much: a lookup that a worker has in hand counts as used,
and each answer about somebody known as another person.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from service.access.budget import OUTAGE_SHARE, Limits, left_of
from service.access.clients import Client
from service.spent import NOTHING

#: A week, today included; and as many days before today are what is usual.
WEEK_DAYS: Final = 7


class Spending(Protocol):
    """What was spent over some days.

    `lookups` and `unknown` hold `lent` lookups whose use is not known yet; answers of the outage share stand beside.
    """

    @property
    def lookups(self) -> int:
        """Charged to the budget, or lent."""
        ...

    @property
    def unknown(self) -> int:
        """Those of them about nobody known, or lent."""
        ...

    @property
    def lent(self) -> int:
        """Those of them in a worker's hands."""
        ...

    @property
    def outage(self) -> int:
        """Charged to the outage share."""
        ...

    @property
    def outage_unknown(self) -> int:
        """Those of them about nobody known."""
        ...

    @property
    def days(self) -> int:
        """On how many days."""
        ...


class Sort(StrEnum):
    """What puts a client first."""

    TODAY = "today"
    SHARE = "share"
    TREND = "trend"


class Flag(StrEnum):
    """What is to be known of a client beside its figures."""

    SUSPENDED = "suspended"
    PARTLY_SUSPENDED = "partly_suspended"
    SLOWED = "slowed"
    NOTED = "noted"
    USED_UP = "used_up"
    OUTAGE = "outage"
    LIMITED = "limited"
    NEW = "new"
    KEY_ENDING = "key_ending"
    UNREADABLE = "unreadable"


class Read(msgspec.Struct, frozen=True, gc=False):
    """What was read in a period, at most; `lent` of the lookups may not be used.

    `share` is the part of `ceiling`, the lookups that the period allows; None where nobody knows that.
    """

    lookups: int
    people_at_most: int
    lent: int
    ceiling: int | None
    share: float | None


class Place(msgspec.Struct, frozen=True, gc=False):
    """One FINESS of a client; `used_up` where nothing more is lent for it today, `week` None where it was not read."""

    finess: str
    today: Read
    used_up: bool
    week: Read | None = None


class Suspicion(msgspec.Struct, frozen=True, gc=False):
    """The hardest step of the sentinel about a client today; `held` says why it was only told, None where it was taken.

    `rules` are what was seen, `finess` whom it was asked for: empty where that is a hub as a whole.
    """

    at: dt.datetime
    finess: str
    step: str
    rules: tuple[str, ...]
    held: str | None


class Exposed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One client, against what it may.

    `usual` is its lookups on a day of the week before on which it asked, 0 where there was none; `trend` is today's
    against that. `outage` is today's lookups from the outage share, of at most `outage_ceiling`; they are in `today`
    too. `worst` is the FINESS of a hub that is closest to its budget today; `finess` is how many it has.
    """

    client: str
    client_class: str | None = msgspec.field(name="class")
    finess: int
    today: Read
    week: Read
    usual: float
    trend: float | None
    outage: int
    outage_ceiling: int | None
    flags: tuple[Flag, ...]
    limited_until: dt.datetime | None
    key_ends: dt.datetime | None
    suspicion: Suspicion | None
    worst: Place | None

    @property
    def share(self) -> float:
        """How close it is to a limit today: its own, or that of its worst FINESS."""
        own = self.today.share or 0.0
        return own if self.worst is None else max(own, self.worst.today.share or 0.0)


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What the orders say of a client: `terms` and `limits` None where its registration cannot be read, or is none."""

    terms: Client | None = None
    limits: Limits | None = None
    suspended: bool = False
    suspended_finess: frozenset[str] = frozenset()
    slowed: bool = False
    limited_until: dt.datetime | None = None
    key_ends: dt.datetime | None = None
    suspicion: Suspicion | None = None


class Spendings(NamedTuple):
    """What a client spent today, on the six days before, which make a week with it, and on the day before those."""

    today: Spending
    recent: Spending
    earlier: Spending


class Periods(NamedTuple):
    """The first and the last day of each of `Spendings`, as YYYY-MM-DD. None lies in two: no day is read twice."""

    today: tuple[str, str]
    recent: tuple[str, str]
    earlier: tuple[str, str]


def periods(today: dt.date) -> Periods:
    """The days up to a day in Europe/Paris."""

    def back(days: int) -> str:
        return (today - dt.timedelta(days)).isoformat()

    return Periods((back(0), back(0)), (back(WEEK_DAYS - 1), back(1)), (back(WEEK_DAYS), back(WEEK_DAYS)))


def expose(client: str, standing: Standing, spent: Spendings, worst: Place | None = None) -> Exposed:
    """A client's exposure."""
    terms, ceiling = standing.terms, _ceiling(standing.limits)
    days = spent.recent.days + spent.earlier.days
    usual = (_lookups(spent.recent) + _lookups(spent.earlier)) / days if days else 0.0
    return Exposed(
        client=client,
        client_class=None if terms is None else str(terms.client_class),
        finess=0 if terms is None else len(terms.finess),
        today=_read(spent.today, ceiling),
        week=_read(_both(spent.today, spent.recent), None if ceiling is None else ceiling * WEEK_DAYS),
        usual=round(usual, 1),
        trend=round(_lookups(spent.today) / usual, 2) if usual else None,
        outage=spent.today.outage,
        outage_ceiling=None if ceiling is None else ceiling // OUTAGE_SHARE,
        flags=tuple(_flags(standing, spent.today, worst, is_new=not usual)),
        limited_until=standing.limited_until,
        key_ends=standing.key_ends,
        suspicion=standing.suspicion,
        worst=worst,
    )


def place(finess: str, limits: Limits | None, today: Spending, recent: Spending | None = None) -> Place:
    """A FINESS of a client, against what the client may for each."""
    daily = None if limits is None else limits.daily
    return Place(
        finess=finess,
        today=_read(today, daily),
        used_up=limits is not None and _used_up(limits._replace(ceiling=None), today),
        week=None if recent is None else _read(_both(today, recent), None if daily is None else daily * WEEK_DAYS),
    )


def closest(limits: Limits | None, today: Mapping[str, Spending]) -> Place | None:
    """Of what was spent by FINESS, the one closest to its budget, which is the same for each; None if none asked."""
    most = max(today.items(), key=lambda one: (_lookups(one[1]), one[0]), default=None)
    return None if most is None or not _lookups(most[1]) else place(most[0], limits, most[1])


def ranked(clients: Iterable[Exposed], sort: Sort) -> list[Exposed]:
    """The clients by what they read today, how close they are to a limit, or how much more than usual they read."""
    key: Callable[[Exposed], float]
    match sort:
        case Sort.TODAY:
            key = lambda one: one.today.lookups  # noqa: E731 - one of three
        case Sort.SHARE:
            key = lambda one: one.share  # noqa: E731
        case Sort.TREND:
            # Twice as much is nothing where the usual is one: what counts is how many more.
            key = lambda one: one.today.lookups - one.usual  # noqa: E731
    return sorted(clients, key=lambda one: (-key(one), -one.week.lookups, one.client))


def most_exposed(clients: Iterable[Exposed]) -> Exposed | None:
    """The client that is closest to a limit today; None where nobody asked."""
    first = next(iter(ranked(clients, Sort.SHARE)), None)
    return first if first is not None and first.today.lookups else None


def _flags(standing: Standing, today: Spending, worst: Place | None, *, is_new: bool) -> Iterator[Flag]:
    used_up = standing.limits is not None and _used_up(standing.limits, today)
    found = {
        Flag.SUSPENDED: standing.suspended,
        Flag.PARTLY_SUSPENDED: bool(standing.suspended_finess),
        Flag.SLOWED: standing.slowed,
        Flag.NOTED: standing.suspicion is not None,
        Flag.USED_UP: used_up or (worst is not None and worst.used_up),
        Flag.OUTAGE: today.outage > 0,
        Flag.LIMITED: standing.limited_until is not None,
        Flag.NEW: is_new and _lookups(today) > 0,
        Flag.KEY_ENDING: standing.key_ends is not None,
        Flag.UNREADABLE: standing.terms is None,
    }
    return (flag for flag, holds in found.items() if holds)


def _ceiling(limits: Limits | None) -> int | None:
    """Lookups a day of the client as a whole."""
    if limits is None:
        return None
    return limits.daily if limits.ceiling is None else limits.ceiling


def _used_up(limits: Limits, today: Spending) -> bool:
    """Whether nothing more is lent. A hub as a whole is bound by its ceiling, not by what one FINESS may."""
    if limits.ceiling is not None:
        return today.lookups >= limits.ceiling
    return left_of(limits, (today.lookups, today.unknown), NOTHING) == 0


def _read(spent: Spending, ceiling: int | None) -> Read:
    lookups = _lookups(spent)
    # What is lent counts as unknown too in the store; whoever is asked for with it may be known.
    people = lookups - (spent.unknown - spent.lent) - spent.outage_unknown
    share = None if ceiling is None else round(lookups / ceiling, 4) if ceiling else float(lookups > 0)
    return Read(lookups, people, spent.lent, ceiling, share)


class _Both(NamedTuple):
    """Of two periods."""

    lookups: int
    unknown: int
    lent: int
    outage: int
    outage_unknown: int
    days: int


def _both(one: Spending, other: Spending) -> Spending:
    return _Both(
        one.lookups + other.lookups,
        one.unknown + other.unknown,
        one.lent + other.lent,
        one.outage + other.outage,
        one.outage_unknown + other.outage_unknown,
        one.days + other.days,
    )


def _lookups(spent: Spending) -> int:
    return spent.lookups + spent.outage
