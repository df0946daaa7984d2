"""How fast the upstream may be asked, and when it is left alone. Pure: `now` is monotonic, in seconds."""

from __future__ import annotations

from typing import Final

#: Failures in a row, each after a pause twice as long as the one before: 15 seconds in all before it stops.
STOP_AFTER: Final = 5
FIRST_PAUSE_SECONDS: Final = 1.0


class Pace:
    """At most `rate` questions a second; a pause after each failure, longer the more there are in a row."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._next = float("-inf")
        self._failed_at = float("-inf")
        self.failures = 0

    @property
    def exhausted(self) -> bool:
        """Whether it has failed too often in a row to go on."""
        return self.failures >= STOP_AFTER

    def wait(self, now: float) -> float:
        """Seconds until the next question may be asked; 0 if it may be now."""
        return max(0.0, self._next - now)

    def take(self, now: float) -> None:
        """A question is asked now."""
        self._next = max(self._next, now) + self._gap

    def answered(self) -> None:
        """The upstream gave an answer."""
        self.failures = 0

    def failed(self, asked_at: float, now: float) -> None:
        """A question asked at `asked_at` got no answer.

        Those on their way while another failed tell of the same outage and count once.
        """
        if asked_at <= self._failed_at:
            return
        self._failed_at = now
        self._next = max(self._next, now + FIRST_PAUSE_SECONDS * 2**self.failures)
        self.failures += 1
