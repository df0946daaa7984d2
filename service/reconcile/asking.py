"""Asking the upstream again: at a bounded rate, each question once, and not at all while it keeps failing.

Nothing takes its place here: what it does not answer is not compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from typing import Final

from service.clock import Clock
from service.errors import UpstreamError, UpstreamUnavailable
from service.reconcile.compare import Said, compare, said_by
from service.reconcile.pace import Pace
from service.reconcile.progress import Progress
from service.reconcile.recorded import Recorded
from service.reconcile.tally import Tally
from service.rights.heard import Upstream
from service.rights.model import Query

#: How often a question is asked that fails while others are answered.
ATTEMPTS: Final = 3


class Asking:
    """One run over recorded answers. `repeated` are the keys of questions that come again: asked once."""

    def __init__(
        self,
        upstream: Upstream,
        pace: Pace,
        progress: Progress,
        repeated: Collection[bytes],
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._upstream = upstream
        self._pace = pace
        self._progress = progress
        self._repeated = repeated
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._shared: dict[bytes, asyncio.Task[Said | str]] = {}
        self.tally: Final = Tally()

    async def reconcile(self, answers: Iterable[Recorded], at_once: int, report: Callable[[int], None]) -> Tally:
        """Compare every answer, `at_once` questions on their way at most; `report` is told how many are done.

        Raises `UpstreamUnavailable` once the upstream has failed too often in a row, and OSError.
        """
        waiting = iter(answers)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(self._work(waiting, report))
        except* UpstreamUnavailable as errors:
            # Several may notice at once; one line says it.
            raise UpstreamUnavailable(str(errors.exceptions[0])) from None
        return self.tally

    async def _work(self, waiting: Iterator[Recorded], report: Callable[[int], None]) -> None:
        for recorded in waiting:
            outcomes = self._progress.outcomes(recorded.place)
            if outcomes is None:
                said = await self._ask_once(recorded)
                if isinstance(said, str):
                    self.tally.miss(recorded, said)
                    continue
                outcomes = compare(recorded.said, said, recorded.query.amc)
                self._progress.add(recorded.place, outcomes)
            self.tally.add(recorded, outcomes)
            report(self.tally.answers + len(self.tally.unanswered))

    async def _ask_once(self, recorded: Recorded) -> Said | str:
        if recorded.key not in self._repeated:
            return await self._ask(recorded.query)
        if recorded.key not in self._shared:
            self._shared[recorded.key] = asyncio.create_task(self._ask(recorded.query))
        return await self._shared[recorded.key]

    async def _ask(self, query: Query) -> Said | str:
        """What the upstream says, or the code of its last failure."""
        code = ""
        for _ in range(ATTEMPTS):
            await self._wait_for_turn()
            asked_at = self._clock.monotonic()
            try:
                heard = await self._upstream.ask(query)
            except UpstreamError as error:
                code = error.code
                self._pace.failed(asked_at, self._clock.monotonic())
                if self._pace.exhausted:
                    raise UpstreamUnavailable(error.detail) from None
            else:
                self._pace.answered()
                return said_by(heard)
        return code

    async def _wait_for_turn(self) -> None:
        async with self._turn:
            while seconds := self._pace.wait(self._clock.monotonic()):
                await self._sleep(seconds)
            self._pace.take(self._clock.monotonic())
