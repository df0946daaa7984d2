"""Leases between one worker and the store: drawn and settled in a thread, so that a slow store holds up no answer.

What a predecessor of this slot left open is settled by counting its journal entries, and so is a lease whose draw
this worker never heard the end of.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from service.clock import Clock
from service.control.leases import LOCK_SECONDS, Grant, Lease, LeaseStore, Want
from service.errors import StoreUnavailable
from service.journal.charges import Charges
from service.spent import NOTHING, Spent

#: While the store is down it is not asked for every lookup.
DOWN_SECONDS: Final = 1.0
#: A store that takes longer to lend has failed for whoever waits; what it lends later is given back. Longer than it
#: waits for a lock: a busy store is no reason to lend from the outage share.
STALL_SECONDS: Final = LOCK_SECONDS + 1.0
#: Leases settled in one transaction: some milliseconds, in which no other worker draws.
SETTLED_AT_ONCE: Final = 200
#: Spendings that stay for those who look back on a week.
KEPT_DAYS: Final = 8
_LOG: Final = structlog.get_logger(__name__)

#: Counts the charges in this slot's journal segments from a day on; may take long, raises OSError.
CountCharges = Callable[[dt.date], Charges]


class _Together:
    """What is drawn in one transaction."""

    def __init__(self) -> None:
        self.wants: list[Want] = []
        self.drawing: asyncio.Future[list[Lease]] | None = None


class Lender:
    """Draws and settles for one worker, `holder`; `await start()` first, `await close()` last.

    `down_since` says since when the store cannot be reached. `inherits` says that leases of this slot may be open
    that no account knows: `inherit` finds and settles them.
    """

    def __init__(self, store: LeaseStore, clock: Clock, count: CountCharges, holder: str) -> None:
        self._store = store
        self._clock = clock
        self._count = count
        self._holder = holder
        self._down_until = 0.0
        #: A draw that nobody waits for any more: others would only queue up behind it.
        self._hanging: asyncio.Future[list[Lease]] | None = None
        self._next = _Together()
        #: Touched in the thread alone: what this process drew, so that none is taken for a predecessor's.
        self._own: set[int] = set()
        self._owed: dict[int, tuple[Lease, Spent]] = {}
        self.down_since: dt.datetime | None = None
        self.inherits = True

    def start(self) -> None:
        """Begin."""
        self._thread = ThreadPoolExecutor(1, "leases")

    @property
    def unsettled(self) -> int:
        """Leases that are over, and that the store has not been told of."""
        return len(self._owed)

    async def draw(self, day: str, client: str, finess: str, grant: Grant) -> Lease | None:
        """A lease, perhaps of nothing; None where the store cannot be reached.

        What is drawn in one turn of the event loop is lent in one transaction: a batch may need a lease for each query.
        """
        if self._clock.monotonic() < self._down_until or (self._hanging is not None and not self._hanging.done()):
            return None
        together, number = self._next, len(self._next.wants)
        together.wants.append(Want(day, client, finess, grant))
        await asyncio.sleep(0)
        if together.drawing is None:
            self._next = _Together()
            together.drawing = asyncio.get_running_loop().run_in_executor(self._thread, self._draw, together.wants)
        drawing = together.drawing
        done, _ = await asyncio.wait([drawing], timeout=STALL_SECONDS)
        if not done:
            if self._hanging is not drawing:
                self._hanging = drawing
                drawing.add_done_callback(self._came_late)
            self._is_down("the store does not answer")
            return None
        try:
            lease = drawing.result()[number]
        except StoreUnavailable as error:
            self._is_down(error.detail)
            return None
        self._is_back()
        return lease

    def owe(self, lease_id: int, day: str, client: str, finess: str, granted: int, spent: Spent) -> None:
        """A lease is over: the store is told at the next occasion what it came to."""
        self._owed[lease_id] = Lease(lease_id, day, client, finess, self._holder, granted), spent

    async def settle(self) -> None:
        """Tell the store what is owed, as far as it can be reached."""
        if self._owed:
            await self._within(self._settle)

    async def inherit(self, today: dt.date, *, count: bool) -> Charges | None:
        """Settle the leases of a dead predecessor; the charges counted for it, also where there are none if `count`."""
        known: list[Lease] = []

        def look() -> None:
            known.extend(lease for lease in self._store.open_leases(self._holder) if lease.id not in self._own)

        self.inherits = False
        await self._within(look)
        if not known and not count:
            return None
        since = min([today, *(dt.date.fromisoformat(lease.day) for lease in known)])
        try:
            charges = await asyncio.to_thread(self._count, since)
        except OSError as error:
            self.inherits = True
            _LOG.error("charges_not_counted", error=error.strerror)
            return None
        for lease in known:
            self._owed[lease.id] = lease, charges.of_lease(lease.id, lease.client, lease.finess, lease.granted)
        await self.settle()
        return charges

    async def forget(self, today: dt.date) -> None:
        """Drop what is older than a week."""
        before = (today - dt.timedelta(days=KEPT_DAYS)).isoformat()
        await self._within(functools.partial(self._store.forget, before))

    async def close(self) -> None:
        """Settle what is owed. What the store does not take is counted by the successor."""
        await self.settle()
        self._thread.shutdown(wait=False)

    def _draw(self, wants: Sequence[Want]) -> list[Lease]:
        self._settle()
        leases = self._store.draw_all(self._holder, wants)
        self._own.update(lease.id for lease in leases)
        return leases

    def _settle(self) -> None:
        owed = list(self._owed.values())
        for start in range(0, len(owed), SETTLED_AT_ONCE):
            some = owed[start : start + SETTLED_AT_ONCE]
            self._store.settle_all(some)
            for lease, _ in some:
                self._own.discard(lease.id)
                self._owed.pop(lease.id, None)

    def _came_late(self, drawing: asyncio.Future[list[Lease]]) -> None:
        if not drawing.cancelled() and drawing.exception() is None:
            for lease in drawing.result():
                if lease.granted:
                    self._owed[lease.id] = lease, NOTHING

    async def _within(self, work: Callable[[], None]) -> None:
        """Do it in the thread; a store that is gone is told of, and tried again later."""
        task = asyncio.get_running_loop().run_in_executor(self._thread, work)
        done, _ = await asyncio.wait([task], timeout=STALL_SECONDS)
        if not done:
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
            self._is_down("the store does not answer")
            return
        try:
            task.result()
        except StoreUnavailable as error:
            self._is_down(error.detail)
        else:
            self._is_back()

    def _is_down(self, why: str) -> None:
        self._down_until = self._clock.monotonic() + DOWN_SECONDS
        if self.down_since is None:
            self.down_since = self._clock.now()
            _LOG.error("lease_store_unavailable", error=why)
        # A draw whose commit failed may have lent something to nobody.
        self.inherits = True

    def _is_back(self) -> None:
        if self.down_since is not None:
            _LOG.warning("lease_store_back")
        self.down_since = None
