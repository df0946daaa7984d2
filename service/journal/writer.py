"""The journal's writer: group commit by one worker process into its own segment.

Answers that wait while a write is under way form the next batch; a lone one waits for the end of the loop's turn,
not for a timer. The event loop seals and signs; one thread writes and flushes. A receipt exists only once its
record is durable: if that fails, all that wait fail, the segment is left as it is, and a new one is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from service.clock import Clock
from service.errors import JournalUnwritable
from service.journal.batch import Batch
from service.journal.entries import MAX_CONTENT_BYTES, Link, Pending, Receipt
from service.journal.opening import OpenSegment, SegmentOpener
from service.journal.register import Register, RegisterFeed
from service.jwk import PrivateKey

#: Sealing this many takes some 8 ms of the event loop; what is beyond waits for the batch after.
MAX_BATCH: Final = 512
REOPEN_SECONDS: Final = 1.0
#: Answers that may wait for the disk: some seconds' worth, and some 50 MB. Beyond it they are refused at once.
MAX_WAITING: Final = 8 * MAX_BATCH
#: A disk that takes longer than this has failed for whoever waits, though it may come back.
STALL_SECONDS: Final = 5.0

_Waiting = tuple[Pending, "asyncio.Future[Receipt] | _Group"]


class _Group:
    """What `record_all` gathers: set as one future would be, once for each answer and in their order."""

    __slots__ = ("_future", "_receipts", "_size")

    def __init__(self, future: asyncio.Future[tuple[Receipt, ...]], size: int) -> None:
        self._future = future
        self._receipts: list[Receipt] = []
        self._size = size

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self._future.done()

    def set_result(self, receipt: Receipt) -> None:
        """The next answer's receipt."""
        self._receipts.append(receipt)
        if len(self._receipts) == self._size:
            self._future.set_result(tuple(self._receipts))

    def set_exception(self, error: Exception) -> None:
        """One of the answers could not be recorded, so none of them is given."""
        if not self._future.done():
            self._future.set_exception(error)


class WriterStatus(msgspec.Struct, frozen=True):
    """For readiness and metrics; counts since the start. `last_failure` names a kind of error, never a content."""

    writable: bool
    journal: str | None
    entries: int
    batches: int
    failures: int
    last_failure: str | None
    register_failure: str | None


class JournalWriter:
    """Records answers; `await start()` before the first, `await close()` after the last. Not for two event loops."""

    def __init__(
        self,
        directory: Path,
        node: str,
        worker: int,
        receipt_key: PrivateKey,
        officers: Sequence[Mapping[str, Any]],
        clock: Clock,
        register: Register,
        *,
        fsync: bool = True,
    ) -> None:
        """`worker` is the slot whose segments form one chain: two processes must never share it.

        Raises `KeyRejected` for officer keys that are none.
        """
        self._opener = SegmentOpener(directory, node, worker, receipt_key, officers)
        self._clock = clock
        self._fsync = fsync
        self._feed = RegisterFeed(register)
        self._segment: OpenSegment | None = None
        self._durable: Link | None = None
        self._searched = False
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._under_way: list[_Waiting] = []
        self._watch: asyncio.TimerHandle | None = None
        self._stalled = False
        self._scheduled = False
        self._reopening: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._closing = False
        self._entries = self._batches = self._failures = 0
        self._last_failure: str | None = None

    @property
    def writable(self) -> bool:
        """Whether a segment is open and the disk keeps up. False from a failed write until the next segment stands."""
        return self._segment is not None and not self._stalled

    @property
    def status(self) -> WriterStatus:
        """Where the writer stands."""
        return WriterStatus(
            writable=self.writable,
            journal=None if self._segment is None else self._segment.journal,
            entries=self._entries,
            batches=self._batches,
            failures=self._failures,
            last_failure=self._last_failure,
            register_failure=self._feed.failure,
        )

    async def start(self) -> None:
        """Open the first segment. If that fails the writer is not `writable` and tries again every second."""
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-writer")
        self._open()
        await self._until_drained()

    def record(self, pending: Pending) -> asyncio.Future[Receipt]:
        """A future of the receipt, set once the record is durable; fails with `JournalUnwritable`.

        The record may exist although the future failed or was cancelled, never the other way round.
        """
        future: asyncio.Future[Receipt] = self._loop.create_future()
        self._record(pending, future)
        return future

    def _record(self, pending: Pending, future: asyncio.Future[Receipt] | _Group) -> None:
        if self._closing or (self._segment is None and not self._busy):
            future.set_exception(JournalUnwritable("the journal is not open"))
        elif self._stalled or len(self._waiting) >= MAX_WAITING:
            future.set_exception(JournalUnwritable("the disk does not keep up"))
        elif len(pending.answer) + len(pending.query) > MAX_CONTENT_BYTES:
            future.set_exception(JournalUnwritable("the answer is too long to be recorded"))
        else:
            self._waiting.append((pending, future))
            self._schedule()

    def record_all(self, pendings: Sequence[Pending]) -> asyncio.Future[tuple[Receipt, ...]]:
        """Like `record`, for several answers: one future of their receipts in order, or of the first failure."""
        future: asyncio.Future[tuple[Receipt, ...]] = self._loop.create_future()
        group = _Group(future, len(pendings))
        for pending in pendings:
            self._record(pending, group)
        return future

    async def close(self) -> None:
        """Record what waits, report the last head to the register, and end. Nothing is recorded afterwards."""
        self._closing = True
        if self._reopening is not None:
            self._reopening.cancel()
        await self._until_drained()
        if self._segment is not None:
            self._thread.submit(self._segment.file.close)
            self._segment = None
        self._thread.shutdown(wait=False)
        await self._feed.close()

    async def _until_drained(self) -> None:
        self._drained = self._loop.create_future()
        self._schedule()
        await self._drained

    def _schedule(self) -> None:
        if self._busy or self._scheduled:
            return
        if self._waiting:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        elif self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _flush(self) -> None:
        """Seal what waits and hand it to the thread; first open a new segment if the day changed."""
        self._scheduled = False
        now = self._clock.now()
        segment = self._segment
        if segment is None or not segment.file.covers(now):
            self._open()
            return
        items, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        try:
            batch = segment.sealer.batch([pending for pending, _ in items], now)
        except Exception as error:  # noqa: BLE001 - any of them leaves answers unrecorded, and an entry number in doubt
            self._failed(items, error)
            return
        self._begin(items)
        self._thread.submit(self._commit, segment, batch, items)

    def _commit(self, segment: OpenSegment, batch: Batch, items: list[_Waiting]) -> None:
        error: Exception | None = None
        try:
            segment.file.append(batch.data, fsync=self._fsync)
        except Exception as caught:  # noqa: BLE001 - carried to the loop, which fails whoever waits
            error = caught
        self._loop.call_soon_threadsafe(self._committed, segment, batch, items, error)

    def _committed(self, segment: OpenSegment, batch: Batch, items: list[_Waiting], error: Exception | None) -> None:
        self._ended()
        if error is not None:
            self._failed(items, error)
            return
        self._durable = Link(head=batch.head_sha256, journal=segment.journal)
        self._entries += len(items)
        self._batches += 1
        for (_, future), receipt in zip(items, batch.receipts, strict=True):
            if not future.done():
                future.set_result(receipt)
        self._feed.advanced(segment.journal, batch.head_sha256, batch.entries, batch.at)
        self._schedule()

    def _begin(self, items: list[_Waiting]) -> None:
        """The thread is given work; `items` wait for it."""
        self._busy, self._under_way = True, items
        self._watch = self._loop.call_later(STALL_SECONDS, self._stall)

    def _ended(self) -> None:
        self._busy, self._under_way, self._stalled = False, [], False
        if self._watch is not None:
            self._watch.cancel()

    def _stall(self) -> None:
        """Fail everybody rather than let them hang; what is under way may still be recorded, unacknowledged."""
        self._stalled = True
        self._failures += 1
        self._last_failure = "the disk does not answer"
        self._refuse(self._under_way)

    def _failed(self, items: list[_Waiting], error: Exception) -> None:
        """Fail everybody, leave the segment as it is, try a new one."""
        self._note(error)
        self._refuse(items)
        segment, self._segment = self._segment, None
        if segment is not None:
            self._thread.submit(segment.file.close)
        self._open()

    def _refuse(self, items: Sequence[_Waiting]) -> None:
        waiting, self._waiting = [*items, *self._waiting], []
        for _, future in waiting:
            if not future.done():
                future.set_exception(JournalUnwritable("the record could not be written"))

    def _note(self, error: Exception) -> None:
        self._failures += 1
        self._last_failure = (
            f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else type(error).__name__
        )

    def _open(self) -> None:
        """Open the next segment in the thread; the present one is closed once the next stands."""
        self._reopening = None
        self._begin([])
        self._thread.submit(self._create)

    def _create(self) -> None:
        opened: OpenSegment | None = None
        error: Exception | None = None
        try:
            if not self._searched:
                self._durable = self._opener.find_previous()
                self._searched = True
            opened = self._opener.open(self._durable, self._clock.now())
        except Exception as caught:  # noqa: BLE001 - carried to the loop, which fails whoever waits
            error = caught
        self._loop.call_soon_threadsafe(self._opened, opened, error)

    def _opened(self, opened: OpenSegment | None, error: Exception | None) -> None:
        self._ended()
        former, self._segment = self._segment, opened
        if former is not None:
            self._thread.submit(former.file.close)
        if opened is not None:
            self._durable = Link(head=opened.header_sha256, journal=opened.journal)
            self._feed.opened(opened.journal, self._opener.node, self._opener.worker, opened.header_sha256, opened.at)
        elif error is not None:
            self._note(error)
            self._refuse(())
            if not self._closing:
                self._reopening = self._loop.call_later(REOPEN_SECONDS, self._open)
        self._schedule()
