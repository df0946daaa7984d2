"""Pharmacies that keep asking, and keep every answer they get."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from stubs.connection import Pharmacy, Signer
from tests.fleet import Installation

#: Between two questions of one caller: enough to keep the servers busy, not the machine.
PAUSE_SECONDS = 0.03


@contextmanager
def alone(worker: int, workers: Sequence[int]) -> Iterator[None]:
    """Only one worker runs: it alone takes new connections. The kernel would often give all of them to one anyway."""
    others = [pid for pid in workers if pid != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def lines(site: Installation) -> Iterator[list[HTTPConnection]]:
    """One open connection to each worker."""
    workers = site.workers()
    with ExitStack() as stack:
        opened = []
        for worker in workers:
            with alone(worker, workers):
                line = site.connect()
                stack.callback(line.close)
                assert site.ask(site.example("open"), connection=line).status == 200
                opened.append(line)
        yield opened


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer: who got it, when it was asked (monotonic), what was asked, what came back."""

    caller: int
    asked_at: float
    query: bytes
    status: int
    body: bytes
    snapshot: str

    @property
    def response(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Loss:
    """A question without an answer: who asked, when, and the kind of error."""

    caller: int
    asked_at: float
    error: str


@dataclass
class Callers:
    """`count` callers, each on a connection of its own (`fresh`: on a new one for each question), to every worker.

    Use as an asynchronous context manager: they ask for the body's duration.
    """

    site: Installation
    queries: Sequence[bytes]
    count: int = 6
    fresh: bool = False
    client: str = "demo-pharmacy"
    pause_seconds: float = PAUSE_SECONDS
    replies: list[Reply] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ended: bool = False

    async def __aenter__(self) -> Self:
        signer = Signer(self.client, self.site.key(self.client))
        workers = self.site.workers()
        for number in range(self.count):
            # Callers that begin in different places do not ask the same question at once.
            start = number * len(self.queries) // self.count
            turn = itertools.cycle([*self.queries[start:], *self.queries[:start]])
            with alone(workers[number % len(workers)], workers):
                self._tasks.append(asyncio.create_task(self._call(number, signer, turn)))
                await self.until(lambda caller=number: any(reply.caller == caller for reply in self.replies))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        await asyncio.gather(*self._tasks)

    @property
    def answered(self) -> list[Reply]:
        """The replies that are answers."""
        return [reply for reply in self.replies if reply.status == 200]

    @property
    def refused(self) -> list[Reply]:
        """The replies that are not."""
        return [reply for reply in self.replies if reply.status != 200]

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Let them ask until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{len(self.replies)} replies, {len(self.losses)} lost"
            await asyncio.sleep(0.02)

    async def more(self, count: int, seconds: float = 30.0) -> None:
        """Let them ask until `count` further answers have come."""
        target = len(self.answered) + count
        await self.until(lambda: len(self.answered) >= target, seconds)

    async def _call(self, number: int, signer: Signer, turn: Iterator[bytes]) -> None:
        while not self._ended:
            async with Pharmacy(f"http://127.0.0.1:{self.site.ports['rights']}", signer) as pharmacy:
                while not self._ended:
                    await self._ask(number, pharmacy, next(turn))
                    await asyncio.sleep(self.pause_seconds)
                    if self.fresh:
                        break

    async def _ask(self, number: int, pharmacy: Pharmacy, query: bytes) -> None:
        asked_at = time.monotonic()
        try:
            reply = await pharmacy.ask(query)
        except (aiohttp.ClientError, TimeoutError) as error:
            self.losses.append(Loss(number, asked_at, type(error).__name__))
        else:
            self.replies.append(Reply(number, asked_at, query, reply.status, reply.body, reply.snapshot))
