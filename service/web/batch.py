"""The queries of one batch on their way to one response body.

They are worked out together once none of them waits for a lease or for the upstream any more: from one snapshot, in one
mode, at one instant; and recorded together, so that nothing of a batch is charged where its record fails.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import orjson
import structlog

from service import telemetry
from service.access.clients import Client
from service.errors import (
    AccessError,
    AvailabilityError,
    ClientSuspended,
    FinessSuspended,
    JournalUnwritable,
    RelaisError,
    ScopeMissing,
)
from service.web import problems
from service.web.case import Case

#: Errors that are not about one query: the whole batch fails with them.
_OF_ALL: Final = (AvailabilityError, JournalUnwritable, ClientSuspended, ScopeMissing)
_LOG: Final = structlog.get_logger(__name__)


class Batch:
    """The cases of one batch; `future` is set once each has come to its end, or to the error that ends them all.

    `wait` is given those that can be worked out, once the last of them has arrived.
    """

    def __init__(
        self, client: Client, bodies: Sequence[bytes], future: asyncio.Future[bytes], wait: Callable[[Case], None]
    ) -> None:
        self.future = future
        self.going = False
        self.cases = [Case(client, body, _Seat(self, number)) for number, body in enumerate(bodies)]
        for case in self.cases:
            case.company = self
        self._wait = wait
        self._results: list[bytes] = [b""] * len(bodies)
        self._open = len(bodies)
        self._arrived: list[Case] = []
        self._since: dt.datetime | None = None
        self._refused: Counter[str] = Counter()
        future.add_done_callback(lambda _: self._over())

    def arrived(self, case: Case, now: dt.datetime) -> Sequence[Case]:
        """One of them waits for nothing but the others. All of them where the others came at this same instant too.

        Where some came before, all come back for the next turn instead: much may have changed since.
        """
        self._since = self._since or now
        self._arrived.append(case)
        if self._since is now and len(self._arrived) == self._open:
            self.going = True
            cases, self._arrived = self._arrived, []
            return cases
        self._go_on()
        return ()

    def put(self, number: int, result: bytes) -> None:
        """What the case at `number` came to."""
        self._results[number] = result
        self._open -= 1
        if not self._open:
            self.future.set_result(b'{"results":[' + b",".join(self._results) + b"]}")
        else:
            self._go_on()

    def refuse(self, number: int, error: BaseException) -> None:
        """Why the case at `number` gets no answer; or, where that is not about one query, why none of them does."""
        of_all = isinstance(error, _OF_ALL) and not isinstance(error, FinessSuspended)
        if of_all or not isinstance(error, Exception):
            self.future.set_exception(error)
            return
        if isinstance(error, AccessError):
            self._refused[problems.code_of(error)] += 1
        if not isinstance(error, RelaisError):
            _LOG.error("request_failed", error=type(error).__name__, frames=telemetry.frames(error))
        problem = problems.document_at(error, f"/queries/{number}")
        self.put(number, orjson.dumps({"problem": problem}))

    def _go_on(self) -> None:
        if not self.going and len(self._arrived) == self._open:
            self.going = True
            for case in self._arrived:
                self._wait(case)
            self._arrived = []

    def _over(self) -> None:
        """Done, also where the caller has gone: whoever still waits for the others is not answered, nor charged."""
        for case in self._arrived:
            case.release()
        self.cases, self._arrived = [], []
        for code, queries in self._refused.items():
            _LOG.info("refused", code=code, queries=queries)


class _Seat:
    """A place in a batch, as the future of a case."""

    __slots__ = ("_batch", "_number")

    def __init__(self, batch: Batch, number: int) -> None:
        self._batch = batch
        self._number = number

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self._batch.future.done()

    def set_result(self, result: bytes, /) -> None:
        """The recorded answer."""
        self._batch.put(self._number, result)

    def set_exception(self, exception: BaseException, /) -> None:
        """Why there is none."""
        self._batch.refuse(self._number, exception)
