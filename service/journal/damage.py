"""What a verification of the journal can find, by cause. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Cause(StrEnum):
    """Causes, as docs/journal_format.md lists them: first what damages a journal, then what is only worth a word."""

    GAP = "gap"
    CUT = "cut"
    MISSING_SEGMENT = "missing_segment"
    DUPLICATE_ENTRY = "duplicate_entry"
    DUPLICATE_SEGMENT = "duplicate_segment"
    REORDERED = "reordered"
    FORK = "fork"
    EDIT = "edit"
    UNKNOWN_KEY = "unknown_key"
    KEY_FILE_CHANGED = "key_file_changed"
    TORN_TAIL = "torn_tail"
    CLOCK_BACK = "clock_back"
    UNREGISTERED = "unregistered"


#: An honest node can leave these behind: a crash, a stepped clock, a control store that was away.
REMARKS: Final = frozenset({Cause.TORN_TAIL, Cause.CLOCK_BACK, Cause.UNREGISTERED})


class Finding(msgspec.Struct, frozen=True):
    """One finding: its cause, the segment, the entries concerned (`first` to `last`), the line of the file."""

    cause: Cause
    segment: str
    text: str
    first: int | None = None
    last: int | None = None
    line: int | None = None

    @property
    def damages(self) -> bool:
        """Whether the journal is not whole because of it."""
        return self.cause not in REMARKS

    def __str__(self) -> str:
        place = f"segment {self.segment}"
        if self.first is not None:
            entries = f"entry {self.first}" if self.last in (None, self.first) else f"entries {self.first}-{self.last}"
            place = f"{place}, {entries}"
        if self.line is not None:
            place = f"{place} (line {self.line})"
        return f"{self.cause.value.replace('_', ' ')}: {place}: {self.text}"


class Evidence(msgspec.Struct, frozen=True):
    """What a verification says in short: whether the journal is whole, and each damage in a line."""

    whole: bool
    damages: tuple[str, ...] = ()
