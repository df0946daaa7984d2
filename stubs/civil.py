"""Numbers and birth dates of people who do not exist: NIRs of every shape, calendar and lunar dates. Pure.

A NIR is one first digit, year, month, department, commune, order number, then a key. The order number carries
who the insured is within a block of households, the other parts carry which block: so two insured never share
a NIR, and none has to be remembered. The fictitious numbers that pharmacies use for secrecy (month and
department 55) are outside every shape below.
"""

from __future__ import annotations

from dataclasses import dataclass
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

    @property
    def capacity(self) -> int:
        """How many NIRs one insured of the block can be given."""
        parts = len(self.firsts) * len(self.months) * len(self.departments) * len(self.communes)
        return parts * self.years * _ORDER_STEPS


class Nir(NamedTuple):
    """A NIR of 15 characters, its two-digit year counted from the shape's first, and its month."""

    text: str
    year: int
    month: int


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
MIGRANT: Final = Shape((5, 6), 20, tuple(range(100)), _MAINLAND, range(1000), dated=False)
PROVISIONAL: Final = Shape((7, 8), 20, tuple(range(100)), _MAINLAND, range(1000), dated=False)


def make_nir(shape: Shape, spread: int, ordinal: int, first_year: int) -> Nir:
    """The NIR that a block's insured number `ordinal` gets for `spread`, one to one below the shape's capacity.

    `first_year` is the earliest birth year that the shape may draw; it is of no use to undated shapes.
    """
    rest, year = divmod(spread, shape.years)
    rest, month = divmod(rest, len(shape.months))
    rest, department = divmod(rest, len(shape.departments))
    rest, commune = divmod(rest, len(shape.communes))
    step, first = divmod(rest, len(shape.firsts))
    digits = (first_year + year) % 100 if shape.dated else 10 + year
    head = (shape.firsts[first] * 100 + digits) * 100 + shape.months[month]
    place = shape.departments[department]
    tail = shape.communes[commune] * 1000 + ordinal + 1 + step * ORDERS_PER_BLOCK
    number = (head * 100 + (_KEY_OF_CORSICA.get(place) or int(place))) * 1_000_000 + tail
    return Nir(f"{head}{place}{tail:06d}{97 - number % 97:02d}", year, shape.months[month])


#: Months and days as registers write them for people whose birth date is known in part or by a lunar calendar.
_LUNAR: Final = ("00-00", "13-00", "00-15", "07-00", "14-35", "20-41", "06-32", "31-12")


def birth_date(year: int, nir: Nir, chance: int) -> str:
    """The birth date of an insured: the NIR's own month, or a lunar date where that month is none."""
    if nir.month > 12 or nir.month == 0:
        return f"{year}-{_LUNAR[chance % len(_LUNAR)]}"
    return f"{year}-{nir.month:02d}-{1 + chance % 28:02d}"


def plain_date(year: int, chance: int) -> str:
    """A birth date of the calendar."""
    return f"{year}-{1 + chance % 12:02d}-{1 + chance // 12 % 28:02d}"
