"""Rejected rows of a build: written down by line, column and fault, never by content, and summed up."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Final

from service.errors import RowRejected
from service.strictjson import canonical

_FIRST_LINES: Final = 3
_KINDS_SHOWN: Final = 8


class Rejects:
    """The rejects so far; the file appears with the first of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: IO[bytes] | None = None
        self._kinds: dict[tuple[str, str], int] = {}
        self._first: dict[tuple[str, str], list[str]] = {}

    def add(self, source: str, line: int, rejected: RowRejected) -> None:
        """One more rejected row of a source file."""
        if self._file is None:
            self._file = self.path.open("xb")
        self.count += 1
        kind = (rejected.column, rejected.fault)
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        first = self._first.setdefault(kind, [])
        if len(first) < _FIRST_LINES:
            first.append(f"{source}:{line}")
        column = rejected.column or None
        self._file.write(canonical({"code": rejected.fault, "column": column, "line": line, "source": source}) + b"\n")

    def summary(self) -> str:
        """Faults by column and code with the first lines, the most frequent first."""
        kinds = sorted(self._kinds.items(), key=lambda item: (-item[1], item[0]))
        shown = [
            f"{column or 'row'} {fault}: {count} (first at {', '.join(self._first[column, fault])})"
            for (column, fault), count in kinds[:_KINDS_SHOWN]
        ]
        return "; ".join([*shown, *(["…"] if len(kinds) > _KINDS_SHOWN else [])])

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None
