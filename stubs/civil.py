"""Numbers and birth dates of people who do not exist: NIRs of every shape, calendar and lunar dates. Pure.

A NIR is one first digit, year, month, department, commune, order number, then a key. The order number carries
who the insured is within a block of households, the other parts carry which block: so two insured never share
a NIR, and none has to be remembered. The fictitious numbers that pharmacies use for secrecy (month and
department 55) are outside every shape below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final, NamedTuple

#: Order numbers 1 to 999 are dealt out among this many insured of a block.
ORDERS_PER_BLOCK: Final = 80
_ORDER_STEPS: Final = 999 // ORDERS_PER_BLOCK
_KEY_OF_CORSICA: Final = {"2A": 19, "2B": 18}


@dataclass(frozen=True, slots=True)
class Shape:
    """A family of NIRs: the values each part may take. `dated` is false where the parts tell no birth date."""

    firsts: tuple[int, ...]
    years: int
    months: tuple[int, ...]
    departments: tuple[str, ...]
    communes: range
    dated: bool = True


_CALENDAR = tuple(range(1, 13))
# Months 20 to 42 and 50 to 99 mean "not known"; 55 is left out because fictitious NIRs have it.
_UNKNOWN = (*range(20, 43), *(month for month in range(50, 100) if month != 55))
_MAINLAND = tuple(f"{number:02d}" for number in range(1, 96) if number != 20)
_ADULT_YEARS = 24

METROPOLITAN: Final = Shape((1, 2), _ADULT_YEARS, _CALENDAR, _MAINLAND, range(1, 401))
CORSICAN: Final = Shape((1, 2), _ADULT_YEARS, _CALENDAR, ("2A", "2B"), range(1, 361))
OVERSEAS: Final = Shape((1, 2), _ADULT_YEARS, _CALENDAR, ("97",), range(101, 691))
ABROAD: Final = Shape((1, 2), _ADULT_YEARS, _CALENDAR, ("99",), range(101, 515))
UNKNOWN_MONTH: Final = Shape((1, 2), _ADULT_YEARS, _UNKNOWN, _MAINLAND, range(1, 401))
TEMPORARY: Final = Shape((3, 4), _ADULT_YEARS, _CALENDAR, ("99",), range(101, 515))
# For passing migrants [56][12]… and provisional numbers [78][12]… only the first two digits mean anything.
MIGRANT: Final = Shape((5, 6), 20, tuple(range(100)), _MAINLAND, range(200), dated=False)
PROVISIONAL: Final = Shape((7, 8), 20, tuple(range(100)), _MAINLAND, range(200), dated=False)


class Head(NamedTuple):
    """The first five characters of a NIR, their part in its key, and the birth year and month they stand for."""

    text: str
    residue: int
    year: int
    month: int


class Numbering:
    """The NIRs of a shape whose earliest birth year is `first_year`."""

    def __init__(self, shape: Shape, first_year: int) -> None:
        years = range(first_year, first_year + shape.years)
        self._heads = [
            _head(shape, first, year, month) for first, year, month in product(shape.firsts, years, shape.months)
        ]
        self._places = _places(shape)
        #: How many NIRs one insured of the block can be given.
        self.capacity = len(self._heads) * len(self._places) * _ORDER_STEPS

    def nir(self, spread: int, ordinal: int) -> tuple[str, Head]:
        """The NIR of 15 characters that a block's insured number `ordinal` gets for `spread`: one to one."""
        rest, number = divmod(spread, len(self._heads))
        head = self._heads[number]
        step, number = divmod(rest, len(self._places))
        place, residue = self._places[number]
        order = ordinal + 1 + step * ORDERS_PER_BLOCK
        return f"{head.text}{place}{order:03d}{97 - (head.residue + residue + order) % 97:02d}", head


def _head(shape: Shape, first: int, year: int, month: int) -> Head:
    # The second digit of an undated number is 1 or 2 whatever the year.
    digits = year % 100 if shape.dated else 10 + year % 20
    number = (first * 100 + digits) * 100 + month
    return Head(f"{number}", number * 10**8 % 97, year, month)


@cache
def _places(shape: Shape) -> list[tuple[str, int]]:
    """Department and commune of every place of a shape, with their part in the key."""
    return [
        (f"{name}{commune:03d}", ((_KEY_OF_CORSICA.get(name) or int(name)) * 1000 + commune) * 1000 % 97)
        for name, commune in product(shape.departments, shape.communes)
    ]


_DAYS: Final = tuple(f"{day:02d}" for day in range(1, 29))
_PLAIN: Final = tuple(f"-{month:02d}-{day}" for day in _DAYS for month in _CALENDAR)
#: Months and days as registers write them for people whose birth date is known in part or by a lunar calendar.
_LUNAR: Final = ("-00-00", "-13-00", "-00-15", "-07-00", "-14-35", "-20-41", "-06-32", "-31-12")
_OF_MONTH: Final = tuple(
    tuple(f"-{month:02d}-{day}" for day in _DAYS) if month in _CALENDAR else _LUNAR for month in range(100)
)


def insured_date(head: Head, chance: int) -> str:
    """The birth date of an insured: in the NIR's own month, or a lunar date where that month is none."""
    ends = _OF_MONTH[head.month]
    return f"{head.year}{ends[chance % len(ends)]}"


def plain_date(year: int, chance: int) -> str:
    """A birth date of the calendar."""
    return f"{year}{_PLAIN[chance % len(_PLAIN)]}"
