"""The stand-in answers in a journal, opened with an officer's key, one after the other in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from service.errors import JournalDamaged, KeyRejected, SignatureRejected
from service.journal.entries import Entry
from service.journal.officer import OfficerPrivateKey, open_segment
from service.journal.segment import peek_header, segment_paths
from service.reconcile.recorded import Recorded, parse_recorded


class Left(StrEnum):
    """Why an answer is not asked again."""

    FROM_UPSTREAM = "from_upstream"
    FICTITIOUS_NIR = "fictitious_nir"


@dataclass(frozen=True, slots=True)
class Period:
    """Answers given at `since` or later and before `until`; instants as a journal writes them, "" without a limit."""

    since: str
    until: str

    def holds(self, entry: Entry) -> bool:
        """Whether an entry was recorded in it. Journals write instants in one form, which sorts as text."""
        return self.since <= entry.at and (not self.until or entry.at < self.until)


class Journals:
    """One pass over a journal's directory. What was passed over, and where it broke off, is told after it.

    `sealed_to_others` are segments whose officers are others; `broken_off` says by segment why its rest could not
    be read, which `relais journal verify` explains. `report` is told how many segments are read, of how many.
    """

    def __init__(
        self,
        directory: Path,
        officer: OfficerPrivateKey,
        period: Period,
        report: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        self._directory: Final = directory
        self._officer: Final = officer
        self._period: Final = period
        self._report = report
        self.left: Counter[Left] = Counter()
        self.sealed_to_others: list[str] = []
        self.broken_off: dict[str, str] = {}

    def recorded(self) -> Iterator[Recorded]:
        """Every stand-in answer of the period, oldest segment first. Raises OSError."""
        paths = segment_paths(self._directory)
        for number, path in enumerate(paths):
            self._report(number, len(paths))
            try:
                yield from self._segment(path)
            except (JournalDamaged, KeyRejected, SignatureRejected) as error:
                self.broken_off[path.stem] = error.detail
            except FileNotFoundError:
                self.broken_off[path.stem] = "its key file is missing"

    def _segment(self, path: Path) -> Iterator[Recorded]:
        header = peek_header(path)
        if header is None:
            raise JournalDamaged("it does not begin with its header")
        if self._officer.kid not in header.officers:
            self.sealed_to_others.append(path.stem)
            return
        for opened in open_segment(path, self._officer, self._period.holds):
            if opened.content is None:
                self.left[Left.FICTITIOUS_NIR] += 1
            elif recorded := parse_recorded(path.stem, opened, opened.content):
                yield recorded
            else:
                self.left[Left.FROM_UPSTREAM] += 1
