"""What the sentinel counts: one sheet of fixed size for each pharmacy, and the sums of the fleet. Pure.

A sheet belongs to a FINESS, not to a client: whoever splits their questions over several identities of a pharmacy is
counted as one, and a pharmacy that moves from a hub to a key of its own is not new. It takes under 5 KB, whatever
is asked: three bit fields (512 + 512 + 2048 bytes) and some thirty numbers.

Times are local hours: the day's ordinal times 24, plus the hour in Europe/Paris (`local_hour`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

import msgspec

from service.access.marks import NUMBERS, PERSONS, Mark

#: Clients of one FINESS that are told apart on its sheet; more than that count as one more.
MAX_CLIENTS: Final = 8
OTHERS: Final = "*"
#: Local hours at which only pharmacies on duty, and the few that never close, have anybody at the counter.
NIGHT_HOURS: Final = frozenset({22, 23, 0, 1, 2, 3, 4, 5})


def local_hour(paris: dt.datetime) -> int:
    """The number of an hour, from a moment in Europe/Paris. The hour that summer time repeats is one long hour."""
    return paris.toordinal() * 24 + paris.hour


class Sums(msgspec.Struct, gc=False):
    """Answers in some span of time, and what was remarkable about them.

    `strangers` are people never asked for before, `night` those of them asked for at night, `near` numbers whose block
    had been asked for already: all three are estimates without bias, since bits collide.
    """

    lookups: int = 0
    unknown: int = 0
    canaries: int = 0
    numbers: int = 0
    strangers: float = 0.0
    night: float = 0.0
    near: float = 0.0

    def clear(self) -> None:
        """Start anew."""
        self.lookups = self.unknown = self.canaries = self.numbers = 0
        self.strangers = self.night = self.near = 0.0

    def add(self, mark: Mark, *, number: int, stranger: float, night: float, near: float) -> None:
        """One more answer."""
        self.lookups += 1
        self.unknown += mark.unknown
        self.canaries += mark.canary
        self.numbers += number
        self.strangers += stranger
        self.night += night
        self.near += near


class Bits(msgspec.Struct, gc=False):
    """A field of bits that knows how many are set."""

    field: bytearray
    count: int = 0

    def set(self, place: int) -> bool:
        """Whether the bit was not set before; it is now."""
        byte, bit = place >> 3, 1 << (place & 7)
        if self.field[byte] & bit:
            return False
        self.field[byte] |= bit
        self.count += 1
        return True

    def clear(self) -> None:
        """Forget all."""
        self.field = bytearray(len(self.field))
        self.count = 0


class Habit(msgspec.Struct, gc=False):
    """What is usual for a pharmacy, as multiples of the fleet's mean on the same days; `unknown` is a share.

    `days` counts those it was learnt from; `nights` is a number of strangers. `carried` is the excess of strangers left
    from the days before, in usual days, `carried_nights` that of the nights, in people (cumulative sums: Page, 1954).
    """

    days: int = 0
    lookups: float = 0.0
    strangers: float = 0.0
    unknown: float = 0.0
    nights: float = 0.0
    carried: float = 0.0
    carried_nights: float = 0.0


class Sheet(msgspec.Struct, gc=False):
    """The counters of one FINESS: this hour, this day, and its habit."""

    hour: int
    this_hour: Sums = msgspec.field(default_factory=Sums)
    today: Sums = msgspec.field(default_factory=Sums)
    habit: Habit = msgspec.field(default_factory=Habit)
    clients: dict[str, int] = msgspec.field(default_factory=dict)
    numbers: Bits = msgspec.field(default_factory=lambda: Bits(bytearray(NUMBERS // 8)))
    blocks: Bits = msgspec.field(default_factory=lambda: Bits(bytearray(NUMBERS // 8)))
    people: Bits = msgspec.field(default_factory=lambda: Bits(bytearray(PERSONS // 8)))

    @property
    def day(self) -> int:
        """The day `today` is about."""
        return self.hour // 24

    def count(self, client: str, mark: Mark, *fleet: Sums, late: bool = False) -> None:
        """One more answer of the present hour, here and in the sums of the fleet; a `late` one of the day only."""
        stranger = near = 0.0
        filled = self.people.count / PERSONS
        if self.people.set(mark.person):
            # A new person whose bit is set already goes unseen: those who are seen stand for them.
            stranger = 1 / (1 - filled)
        number = self.numbers.set(mark.number)
        if number:
            chance = self.blocks.count / NUMBERS
            near = -chance if self.blocks.set(mark.block) else 1 - chance
        night = stranger if self.hour % 24 in NIGHT_HOURS else 0.0
        for sums in (*(() if late else (self.this_hour,)), self.today, *fleet):
            sums.add(mark, number=number, stranger=stranger, night=night, near=near)
        name = client if client in self.clients or len(self.clients) < MAX_CLIENTS else OTHERS
        self.clients[name] = self.clients.get(name, 0) + 1

    def begin_hour(self, hour: int) -> None:
        """A new hour of the same day."""
        self.hour = hour
        self.this_hour.clear()

    def begin_day(self, hour: int) -> None:
        """A new day: everything but the habit and the people asked for before starts anew."""
        self.begin_hour(hour)
        self.today.clear()
        self.numbers.clear()
        self.blocks.clear()
        self.clients.clear()

    def forget_people(self) -> None:
        """The key of the period has changed: old places mean nothing, and whoever is asked for is a stranger."""
        self.people.clear()
        self.habit.strangers = self.habit.lookups
        self.habit.carried = 0.0


class FleetDay(msgspec.Struct, frozen=True, gc=False):
    """The means of a day that is over, for each pharmacy known then."""

    lookups: float
    strangers: float


class Fleet:
    """The sums of all pharmacies: this hour, today, and the means of the last `DAYS` days."""

    DAYS: Final = 8

    def __init__(self, hour: int) -> None:
        self.hour = hour
        self.this_hour = Sums()
        self.today = Sums()
        self.pharmacies = 0
        self.days: dict[int, FleetDay] = {}
        self._most = FleetDay(0.0, 0.0)

    def advance(self, hour: int) -> None:
        """Come to an hour; one that is past changes nothing (a late mark counts in the present hour)."""
        if hour <= self.hour:
            return
        if hour // 24 > self.hour // 24:
            many = max(1, self.pharmacies)
            self.days[self.hour // 24] = FleetDay(self.today.lookups / many, self.today.strangers / many)
            self.days = {day: means for day, means in self.days.items() if day > hour // 24 - 1 - self.DAYS}
            self._most = _most_of(self.days)
            self.today.clear()
        self.hour = hour
        self.this_hour.clear()

    def recall(self, this_hour: Sums, today: Sums, pharmacies: int, days: dict[int, FleetDay]) -> None:
        """Go on where another stood in this hour."""
        self.this_hour, self.today, self.pharmacies, self.days = this_hour, today, pharmacies, days
        self._most = _most_of(days)

    def forget_people(self) -> None:
        """The key of the period has changed: on a usual day of the next one, all who are asked for are strangers."""
        self.days = {day: FleetDay(means.lookups, means.lookups) for day, means in self.days.items()}
        self._most = FleetDay(self._most.lookups, self._most.lookups)

    def usual_day(self) -> FleetDay:
        """The means of an ordinary working day: the most of the last days, or today where there are none."""
        if self.days:
            return self._most
        many = max(1, self.pharmacies)
        return FleetDay(self.today.lookups / many, self.today.strangers / many)


def _most_of(days: Mapping[int, FleetDay]) -> FleetDay:
    lookups = max((day.lookups for day in days.values()), default=0.0)
    return FleetDay(lookups, max((day.strangers for day in days.values()), default=0.0))
