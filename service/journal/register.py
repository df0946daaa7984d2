"""The register of segments in the control store, as the journal sees it, and the feed that keeps it current.

The register only grows. It is what a thief of the files cannot reach: a segment that vanished, lost its tail or was
written anew contradicts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

import msgspec

from service.errors import ChainBroken

#: A crash together with a cut of the file can hide at most what was written since the last advance.
ADVANCE_SECONDS: Final = 1.0


class Register(Protocol):
    """Where a writer reports its segments. Called from a thread of the writer, never from the event loop.

    Both raise `StoreUnavailable` when the store is gone: the journal goes on without it, reports anew every second,
    and says so in its status. A count never goes down: an older report changes nothing. Both raise `ChainBroken` if
    the report contradicts the register: that is an alarm, and is not reported anew.
    """

    def open_segment(self, journal: str, node: str, worker: int, header_sha256: str, at: str) -> None:
        """A segment was created. Reporting it again is no error."""
        ...

    def advance(self, journal: str, head_sha256: str, entries: int, at: str) -> None:
        """The segment's last durable head, and how many entries stand up to it."""
        ...


class RegisteredSegment(Protocol):
    """A segment as registered; `head_sha256` is None and `entries` 0 before its first head."""

    @property
    def journal(self) -> str:
        """Journal id."""
        ...

    @property
    def header_sha256(self) -> str:
        """SHA-256 of the header's JWS."""
        ...

    @property
    def head_sha256(self) -> str | None:
        """SHA-256 of the last head's JWS."""
        ...

    @property
    def entries(self) -> int:
        """How many entries stand up to that head."""
        ...


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


_OpenedMap = dict[str, _Opened]
_AdvancedMap = dict[str, _Advanced]


class RegisterFeed:
    """Reports to the register at most once a second, in a thread of its own so that a locked store delays nobody."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._opened: _OpenedMap = {}
        self._advanced: _AdvancedMap = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sending = False
        self._last_sent = float("-inf")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-register")
        #: The kind of error of the last report, None if it was taken; a fork stays.
        self.failure: str | None = None

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

    def _take(self) -> tuple[_OpenedMap, _AdvancedMap]:
        taken = self._opened, self._advanced
        self._opened, self._advanced = {}, {}
        return taken

    def _work(self, loop: asyncio.AbstractEventLoop, opened: _OpenedMap, advanced: _AdvancedMap) -> None:
        loop.call_soon_threadsafe(self._sent, *self._report(opened, advanced))

    def _report(self, opened: _OpenedMap, advanced: _AdvancedMap) -> tuple[_OpenedMap, _AdvancedMap, str | None]:
        """What the register did not take, and the kind of error. Every report may be made again."""
        failed = (
            self._failing(self._register.open_segment, opened),
            self._failing(self._register.advance, advanced),
        )
        kinds = [kind for found in failed for kind in found.values()]
        left = [{name for name, kind in found.items() if kind != ChainBroken.__name__} for found in failed]
        return (
            {name: opened[name] for name in left[0]},
            {name: advanced[name] for name in left[1]},
            max(kinds, key=lambda kind: kind == ChainBroken.__name__, default=None),
        )

    @staticmethod
    def _failing(call: Callable[..., None], reports: Mapping[str, msgspec.Struct]) -> dict[str, str]:
        """Kind of error by journal id."""
        failed = {}
        for name, report in reports.items():
            try:
                call(*msgspec.structs.astuple(report))
            except Exception as error:  # noqa: BLE001 - whatever the store does, the journal goes on
                failed[name] = type(error).__name__
        return failed

    def _sent(self, opened: _OpenedMap, advanced: _AdvancedMap, failure: str | None) -> None:
        self._sending = False
        if self.failure != ChainBroken.__name__:
            self.failure = failure
        self._opened = opened | self._opened
        self._advanced = advanced | self._advanced
        if self._opened or self._advanced:
            self._arm()
