"""A later day's delivery of a population: most people as they were, some of them changed. Pure.

Whether and how a person changes follows from who they are and from the seed alone, so the same delivery can be made
again. Of the people changed, a quarter each: had their contracts closed, got other rates, are gone, and were joined
by somebody new.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, Protocol

Row = dict[str, Any]
_SCALE: Final = 1_000_000


class Change(IntEnum):
    """What happened to a person since the first delivery."""

    CLOSED = 0
    OTHER_RATES = 1
    GONE = 2
    JOINED = 3


class Population(Protocol):
    """What a delivery needs of the people it is about."""

    def places(self) -> Iterator[tuple[int, int]]:
        """Block and seat of every row."""
        ...

    def row(self, block: int, number: int) -> Row:
        """The row of a place as it was delivered first."""
        ...

    def stranger(self, block: int, number: int) -> Row:
        """A row of somebody who was not delivered, another one for each place."""
        ...


class Delivery:
    """The rows of `population` after `percent` of its people changed; contracts that end do so on `day`."""

    def __init__(self, population: Population, percent: float, seed: int, day: str) -> None:
        if not 0 <= percent <= 100:
            raise ValueError("between 0 and 100 percent of the people can change")
        self._population = population
        self._threshold = round(percent * _SCALE / 100)
        self._seed = seed
        self._day = day

    def rows(self) -> Iterator[Row]:
        """Every row, in the order of the first delivery."""
        population = self._population
        for block, number in population.places():
            row = population.row(block, number)
            change = self.change(row)
            if change is Change.CLOSED:
                yield {**row, "closed_on": self._day}
            elif change is Change.OTHER_RATES:
                yield {**row, "rates": {code: rate + 5 for code, rate in row["rates"].items()}}
            elif change is not Change.GONE:
                yield row
            if change is Change.JOINED:
                yield population.stranger(block, number)

    def change(self, row: Row) -> Change | None:
        """What happened to the person of a row; the same for all their rows."""
        person = f"{row['nir']}|{row['birth_date']}|{row['birth_rank']}|{self._seed}"
        chance, kind = divmod(zlib.crc32(person.encode()), len(Change))
        return Change(kind) if chance % _SCALE < self._threshold else None
