"""What texts of a source row mean, remembered: dates, codes and rates come again in millions of rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sized
from typing import Final, Protocol, TypeVar

#: A longer text is understood each time anew, so that what is remembered stays within some megabytes.
_MAX_LENGTH: Final = 1024


class Text(Hashable, Sized, Protocol):
    """What a source row writes: `str`, or `bytes` as they stand in a line."""


Written = TypeVar("Written", bound=Text)
Meaning = TypeVar("Meaning")


class Known(dict[Written, Meaning]):
    """Meanings by text. One not seen before is understood, which may raise, and remembered if there are not `most`."""

    def __init__(self, understand: Callable[[Written], Meaning], most: int) -> None:
        super().__init__()
        self._understand = understand
        self._most = most

    def __missing__(self, written: Written) -> Meaning:
        meaning = self._understand(written)
        if len(self) < self._most and len(written) <= _MAX_LENGTH:
            self[written] = meaning
        return meaning
