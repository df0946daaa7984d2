"""The register of segments in the control store, as the journal sees it, and the feed that keeps it current.

The register only grows. It is what a thief of the files cannot reach: a segment that vanished, lost its tail or was
written anew contradicts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

import msgspec

#: A crash together with a cut of the file can hide at most what was written since the last advance.
ADVANCE_SECONDS: Final = 1.0


class Register(Protocol):
    """Where a writer reports its segments. Called from a thread of the writer, never from the event loop.

    Both raise `StoreUnavailable` when the store is gone: the journal goes on without it, reports anew every second,
    and says so in its status. A count never goes down: an older report changes nothing.
    """

    def open_segment(self, journal: str, node: str, worker: int, header_sha256: str, at: str) -> None:
        """A segment was created. Reporting it again is no error."""
        ...

    def advance(self, journal: str, head_sha256: str, entries: int, at: str) -> None:
        """The segment's last durable head, and how many entries stand up to it."""
        ...


class RegisteredSegment(msgspec.Struct, frozen=True):
    """A segment as registered; `head_sha256` is None and `entries` 0 before its first head."""

    journal: str
    node: str
    worker: int
    header_sha256: str
    head_sha256: str | None
    entries: int


class RegisterView(Protocol):
    """What a verifier reads. Raises `StoreUnavailable`; then the verifier says that it checked without it."""

    def segments(self) -> Iterable[RegisteredSegment]:
        """Every segment ever registered."""
        ...


class _Opened(msgspec.Struct, frozen=True):
    journal: str
    node: str
    worker: int
    header_sha256: str
    at: str


class _Advanced(msgspec.Struct, frozen=True):
    journal: str
    head_sha256: str
    entries: int
    at: str


class RegisterFeed:
    """Reports to the register at most once a second, in a thread of its own so that a locked store delays nobody."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._opened: dict[str, _Opened] = {}
        self._advanced: dict[str, _Advanced] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sending = False
        self._last_sent = float("-inf")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-register")
        self.failures = 0

    @property
    def behind(self) -> bool:
        """Whether the last report failed and waits to be made again."""
        return self.failures > 0

    def opened(self, journal: str, node: str, worker: int, header_sha256: str, at: str) -> None:
        """Report a new segment."""
        self._opened[journal] = _Opened(journal, node, worker, header_sha256, at)
        self._arm()

    def advanced(self, journal: str, head_sha256: str, entries: int, at: str) -> None:
        """Report a durable head; of several within a second, the last."""
        self._advanced[journal] = _Advanced(journal, head_sha256, entries, at)
        if self._timer is None:
            self._arm()

    async def close(self) -> None:
        """Report what is left, once, and end the thread."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        # One thread: this waits for a report under way, whose leftovers are then merged by the loop's next turn.
        await loop.run_in_executor(self._thread, lambda: None)
        await asyncio.sleep(0)
        if self._timer is not None:
            self._timer.cancel()
        await loop.run_in_executor(self._thread, self._report, *self._take())
        self._thread.shutdown(wait=False)

    def _arm(self) -> None:
        if self._timer is None and not self._sending:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._last_sent + ADVANCE_SECONDS), self._send, loop)

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._sending, self._last_sent = None, True, loop.time()
        self._thread.submit(self._work, loop, *self._take())

    def _take(self) -> tuple[dict[str, _Opened], dict[str, _Advanced]]:
        taken = self._opened, self._advanced
        self._opened, self._advanced = {}, {}
        return taken

    def _work(
        self, loop: asyncio.AbstractEventLoop, opened: dict[str, _Opened], advanced: dict[str, _Advanced]
    ) -> None:
        done = self._report(opened, advanced)
        loop.call_soon_threadsafe(self._sent, {} if done else opened, {} if done else advanced, done)

    def _report(self, opened: dict[str, _Opened], advanced: dict[str, _Advanced]) -> bool:
        """Whether the register took everything. Both calls may be repeated, so a partial report is made again."""
        try:
            for segment in opened.values():
                self._register.open_segment(*msgspec.structs.astuple(segment))
            for head in advanced.values():
                self._register.advance(*msgspec.structs.astuple(head))
        except Exception:  # noqa: BLE001 - whatever the store does, the journal goes on and reports again
            return False
        return True

    def _sent(self, opened: dict[str, _Opened], advanced: dict[str, _Advanced], done: bool) -> None:  # noqa: FBT001 - a callback's argument
        self._sending = False
        self.failures = 0 if done else self.failures + 1
        self._opened = opened | self._opened
        self._advanced = advanced | self._advanced
        if self._opened or self._advanced:
            self._arm()
