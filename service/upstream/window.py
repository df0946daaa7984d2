"""Calls of the last seconds, counted by slices of time. Pure: `now` is monotonic seconds.

Slices rather than single calls: memory is the same at one call a second and at ten thousand. The window so reaches
back between nine tenths of its length and all of it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

SLICES: Final = 10


class Tally(msgspec.Struct, gc=False):
    """So many calls, of which so many failed, so many were slow; one may be both."""

    calls: int = 0
    failed: int = 0
    slow: int = 0

    def count(self, *, failed: bool, slow: bool) -> None:
        """One more call."""
        self.calls += 1
        self.failed += failed
        self.slow += slow


class Window:
    """A sliding window of `seconds`. Time that goes back counts in the newest slice."""

    def __init__(self, seconds: float) -> None:
        self._slice_seconds = seconds / SLICES
        self._slices: deque[tuple[int, Tally]] = deque()
        self._total = Tally()

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """One call that ended now."""
        number = self._expire(now)
        if not self._slices or self._slices[-1][0] < number:
            self._slices.append((number, Tally()))
        for tally in (self._slices[-1][1], self._total):
            tally.count(failed=failed, slow=slow)

    def tally(self, now: float) -> Tally:
        """The calls in the window."""
        self._expire(now)
        return self._total

    def clear(self) -> None:
        """Forget all calls."""
        self._slices.clear()
        self._total = Tally()

    def _expire(self, now: float) -> int:
        """Drop the slices that have left the window; the number of the present one."""
        number = int(now // self._slice_seconds)
        while self._slices and self._slices[0][0] <= number - SLICES:
            gone = self._slices.popleft()[1]
            self._total.calls -= gone.calls
            self._total.failed -= gone.failed
            self._total.slow -= gone.slow
        return number
