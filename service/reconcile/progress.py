"""What a run has compared so far, so that it goes on after it was killed: a file without identities.

The first line says what the run is about; each further one is an entry's number and its outcomes. A line counts once
its newline is on disk: what a crash left of one is cut off, and that question is asked again.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import IO, Final, Self

import msgspec

from service.errors import OperatorError
from service.files import PRIVATE_MODE
from service.reconcile.compare import Outcome
from service.reconcile.recorded import Place

PROGRESS_FILE: Final = "progress.jsonl"
FORMAT: Final = "relais-reconcile-progress/1"


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run is about: answers recorded from `since` to before `until` ("" is no limit), and who is asked."""

    since: str
    until: str
    upstream: str
    format: str = FORMAT


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    journal: str
    n: int
    outcomes: tuple[Outcome, ...]


_ABOUT: Final = msgspec.json.Decoder(About)
_LINE: Final = msgspec.json.Decoder(_Line)


class Progress:
    """The outcomes of a run, kept in `directory`. Close it, or use it as a context manager."""

    def __init__(self, about: About, file: IO[bytes]) -> None:
        self.about: Final = about
        #: How many answers are compared.
        self.compared = 0
        self._file = file
        self._done: defaultdict[str, dict[int, tuple[Outcome, ...]]] = defaultdict(dict)
        # Few outcomes differ from one another, and a run may hold millions.
        self._alike: dict[tuple[Outcome, ...], tuple[Outcome, ...]] = {}

    @classmethod
    def begin(cls, directory: Path, about: About) -> Self:
        """A new run. Raises OSError."""
        path = directory / PROGRESS_FILE
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_MODE)
        file = open(descriptor, "r+b", buffering=0)  # noqa: PTH123, SIM115 - a descriptor, kept open
        file.write(msgspec.json.encode(about) + b"\n")
        return cls(about, file)

    @classmethod
    def resume(cls, directory: Path) -> Self | None:
        """The run that was broken off in a directory; None if none was. Raises `OperatorError`, OSError."""
        path = directory / PROGRESS_FILE
        if not path.exists():
            return None
        file = path.open("r+b", buffering=0)
        lines = file.read().split(b"\n")
        try:
            progress = cls(_ABOUT.decode(lines[0]), file)
        except msgspec.MsgspecError:
            file.close()
            if len(lines) == 1:  # killed before its first line was whole: nothing was asked yet
                return None
            raise OperatorError(f"{path} is not the progress of a reconciliation: name another directory") from None
        progress._take(lines)
        return progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def outcomes(self, place: Place) -> tuple[Outcome, ...] | None:
        """The outcomes of an answer compared before; None if it was not."""
        return self._done[place.journal].get(place.n)

    def add(self, place: Place, outcomes: tuple[Outcome, ...]) -> None:
        """An answer is compared. Raises OSError."""
        line = msgspec.json.encode(_Line(place.journal, place.n, outcomes)) + b"\n"
        if self._file.write(line) != len(line):
            raise OSError("the disk took only a part of a line of progress")
        self.compared += 1

    def _take(self, lines: list[bytes]) -> None:
        """Remember whole lines up to the first that is none, and write on from there."""
        end = len(lines[0]) + 1
        for line in lines[1:-1]:
            try:
                told = _LINE.decode(line)
            except msgspec.MsgspecError:
                break
            self._done[told.journal][told.n] = self._alike.setdefault(told.outcomes, told.outcomes)
            self.compared += 1
            end += len(line) + 1
        self._file.seek(end)
        self._file.truncate()
