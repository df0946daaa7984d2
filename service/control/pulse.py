"""A worker's heartbeat: at its own pace, and at once when what it serves has changed."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from service.clock import Clock
from service.control.fleet import FleetStore, Heartbeat, Server, pid_space
from service.errors import StoreUnavailable


class Serving(NamedTuple):
    """What a worker serves: the snapshot's sequence, the order it follows, and its breaker's phase."""

    sequence: int | None
    order_version: int
    upstream: str | None = None


#: A beat that meets a locked store is repeated sooner than the next is due.
_RETRY_SECONDS: Final = 0.2


class Pulse:
    """Reports `serving()` to the fleet store, from a thread; a store that is gone is counted and tried again."""

    def __init__(
        self,
        fleet: FleetStore,
        clock: Clock,
        serving: Callable[[], Serving],
        *,
        node: str,
        server: Server,
        worker: int,
        heartbeat_seconds: float,
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self._serving = serving
        self._node, self._server, self._worker = node, server, worker
        self._heartbeat_seconds = heartbeat_seconds
        self._nudged = asyncio.Event()
        self._prepared = False
        self._task: asyncio.Task[None] | None = None
        #: Beats that failed since the last that succeeded.
        self.failures = 0

    async def start(self) -> None:
        """Beat once, then go on in the background."""
        await self._beat()
        self._task = asyncio.create_task(self._run(), name="pulse")

    def nudge(self) -> None:
        """What is served has changed: somebody may be waiting to hear it."""
        self._nudged.set()

    async def close(self) -> None:
        """Stop, and take this worker off the list."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(StoreUnavailable):
            await asyncio.to_thread(self._fleet.retire, self._node, self._server, self._worker)

    async def _run(self) -> None:
        while True:
            pause = _RETRY_SECONDS if self.failures else self._heartbeat_seconds
            # Not wait_for: until Python 3.12 it swallows a cancellation that comes just after a nudge.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._nudged.wait()
            self._nudged.clear()
            await self._beat()

    async def _beat(self) -> None:
        serving = self._serving()
        beat = Heartbeat(
            node=self._node,
            server=self._server,
            worker=self._worker,
            pid=os.getpid(),
            pid_space=pid_space(),
            sequence=serving.sequence,
            order_version=serving.order_version,
            at=self._clock.now(),
            upstream=serving.upstream,
        )
        try:
            if not self._prepared:
                await asyncio.to_thread(self._fleet.prepare)
                self._prepared = True
            await asyncio.to_thread(self._fleet.beat, beat)
        except StoreUnavailable:
            self.failures += 1
        else:
            self.failures = 0
