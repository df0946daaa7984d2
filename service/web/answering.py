"""From normalised queries to recorded answers in bytes: shared by every face that asks for rights.

Answers that wait together are worked out together, one stage for all of them and then the next. One by one, each
query runs through all of this code, which is larger than the processor's first cache; stage by stage the same work
costs less than half.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import hmac
import os
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog
from msgspec import UNSET

from service import telemetry
from service.access.clients import Client
from service.access.gate import resolve_finess
from service.base64url import b64u
from service.errors import (
    AccessError,
    AvailabilityError,
    CallerError,
    ClientSuspended,
    JournalUnwritable,
    LimitReached,
    NoSnapshot,
    Overloaded,
    ServiceSuspended,
)
from service.journal.entries import Pending, Receipt, instant
from service.rights import question
from service.rights.decide import Decision
from service.rights.heard import Consulted
from service.rights.lookup import decide_from, find_record, goes_upstream
from service.rights.model import Absence, Contract, Knowledge, Planted, Stance, Status
from service.rights.reasons import Reason
from service.rights.render import render
from service.sentinel.witness import Witness
from service.strictjson import canonical
from service.uuid7 import UUID7_BYTES, uuid7
from service.web.case import Case, fail
from service.web.context import Context
from service.web.decoding import decode_rights, normalise

_LOG: Final = structlog.get_logger(__name__)
_OPENING_BYTES: Final = 16
_CHANCE_BYTES: Final = _OPENING_BYTES + UUID7_BYTES


class Answerer:
    """Answers the queries of one worker, once a turn of its event loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: list[Case] = []
        self._asking: set[asyncio.Task[Consulted | None]] = set()

    def answer(self, client: Client, body: bytes) -> asyncio.Future[bytes]:
        """The whole response body, once it is recorded.

        Fails with `MalformedJson`, `InvalidField`, `FinessNotAllowed`, `TooFast`, `BudgetExhausted`,
        `ServiceSuspended`, `NoSnapshot`, `JournalUnwritable`.
        """
        case = Case(client, body, asyncio.get_running_loop().create_future())
        self._wait(case)
        return case.future

    def _wait(self, case: Case) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._gather, 0)
        self._waiting.append(case)

    def _gather(self, seen: int) -> None:
        """Wait another turn of the loop while more queries keep coming in; a lone one waits for one turn."""
        if len(self._waiting) > seen:
            asyncio.get_running_loop().call_soon(self._gather, len(self._waiting))
            return
        cases, self._waiting = self._waiting, []
        self._answer(cases)

    def _answer(self, cases: list[Case]) -> None:
        try:
            self._work(cases)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            if len(cases) == 1 or isinstance(error, AvailabilityError | JournalUnwritable):
                fail(cases, error)
                return
            # What is wrong with one query must not cost the others their answers.
            for case in cases:
                if not case.away:
                    self._answer([case])

    def _work(self, cases: list[Case]) -> None:
        context = self._context
        snapshot, knowledge, journal = context.snapshot, context.knowledge, context.journal
        if context.suspended:  # since the request was let in
            raise ServiceSuspended
        if journal is None:
            raise JournalUnwritable
        if snapshot is None or knowledge is None:
            raise NoSnapshot
        now = context.clock.now()
        back = self._still_admitted([case for case in cases if case.understood])
        fresh = self._understood([case for case in cases if not case.understood], now)
        for case in fresh:
            case.identity = question.identity(case.query)
            case.asked = question.normalised(case.query)
        consulted = [case for case in back if case.admitted]
        charged = self._charged([*fresh, *(case for case in back if not case.admitted)], now)
        cases = [*consulted, *self._without_upstream(charged, knowledge)]
        for case in cases:
            case.record = find_record(snapshot, knowledge, case.identity, now)
        self._alarm([case.record for case in cases])
        for case in cases:
            stance = self._stance(case)[0]
            case.decision, case.source = decide_from(case.consulted, case.record, case.query, knowledge, stance, now)
        for case in cases:
            case.members = render(case.decision, case.source)
        self._complete(cases, now)
        for case in cases:
            case.answer = canonical(case.members)
        if not cases:
            return
        recorded = journal.record_all([_pending(case) for case in cases])
        witness = context.witness
        recorded.add_done_callback(lambda done: _deliver(cases, done, witness))

    def _understood(self, cases: Sequence[Case], now: dt.datetime) -> list[Case]:
        """The cases whose body is a query this client may ask; the others are told why not."""
        rules, today = self._context.settings.query, self._context.today(now)
        understood = []
        for case in cases:
            try:
                body = decode_rights(case.body)
                finess = resolve_finess(case.client, None if body.finess is UNSET else body.finess)
                case.query = normalise(body, finess, today, rules.past_days, rules.ahead_days)
            except (CallerError, AccessError) as error:
                fail((case,), error)
            else:
                case.understood = True
                understood.append(case)
        return understood

    def _charged(self, cases: list[Case], now: dt.datetime) -> list[Case]:
        """The cases that today's budget pays for; some come back once a lease was drawn, others are told to stop."""
        charging, admitted = self._context.charging, []
        for case in cases:
            if charging is not None:
                try:
                    case.charge = charging.take(case.client, case.query.finess, now)
                except LimitReached as error:
                    fail((case,), error)
                    continue
                if case.charge is None:
                    case.away = True
                    charging.drawn(case.client, case.query.finess).add_done_callback(
                        functools.partial(self._lent, case)
                    )
                    continue
            case.admitted = True
            admitted.append(case)
        return admitted

    def _lent(self, case: Case, drawn: asyncio.Future[None]) -> None:
        case.away = False
        error = Overloaded() if drawn.cancelled() else drawn.exception()
        if error is not None:
            fail((case,), error)
        elif not case.future.done():
            self._wait(case)

    def _without_upstream(self, cases: list[Case], knowledge: Knowledge) -> list[Case]:
        """The cases that the snapshot answers at once; the others come back once the upstream has been asked."""
        context = self._context
        if not context.live:
            return cases
        upstream = None if context.upstream is None or context.upstream.is_silent() else context.upstream
        staying = []
        for case in cases:
            case.upstream = goes_upstream(case.query, case.identity, context.stance(case.query.amc)[0], knowledge)
            if upstream is None or not case.upstream:
                staying.append(case)
                continue
            case.away = True
            task = asyncio.create_task(upstream.ask(case.client.id, case.query))
            self._asking.add(task)
            task.add_done_callback(functools.partial(self._come_back, case))
        return staying

    def _come_back(self, case: Case, task: asyncio.Task[Consulted | None]) -> None:
        self._asking.discard(task)
        case.away = False
        if case.future.done():  # the caller has gone: nothing is disclosed, nothing recorded
            case.release()
            return
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a fault of our own; the snapshot answers nevertheless
            _LOG.error("upstream_not_asked", error=type(error).__name__, frames=telemetry.frames(error))
        case.consulted = None if error is not None or task.cancelled() else task.result()
        self._wait(case)

    def _still_admitted(self, cases: list[Case]) -> list[Case]:
        """Who was suspended, or lost the pharmacy, while the upstream was asked gets no answer."""
        admitted = []
        for case in cases:
            known = self._context.registry.get(case.client.id)
            if known is None or known.suspended:
                fail((case,), ClientSuspended("this client is suspended"))
                continue
            try:
                resolve_finess(known, case.query.finess)
            except AccessError as error:
                fail((case,), error)
            else:
                admitted.append(case)
        return admitted

    def _stance(self, case: Case) -> tuple[Stance, dict[str, Any]]:
        return self._context.stance(case.query.amc, upstream_failed=case.upstream and case.consulted is None)

    def _alarm(self, records: Sequence[tuple[Contract, ...] | Absence]) -> None:
        """A record that does not open is unknown to the caller; the operator must hear of it."""
        unreadable = records.count(Absence.UNREADABLE)
        if unreadable:
            self._context.unreadable_records += unreadable
            _LOG.error("record_unreadable", records=unreadable)

    def _complete(self, cases: Sequence[Case], now: dt.datetime) -> None:
        """What an answer says of itself: its id, when, to whom, to which question, in which mode."""
        chance = os.urandom(_CHANCE_BYTES * len(cases))
        milliseconds = int(now.timestamp() * 1000)
        at = instant(now)
        for number, case in enumerate(cases):
            start = number * _CHANCE_BYTES
            case.opening = chance[start : start + _OPENING_BYTES]
            query, members = case.query, case.members
            members.update(self._stance(case)[1])
            members["id"] = uuid7(milliseconds, chance[start + _OPENING_BYTES : start + _CHANCE_BYTES])
            members["at"] = at
            members["for"] = {"client": case.client.id, "finess": query.finess}
            members["asked"] = b64u(commitment(case.opening, case.asked))
            members["service_date"] = query.service_date.isoformat()


def commitment(opening: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) under the opening: binds an answer to its question and hides it from whoever lacks it."""
    return hmac.digest(opening, message, "sha256")


def disclosed(decision: Decision) -> str:
    """How much of a person an answer gave away: nothing, that a status is known, or a contract's card block."""
    for shown in decision.contracts:
        if shown.status is not Status.CLOSED and Reason.AMC_EXCLUDED not in shown.reasons:
            return "contract"
    return "status" if decision.contracts or decision.status is not Status.UNKNOWN else "none"


def _pending(case: Case) -> Pending:
    return Pending(
        answer=case.answer,
        query=case.asked,
        opening=case.opening,
        identity=case.identity,
        client=case.client.id,
        finess=case.query.finess,
        lease=None if case.charge is None else case.charge.lease,
        disclosed=disclosed(case.decision),
        status=case.decision.status,
        reasons=case.decision.reasons,
        snapshot=case.source.snapshot,
    )


def _deliver(cases: Sequence[Case], done: asyncio.Future[tuple[Receipt, ...]], witness: Witness | None) -> None:
    error = JournalUnwritable() if done.cancelled() else done.exception()
    if error is not None:
        fail(cases, error)
        return
    for case, receipt in zip(cases, done.result(), strict=True):
        unknown = Reason.BENEFICIARY_UNKNOWN in case.decision.reasons
        if case.charge is not None:
            case.charge.recorded(unknown=unknown)
        if witness is not None:
            witness.saw(case.client.id, case.query, unknown=unknown, canary=isinstance(case.record, Planted))
        if not case.future.done():  # the caller may have gone
            case.future.set_result(_envelope(case, receipt))


def _envelope(case: Case, receipt: Receipt) -> bytes:
    body = orjson.dumps(
        {
            "answer": orjson.Fragment(case.answer),
            "counter_text": case.decision.counter_text,
            "receipt": {"head": receipt.head, "index": receipt.index, "path": receipt.path},
            "opening": b64u(case.opening),
        }
    )
    # orjson leaves its whole buffer, 8 KB, behind what it wrote, and retries keep this: a copy is as long as it is.
    return bytes(memoryview(body))
