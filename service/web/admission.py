"""From bodies to queries that may be answered: understood, allowed, paid for, and asked of the upstream.

What one query must wait for holds up no other: it leaves the turn, and comes back in a later one.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from msgspec import UNSET

from service import telemetry
from service.access.gate import resolve_finess
from service.errors import ClientSuspended, Overloaded
from service.rights import question
from service.rights.heard import Consulted
from service.rights.lookup import goes_upstream
from service.rights.model import Knowledge
from service.upstream.consult import Consultant
from service.web.case import Case, fail
from service.web.context import Context
from service.web.decoding import decode_rights, normalise

_LOG: Final = structlog.get_logger(__name__)


class Admission:
    """Lets the queries of one worker in. `come_back` is given those that had left a turn, for the next."""

    def __init__(self, context: Context, come_back: Callable[[Case], None]) -> None:
        self._context = context
        self._come_back = come_back
        self._asking: set[asyncio.Task[Consulted | None]] = set()
        #: Batches leave half of the questions that may be under way to those who ask one by one.
        self._turns = asyncio.Semaphore(max(1, context.settings.upstream.in_flight // 2))

    def admit(self, cases: Sequence[Case], knowledge: Knowledge, now: dt.datetime) -> list[Case]:
        """Those that can be worked out now. The others will come back, or have been told why they get no answer."""
        today = self._context.today(now)
        admitted = _each(self._check_again, [case for case in cases if case.understood])
        understood = _each(lambda case: self._understand(case, today), [case for case in cases if not case.understood])
        for case in understood:
            case.identity = question.identity(case.query)
            case.asked = question.normalised(case.query)
        ready = [case for case in admitted if case.admitted]
        paying = [*understood, *(case for case in admitted if not case.admitted)]
        charged = _each(lambda case: self._charge(case, now), paying)
        if self._context.live:
            charged = _each(lambda case: not self._ask(case, knowledge), charged)
        return [*ready, *charged]

    def _understand(self, case: Case, today: dt.date) -> bool:
        """Raises `MalformedJson`, `InvalidField`, `FinessNotAllowed`."""
        rules = self._context.settings.query
        body = decode_rights(case.body)
        finess = resolve_finess(case.client, None if body.finess is UNSET else body.finess)
        case.query = normalise(body, finess, today, rules.past_days, rules.ahead_days)
        case.understood = True
        return True

    def _check_again(self, case: Case) -> bool:
        """Who was suspended, or lost the pharmacy, while a query was away gets no answer; budgets are those of now."""
        known = self._context.registry.get(case.client.id)
        if known is None or known.suspended:
            raise ClientSuspended("this client is suspended")
        resolve_finess(known, case.query.finess)
        case.client = known
        return True

    def _charge(self, case: Case, now: dt.datetime) -> bool:
        """Whether today's budget pays for it now; else it comes back once a lease was drawn. Raises `LimitReached`."""
        charging = self._context.charging
        if charging is not None:
            case.charge = charging.take(case.client, case.query.finess, now)
            if case.charge is None:
                case.away = True
                charging.drawn(case.client, case.query.finess).add_done_callback(functools.partial(self._lent, case))
                return False
        case.admitted = True
        return True

    def _lent(self, case: Case, drawn: asyncio.Future[None]) -> None:
        case.away = False
        error = Overloaded() if drawn.cancelled() else drawn.exception()
        if error is not None:
            fail((case,), error)
        elif not case.future.done():
            self._come_back(case)

    def _ask(self, case: Case, knowledge: Knowledge) -> bool:
        """Whether the upstream is asked; the query comes back once it has been."""
        context = self._context
        upstream = None if context.upstream is None or context.upstream.is_silent() else context.upstream
        case.upstream = goes_upstream(case.query, case.identity, context.stance(case.query.amc)[0], knowledge)
        if upstream is None or not case.upstream:
            return False
        case.away = True
        alone = case.company is None
        asking = upstream.ask(case.client.id, case.query) if alone else self._ask_in_turn(upstream, case)
        task = asyncio.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(functools.partial(self._heard, case))
        return True

    async def _ask_in_turn(self, upstream: Consultant, case: Case) -> Consulted | None:
        """One query of a batch. All of them have the time that one query has: what comes later is not waited for."""
        seconds = self._context.settings.upstream.total_ms / 1000
        try:
            async with asyncio.timeout(seconds), self._turns:
                return None if case.future.done() else await upstream.ask(case.client.id, case.query)
        except TimeoutError:
            return None

    def _heard(self, case: Case, task: asyncio.Task[Consulted | None]) -> None:
        self._asking.discard(task)
        case.away = False
        if case.future.done():  # the caller has gone: nothing is disclosed, nothing recorded
            case.release()
            return
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a fault of our own; the snapshot answers nevertheless
            _LOG.error("upstream_not_asked", error=type(error).__name__, frames=telemetry.frames(error))
        case.consulted = None if error is not None or task.cancelled() else task.result()
        self._come_back(case)


def _each(stage: Callable[[Case], bool], cases: Sequence[Case]) -> list[Case]:
    """Those that stay after a stage. What goes wrong with one must not cost the others their answers."""
    staying = []
    for case in cases:
        try:
            if stage(case):
                staying.append(case)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            fail((case,), error)
    return staying
