"""From normalised queries to recorded answers in bytes: shared by every face that asks for rights.

Answers that wait together are worked out together, one stage for all of them and then the next. One by one, each
query runs through all of this code, which is larger than the processor's first cache; stage by stage the same work
costs less than half.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hmac
import os
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog
from msgspec import UNSET

from service.access.clients import Client
from service.access.gate import resolve_finess
from service.base64url import b64u
from service.errors import AccessError, AvailabilityError, CallerError, JournalUnwritable, NoSnapshot, ServiceSuspended
from service.journal.entries import Pending, Receipt
from service.rights import question
from service.rights.decide import Decision, decide
from service.rights.lookup import find_record
from service.rights.model import Absence, Contract, Query, Status
from service.rights.reasons import Reason
from service.rights.render import render
from service.strictjson import canonical
from service.uuid7 import UUID7_BYTES, uuid7
from service.web.context import Context
from service.web.decoding import decode_rights, normalise

_LOG: Final = structlog.get_logger(__name__)
_OPENING_BYTES: Final = 16
_CHANCE_BYTES: Final = _OPENING_BYTES + UUID7_BYTES


class _Case:
    """One query on its way through the stages; each fills its own member in."""

    query: Query
    identity: str | None
    asked: bytes
    record: tuple[Contract, ...] | Absence
    decision: Decision
    members: dict[str, Any]
    opening: bytes
    answer: bytes

    def __init__(self, client: Client, body: bytes, future: asyncio.Future[bytes]) -> None:
        self.client = client
        self.body = body
        self.future = future


class Answerer:
    """Answers the queries of one worker, once a turn of its event loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: list[_Case] = []

    def answer(self, client: Client, body: bytes) -> asyncio.Future[bytes]:
        """The whole response body, once it is recorded.

        Fails with `MalformedJson`, `InvalidField`, `FinessNotAllowed`, `ServiceSuspended`, `NoSnapshot`,
        `JournalUnwritable`.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._gather, 0)
        case = _Case(client, body, loop.create_future())
        self._waiting.append(case)
        return case.future

    def _gather(self, seen: int) -> None:
        """Wait another turn of the loop while more queries keep coming in; a lone one waits for one turn."""
        if len(self._waiting) > seen:
            asyncio.get_running_loop().call_soon(self._gather, len(self._waiting))
            return
        cases, self._waiting = self._waiting, []
        self._answer(cases)

    def _answer(self, cases: list[_Case]) -> None:
        try:
            self._work(cases)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            if len(cases) == 1 or isinstance(error, AvailabilityError | JournalUnwritable):
                _fail(cases, error)
                return
            # What is wrong with one query must not cost the others their answers.
            for case in cases:
                self._answer([case])

    def _work(self, cases: list[_Case]) -> None:
        context = self._context
        snapshot, knowledge, journal = context.snapshot, context.knowledge, context.journal
        if context.suspended:  # since the request was let in
            raise ServiceSuspended
        if journal is None:
            raise JournalUnwritable
        if snapshot is None or knowledge is None:
            raise NoSnapshot
        now = context.clock.now()
        cases = self._understood(cases, now)
        for case in cases:
            case.identity = question.identity(case.query)
            case.asked = question.normalised(case.query)
        for case in cases:
            case.record = find_record(snapshot, knowledge, case.identity, now)
        self._alarm([case.record for case in cases])
        for case in cases:
            case.decision = decide(case.record, case.query, knowledge, context.stance(case.query.amc)[0], now)
        for case in cases:
            case.members = render(case.decision, knowledge)
        self._complete(cases, now)
        for case in cases:
            case.answer = canonical(case.members)
        if not cases:
            return
        recorded = journal.record_all([_pending(case, knowledge.snapshot) for case in cases])
        recorded.add_done_callback(lambda done: _deliver(cases, done))

    def _understood(self, cases: Sequence[_Case], now: dt.datetime) -> list[_Case]:
        """The cases whose body is a query this client may ask; the others are told why not."""
        rules, today = self._context.settings.query, self._context.today(now)
        understood = []
        for case in cases:
            try:
                body = decode_rights(case.body)
                finess = resolve_finess(case.client, None if body.finess is UNSET else body.finess)
                case.query = normalise(body, finess, today, rules.past_days, rules.ahead_days)
            except (CallerError, AccessError) as error:
                _fail((case,), error)
            else:
                understood.append(case)
        return understood

    def _alarm(self, records: Sequence[tuple[Contract, ...] | Absence]) -> None:
        """A record that does not open is unknown to the caller; the operator must hear of it."""
        unreadable = records.count(Absence.UNREADABLE)
        if unreadable:
            self._context.unreadable_records += unreadable
            _LOG.error("record_unreadable", records=unreadable)

    def _complete(self, cases: Sequence[_Case], now: dt.datetime) -> None:
        """What an answer says of itself: its id, when, to whom, to which question, in which mode."""
        chance = os.urandom(_CHANCE_BYTES * len(cases))
        milliseconds = int(now.timestamp() * 1000)
        at = f"{now.isoformat(timespec='milliseconds')[:-6]}Z"
        for number, case in enumerate(cases):
            start = number * _CHANCE_BYTES
            case.opening = chance[start : start + _OPENING_BYTES]
            query, members = case.query, case.members
            members.update(self._context.stance(query.amc)[1])
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


def _pending(case: _Case, sequence: int) -> Pending:
    return Pending(
        answer=case.answer,
        query=case.asked,
        opening=case.opening,
        identity=case.identity,
        client=case.client.id,
        finess=case.query.finess,
        lease=None,
        disclosed=disclosed(case.decision),
        status=case.decision.status,
        reasons=case.decision.reasons,
        snapshot=sequence,
    )


def _deliver(cases: Sequence[_Case], done: asyncio.Future[tuple[Receipt, ...]]) -> None:
    error = JournalUnwritable() if done.cancelled() else done.exception()
    if error is not None:
        _fail(cases, error)
        return
    for case, receipt in zip(cases, done.result(), strict=True):
        if not case.future.done():  # the caller may have gone
            case.future.set_result(_envelope(case, receipt))


def _fail(cases: Sequence[_Case], error: BaseException) -> None:
    for case in cases:
        if not case.future.done():
            case.future.set_exception(error)


def _envelope(case: _Case, receipt: Receipt) -> bytes:
    return orjson.dumps(
        {
            "answer": orjson.Fragment(case.answer),
            "counter_text": case.decision.counter_text,
            "receipt": {"head": receipt.head, "index": receipt.index, "path": receipt.path},
            "opening": b64u(case.opening),
        }
    )
