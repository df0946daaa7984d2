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
from aiohttp import web

from service.access.clients import Client
from service.base64url import b64u
from service.errors import JournalUnwritable, NoSnapshot, ServiceSuspended
from service.journal.entries import Pending, Receipt, instant
from service.rights.decide import Decision
from service.rights.lookup import decide_from, find_record
from service.rights.model import Absence, Contract, Knowledge, Planted, Stance, Status
from service.rights.reasons import Reason
from service.rights.render import render
from service.sentinel.witness import Witness
from service.snapshot.opened import Snapshot
from service.strictjson import canonical
from service.uuid7 import UUID7_BYTES, uuid7
from service.web.admission import Admission
from service.web.batch import Batch
from service.web.case import Case, Company, fail
from service.web.context import Context

_LOG: Final = structlog.get_logger(__name__)
#: More queries wait for the turn after: a turn of this many takes some 15 ms, in which no request comes in.
TURN_CASES: Final = 256
_OPENING_BYTES: Final = 16
_CHANCE_BYTES: Final = _OPENING_BYTES + UUID7_BYTES


class Answerer:
    """Answers the queries of one worker, once a turn of its event loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: list[Case] = []
        self._admission = Admission(context, self._wait)

    def answer(self, client: Client, body: bytes) -> asyncio.Future[bytes]:
        """The whole response body, once it is recorded.

        Fails with `MalformedJson`, `InvalidField`, `FinessNotAllowed`, `TooFast`, `BudgetExhausted`,
        `ServiceSuspended`, `NoSnapshot`, `JournalUnwritable`.
        """
        future = asyncio.get_running_loop().create_future()
        self._wait(Case(client, body, future))
        return future

    def answer_batch(self, client: Client, bodies: Sequence[bytes]) -> asyncio.Future[bytes]:
        """The whole response body to several queries, once all of them are recorded or have their problem.

        Fails, and charges nothing, with `ClientSuspended`, `ScopeMissing`, `ServiceSuspended`, `NoSnapshot`,
        `Overloaded`, `JournalUnwritable`.
        """
        future = asyncio.get_running_loop().create_future()
        for case in Batch(client, bodies, future, self._wait).cases:
            self._wait(case)
        return future

    def _wait(self, case: Case) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._gather, 0)
        self._waiting.append(case)

    def _gather(self, seen: int) -> None:
        """Wait another turn of the loop while more queries keep coming in; a lone one waits for one turn."""
        waiting = self._waiting
        if seen < len(waiting) < TURN_CASES:
            asyncio.get_running_loop().call_soon(self._gather, len(waiting))
            return
        end = TURN_CASES
        while (
            end < len(waiting) and waiting[end].company is not None and waiting[end].company is waiting[end - 1].company
        ):
            end += 1
        cases, self._waiting = waiting[:end], waiting[end:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._gather, len(self._waiting))
        try:
            self._work(cases)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            fail(cases, error)

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
        admitted = self._admission.admit(cases, knowledge, now)
        going = _going(admitted, now)
        for group in _groups(self._decided(going, snapshot, knowledge, now)):
            recorded = journal.record_all([_pending(case) for case in group])
            recorded.add_done_callback(functools.partial(_deliver, group, context.witness))

    def _decided(self, cases: list[Case], snapshot: Snapshot, knowledge: Knowledge, now: dt.datetime) -> list[Case]:
        """The cases with their answers. What breaks us about one query must not cost the others theirs."""
        try:
            self._decide(cases, snapshot, knowledge, now)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            if len(cases) == 1:
                fail(cases, error)
                return []
            return [case for one in cases for case in self._decided([one], snapshot, knowledge, now)]
        return cases

    def _decide(self, cases: list[Case], snapshot: Snapshot, knowledge: Knowledge, now: dt.datetime) -> None:
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


ANSWERER: Final[web.AppKey[Answerer]] = web.AppKey("answerer", Answerer)


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


def _going(cases: Sequence[Case], now: dt.datetime) -> list[Case]:
    """The cases that wait for nobody: those of a batch go once the last of them is here."""
    going: list[Case] = []
    for case in cases:
        company = case.company
        if company is None:
            going.append(case)
        elif case.future.done():  # the caller has gone, or the whole batch was refused
            case.release()
        elif company.going:
            going.append(case)
        else:
            going += company.arrived(case, now)
    return going


def _groups(cases: Sequence[Case]) -> list[list[Case]]:
    """The cases as they are recorded: those of a batch by themselves, so that none of it depends on anybody else."""
    groups: dict[Company | None, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.company, []).append(case)
    return list(groups.values())


def _deliver(cases: Sequence[Case], witness: Witness | None, done: asyncio.Future[tuple[Receipt, ...]]) -> None:
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
