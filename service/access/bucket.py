"""A token bucket: a burst at once, then a steady pace. Pure: `now` is monotonic seconds, given."""

from __future__ import annotations

import math
from typing import Final

#: A pharmacy's tills together make a lookup every few seconds; the burst is for the rush.
REFILL_PER_SECOND: Final = 5.0


class Bucket:
    """`burst` tokens when full, refilled at 5 a second; the burst may change from call to call (an order may say so).

    It is one worker's own: connections spread over several workers have a burst at each. What a day may come to is
    bounded by leases, not by this.
    """

    __slots__ = ("_at", "_missing")

    def __init__(self, now: float) -> None:
        self._missing = 0.0
        self._at = now

    def seconds_until_one(self, burst: int, now: float) -> float:
        """0 if one may be taken, else how long until then; without end where the burst is below 1."""
        if burst < 1:
            return math.inf
        self._refill(now)
        return max(0.0, (self._missing + 1 - burst) / REFILL_PER_SECOND)

    def take(self) -> None:
        """Take one, that `seconds_until_one` said is there."""
        self._missing += 1

    def left(self, burst: int) -> int:
        """Whole tokens, as of the last look."""
        return max(0, int(burst - self._missing))

    def _refill(self, now: float) -> None:
        # A clock that went back refills nothing and takes nothing.
        if now > self._at:
            self._missing = max(0.0, self._missing - (now - self._at) * REFILL_PER_SECOND)
            self._at = now
