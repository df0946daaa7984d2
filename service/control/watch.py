"""Following the orders while serving: a poll, a re-evaluation at each end, one callback.

The poll is a few tens of microseconds on the event loop and waits for nothing; reading, verifying and keeping new
orders happens in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from service.clock import Clock
from service.control.ledger import Ledger
from service.control.state import View
from service.errors import ControlError, RelaisError

#: After an error the store is tried again at this pace, and so is a callback that failed.
_RETRY_SECONDS: Final = 1.0
_LOG = structlog.get_logger(__name__)


class WatchStatus(msgspec.Struct, frozen=True):
    """When the store was last asked, when the view last changed and was last applied; an error ends with a success.

    A `checked_at` that grows old means that nobody watches any more.
    """

    checked_at: dt.datetime | None = None
    changed_at: dt.datetime | None = None
    applied_version: int | None = None
    error: str | None = None


class Watcher:
    """Calls `on_change(view)` at the start and after every change, however the change came about.

    The next order waits for `on_change`: what takes long (opening a snapshot) it only starts. If it raises a
    `RelaisError` or an `OSError` it is called again each second until it succeeds.
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, watch_seconds: float, on_change: Callable[[View], Awaitable[None]]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._watch_seconds = watch_seconds
        self._on_change = on_change
        self._view: View | None = None
        self._evaluated_at: dt.datetime | None = None
        self._next_change: dt.datetime | None = None
        self._pending = False
        self._read_again_at: float | None = None
        self._apply_at = float("-inf")
        self._read_error: str | None = None
        self._apply_error: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._status = WatchStatus()

    @property
    def status(self) -> WatchStatus:
        """One timestamp a stage."""
        return self._status

    @property
    def view(self) -> View:
        """What holds now, as last evaluated."""
        return self._view or self._ledger.state.view(self._clock.now())

    async def start(self) -> None:
        """Evaluate and apply once, then go on in the background."""
        await self.tick()
        self._task = asyncio.create_task(self._run(), name="orders")

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def tick(self) -> None:
        """Look once: at the store, at the clock, and at what is still to be applied."""
        await self._read()
        now = self._clock.now()
        self._evaluate(now)
        await self._apply()
        error = self._read_error or self._apply_error
        if error != self._status.error:
            _LOG.error("orders_not_followed", error=error) if error else _LOG.info("orders_followed")
        self._status = msgspec.structs.replace(self._status, checked_at=now, error=error)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._watch_seconds)
            await self.tick()

    async def _read(self) -> None:
        """Follow the store if it changed, or if it is time to try again."""
        due = self._read_again_at is not None and self._clock.monotonic() >= self._read_again_at
        try:
            if self._ledger.changed() or due:
                await asyncio.to_thread(self._ledger.refresh)
                self._read_error = None
                self._read_again_at = self._retry_time() if self._ledger.status.copy_error else None
        except ControlError as error:
            self._read_error = str(error)
            if self._read_again_at is None or due:
                self._read_again_at = self._retry_time()

    def _evaluate(self, now: dt.datetime) -> None:
        """A new view where orders came, an end passed, or the clock went back before what we last saw."""
        state, before = self._ledger.state, self._evaluated_at
        ended = self._next_change is not None and now >= self._next_change
        self._evaluated_at = now
        known = self._view is not None and self._view.version == state.version
        if known and not ended and before is not None and now >= before:
            return
        view = state.view(now)
        self._next_change = state.next_change(now)
        if view != self._view:
            self._view, self._pending, self._apply_at = view, True, float("-inf")
            self._status = msgspec.structs.replace(self._status, changed_at=now)

    async def _apply(self) -> None:
        if not self._pending or self._view is None or self._clock.monotonic() < self._apply_at:
            return
        view = self._view
        try:
            await self._on_change(view)
        except (RelaisError, OSError) as error:
            self._apply_at = self._retry_time()
            self._apply_error = f"order {view.version} cannot be applied: {error}"
            return
        self._pending, self._apply_error = False, None
        self._status = msgspec.structs.replace(self._status, applied_version=view.version)

    def _retry_time(self) -> float:
        return self._clock.monotonic() + _RETRY_SECONDS
