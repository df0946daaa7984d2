"""Whether bytes come fast enough (the slow-retrieval attack of TUF's list). Pure: the time is passed in."""

from __future__ import annotations

from typing import Final

from service.errors import DepotTooSlow

WINDOW_SECONDS: Final = 30.0


class Pace:
    """Bytes counted over windows of 30 seconds, each of which must reach the least speed.

    What ends within its first window is never too slow; reads that bring nothing at all are the read time-out's.
    """

    def __init__(self, least_bytes_per_second: int, started_at: float) -> None:
        self._least = least_bytes_per_second
        self._since = started_at
        self._bytes = 0

    def note(self, count: int, now: float) -> None:
        """`count` further bytes have come by `now` (monotonic seconds). Raises `DepotTooSlow`."""
        self._bytes += count
        elapsed = now - self._since
        if elapsed < WINDOW_SECONDS:
            return
        if self._bytes < self._least * elapsed:
            raise DepotTooSlow(
                f"slow retrieval: {self._bytes} bytes in {elapsed:.0f} s, expected {self._least} bytes a second or more"
            )
        self._since, self._bytes = now, 0
