"""The stand-in answers in a journal, opened with an officer's key, one after the other in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from service.errors import JournalDamaged
from service.journal.selection import Reading
from service.reconcile.recorded import Recorded, parse_recorded


class Left(StrEnum):
    """Why an answer is not asked again."""

    FROM_UPSTREAM = "from_upstream"
    FICTITIOUS_NIR = "fictitious_nir"


class Journals:
    """One pass over what `reading` gives. What was passed over, and what could not be read, is told after it."""

    def __init__(self, reading: Reading) -> None:
        self._reading: Final = reading
        self.left: Counter[Left] = Counter()

    @property
    def sealed_to_others(self) -> list[str]:
        """Segments with answers of the period whose officers are others."""
        return self._reading.to_others

    @property
    def broken_off(self) -> dict[str, str]:
        """Why a segment, or something in it, could not be read; `relais journal verify` explains it."""
        sealed, others = self._reading.sealed, self._reading.to_others
        return {name: why for name, why in sealed.items() if name not in others} | self._reading.broken_off

    def recorded(self) -> Iterator[Recorded]:
        """Every stand-in answer of the period, oldest segment first. Raises OSError."""
        for journal, opened in self._reading.entries():
            if opened.entry.sealed is None:
                self.left[Left.FICTITIOUS_NIR] += 1
            elif opened.content is not None:
                try:
                    recorded = parse_recorded(journal, opened, opened.content)
                except JournalDamaged as error:
                    self._reading.damaged(journal, error.detail)
                    continue
                if recorded is None:
                    self.left[Left.FROM_UPSTREAM] += 1
                else:
                    yield recorded
