"""A month of ordinary pharmacies, to tune the sentinel on: who asks for whom, second by second.

Nobody here exists. The month begins on a Monday. It has what makes honest pharmacies look odd: the Monday rush, duty
nights and Sundays with strangers at the counter, weeks of duty in the country, three pharmacies at one address with
the same customers, one that never closes, one near a frontier whose patients are often unknown, one that closes for a
week, one that joins late, one that moves from a hub to a key of its own, a wave of flu in one region, a bad snapshot
for a day.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final, NamedTuple

DAY: Final = 86_400
_HOUR: Final = 3_600
_SECTOR: Final = 20
_WEEKDAY: Final = (1.35, 1.0, 1.0, 0.95, 1.1, 0.65, 0.0)
_OPEN_HOURS: Final = (8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
_HOUR_WEIGHTS: Final = (3, 9, 13, 12, 6, 4, 8, 9, 11, 12, 10, 3)
_MONDAY_WEIGHTS: Final = (5, 15, 17, 14, 6, 4, 8, 9, 10, 10, 8, 3)
_NIGHT_HOURS: Final = (20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31)
_NIGHT_WEIGHTS: Final = (10, 8, 6, 4, 2, 1, 1, 1, 1, 1, 2, 4)
BAD_DAY: Final = 16
_BAD_HOURS: Final = range(10, 16)
_FLU_DAYS: Final = range(21, 25)
_JOIN_DAY: Final = 12
_MOVE_DAY: Final = 9
_MASK: Final = (1 << 64) - 1


class Ask(NamedTuple):
    """One question: its second in the month, who asks for which pharmacy, about whom, and what comes of it."""

    second: int
    finess: str
    client: str
    nir: str
    birth_date: str
    unknown: bool
    canary: bool = False
    thief: str = ""


class Pharmacy(NamedTuple):
    """An ordinary pharmacy: lookups on a usual day, where it lies, how often it asks for somebody unknown."""

    number: int
    finess: str
    client: str
    daily: float
    unknown: float
    department: int
    commune: int
    customers: int
    loyal: float
    sector: int
    rural: bool
    closed: range
    joins: int
    moves: bool
    never_closes: bool


def _mix(value: int) -> int:
    """64 bits that look random, from a number (the finaliser of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31


def somebody(person: int, home: tuple[int, int] | None = None) -> tuple[str, str]:
    """NIR (13 characters) and birth date of person number `person`; a third were born where they live."""
    bits = _mix(person)
    department, commune = 1 + (bits >> 8) % 95, 1 + (bits >> 20) % 400
    if home is not None and bits % 100 < 35:
        department, commune = home
    year, month = 30 + (bits >> 32) % 80, 1 + (bits >> 40) % 12
    order = 1 + (bits >> 44) % (120 if home is None else 400)
    nir = f"{1 + (bits >> 60) % 2}{year % 100:02d}{month:02d}{department:02d}{commune:03d}{order:03d}"
    return nir, f"{1900 + year}-{month:02d}-{1 + (bits >> 54) % 28:02d}"


def wrong_date(birth_date: str, chance: random.Random) -> str:
    """Another day of the same month."""
    return f"{birth_date[:8]}{(int(birth_date[8:]) + chance.randrange(1, 27)) % 28 + 1:02d}"


def poisson(chance: random.Random, mean: float) -> int:
    """A number of arrivals; by its normal approximation where the mean is large."""
    if mean > 40:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    number, product, least = 0, chance.random(), math.exp(-mean)
    while product > least:
        number += 1
        product *= chance.random()
    return number


class Month:
    """`pharmacies` pharmacies for `days` days; the same seed gives the same month."""

    def __init__(self, pharmacies: int = 2_000, days: int = 30, seed: int = 1) -> None:
        self.days = days
        self._seed = seed
        chance = random.Random(seed)
        self.pharmacies = [_pharmacy(index, chance) for index in range(pharmacies)]

    def asks(self, day: int) -> list[Ask]:
        """All questions of a day and of the night after it, in order."""
        asks: list[Ask] = []
        for pharmacy in self.pharmacies:
            chance = random.Random((self._seed * 1_000 + day) * 100_000 + pharmacy.number)
            if day < pharmacy.joins or day in pharmacy.closed:
                continue
            for second, strange in _visits(pharmacy, day, chance):
                asks.extend(_visit(pharmacy, day, second, chance, strange=strange))
        asks.sort()
        return asks


def _pharmacy(index: int, chance: random.Random) -> Pharmacy:
    daily = min(400.0, max(20.0, chance.lognormvariate(math.log(95), 0.55)))
    unknown = min(0.2, max(0.02, chance.lognormvariate(math.log(0.07), 0.45)))
    shared = index - index % 50 if index % 50 < 3 else index
    rural = (index // _SECTOR) % 10 == 0
    start = chance.randrange(3, 20)
    return Pharmacy(
        number=index,
        finess=f"99{index:07d}",
        client=f"pharmacy-{index:05d}",
        daily=min(daily, 60.0) if rural else daily,
        unknown=0.25 if index % 97 == 5 else unknown,
        department=1 + index // _SECTOR % 95,
        commune=1 + index * 7 % 400,
        customers=(shared + 1) * 1_000_000,
        loyal=chance.uniform(0.5, 1.3),
        sector=index // _SECTOR,
        rural=rural,
        closed=range(start, start + 6) if index % 25 == 7 else range(0),
        joins=_JOIN_DAY if index % 60 == 11 else 0,
        moves=index % 10 == 3,
        never_closes=index % 200 == 50,
    )


def on_duty(pharmacy: Pharmacy, day: int) -> bool:
    """Whether it is this pharmacy's turn to stay open: a day in towns, a week in the country."""
    turn = day // 7 if pharmacy.rural else day
    return (turn + pharmacy.sector) % _SECTOR == pharmacy.number % _SECTOR


def _visits(pharmacy: Pharmacy, day: int, chance: random.Random) -> Iterator[tuple[int, bool]]:
    """The seconds at which somebody comes to the counter, and whether as a stranger on a day of duty."""
    weekday = day % 7
    daily = pharmacy.daily * chance.lognormvariate(0, 0.12)
    if day in _FLU_DAYS and pharmacy.sector % 10 == 4:
        daily *= 1.3
    weights = _MONDAY_WEIGHTS if weekday == 0 else _HOUR_WEIGHTS
    for hour in chance.choices(_OPEN_HOURS, weights, k=poisson(chance, daily * _WEEKDAY[weekday])):
        yield hour * _HOUR + chance.randrange(_HOUR), False
    duty = on_duty(pharmacy, day)
    if not duty and not pharmacy.never_closes:
        return
    if duty and weekday == 6:
        for hour in chance.choices(_OPEN_HOURS, _HOUR_WEIGHTS, k=poisson(chance, max(60, 1.3 * pharmacy.daily))):
            yield hour * _HOUR + chance.randrange(_HOUR), True
    nightly = 6 if pharmacy.rural else min(45, max(12, 0.35 * pharmacy.daily))
    for hour in chance.choices(_NIGHT_HOURS, _NIGHT_WEIGHTS, k=poisson(chance, nightly)):
        yield hour * _HOUR + chance.randrange(_HOUR), True


def _customer(pharmacy: Pharmacy, day: int, chance: random.Random) -> int:
    """Who comes: every four weeks for a chronic illness, every few days, or now and then."""
    kind, daily = chance.random() / pharmacy.loyal, round(pharmacy.daily)
    if kind < 0.3:
        return pharmacy.customers + (day + chance.randrange(-1, 2)) % 28 * daily + chance.randrange(daily)
    if kind < 0.45:
        return pharmacy.customers + 100_000 + chance.randrange(daily)
    return pharmacy.customers + 200_000 + chance.randrange(25 * daily)


def _visit(pharmacy: Pharmacy, day: int, second: int, chance: random.Random, *, strange: bool) -> Iterator[Ask]:
    """The question about one visitor; one in two whose birth date was mistyped is asked for again."""
    home = pharmacy.department, pharmacy.commune
    if strange:
        nir, birth_date = somebody((1 << 40) + pharmacy.sector * 1_000_000 + chance.randrange(200_000), home)
    else:
        nir, birth_date = somebody(_customer(pharmacy, day, chance), home)
    share = pharmacy.unknown * (1.8 if strange else 1.0)
    if day == BAD_DAY and second // _HOUR in _BAD_HOURS:
        share = 0.2 + 0.5 * (_mix(pharmacy.number) % 100) / 100
    client = "hub-0" if pharmacy.moves and day < _MOVE_DAY else pharmacy.client
    at = day * DAY + second
    if chance.random() >= share:
        yield Ask(at, pharmacy.finess, client, nir, birth_date, unknown=False)
        return
    mistyped = chance.random() < 0.5
    typed = wrong_date(birth_date, chance) if mistyped else birth_date
    yield Ask(at, pharmacy.finess, client, nir, typed, unknown=True)
    if mistyped:
        yield Ask(at + 20 + chance.randrange(40), pharmacy.finess, client, nir, birth_date, unknown=False)
