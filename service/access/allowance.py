"""What a worker may answer for one client, FINESS and day: the leases it holds, and its pace. Pure.

`take` a charge before the answer is worked out; then it was `recorded`, or is given back (`release`). A lease whose
lookups are all spent, and whose answers are all there, is `spent`: it is settled with what it really came to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from service.access.bucket import Bucket
from service.errors import TooFast
from service.spent import Spent

#: The number in a journal entry of a lookup charged to the outage share; the store's leases count from 1.
OUTAGE_LEASE: Final = 0


class Held:
    """A lease in hand. Every lookup lent is still there, under way, or used."""

    __slots__ = ("granted", "id", "left", "unknown", "used")

    def __init__(self, lease_id: int, granted: int) -> None:
        self.id = lease_id
        self.granted = granted
        self.left = granted
        self.used = 0
        self.unknown = 0

    @property
    def under_way(self) -> int:
        """Lookups whose answer is not recorded yet."""
        return self.granted - self.left - self.used

    @property
    def spent(self) -> Spent:
        """What it came to so far: lookups, and answers about nobody known."""
        return self.used, self.unknown


class Charge:
    """One lookup taken from a lease: ends with exactly one of `recorded` and `release`, and a second is nothing."""

    __slots__ = ("_held", "_open")

    def __init__(self, held: Held) -> None:
        self._held = held
        self._open = True

    @property
    def lease(self) -> int:
        """The lease's number, for the journal."""
        return self._held.id

    def recorded(self, *, unknown: bool) -> None:
        """The answer is recorded: it was about nobody known, or not."""
        if self._open:
            self._open = False
            self._held.used += 1
            self._held.unknown += unknown

    def release(self) -> None:
        """No answer was given: the lookup may be used by another."""
        if self._open:
            self._open = False
            self._held.left += 1


class Allowance:
    """The leases in hand for one (client, FINESS, day), oldest first, and the bucket of its pace."""

    __slots__ = ("_bucket", "_held", "touched")

    def __init__(self, now: float) -> None:
        self._bucket = Bucket(now)
        self._held: deque[Held] = deque()
        #: When a charge was last taken, in the monotonic seconds that `take` is given.
        self.touched = now

    @property
    def left(self) -> int:
        """Lookups in hand."""
        return sum(held.left for held in self._held)

    def in_hand(self, lease_id: int) -> Spent:
        """Lookups of leases of this number that nobody has used, and those not known to be about nobody known."""
        held = [one for one in self._held if one.id == lease_id]
        return sum(one.left for one in held), sum(one.granted - one.unknown for one in held)

    def burst_left(self, burst: int) -> int:
        """Lookups that may come at once."""
        return self._bucket.left(burst)

    def add(self, lease_id: int, granted: int) -> None:
        """A lease was drawn."""
        self._held.append(Held(lease_id, granted))

    def take(self, burst: int, now: float) -> Charge | None:
        """A charge; None where no lookup is in hand. Raises `TooFast`. Neither costs anything."""
        wait = self._bucket.seconds_until_one(burst, now)
        if wait > 0:
            raise TooFast("more lookups at once than this client's burst", seconds=wait)
        self.touched = now
        for held in self._held:
            if held.left:
                held.left -= 1
                self._bucket.take()
                return Charge(held)
        return None

    def settled(self) -> list[Held]:
        """The leases that are used up, every answer known; they are in hand no more."""
        return self._remove(lambda held: not held.left and not held.under_way)

    def given_up(self) -> list[Held]:
        """The leases with no answer under way, used up or not; they are in hand no more."""
        return self._remove(lambda held: not held.under_way)

    @property
    def empty(self) -> bool:
        """Whether no lease is in hand."""
        return not self._held

    def _remove(self, over: Callable[[Held], bool]) -> list[Held]:
        gone = [held for held in self._held if over(held)]
        if gone:
            self._held = deque(held for held in self._held if not over(held))
        return gone
