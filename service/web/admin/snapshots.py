"""`/admin/v1/snapshots`: what is held, which of it serves, and going back to what served before."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import hdrs, web

from service.admission import activation_intent, floor_kept, pin_intent, serves
from service.control.format import EVERYWHERE, Kind, Order
from service.control.intent import Intent
from service.control.orders import subject_of
from service.control.proposals import Proposal
from service.control.state import State
from service.errors import Conflict, NotFound
from service.snapshot.folder import Progress
from service.web.admin.desk import (
    DESK,
    OPERATORS,
    READERS,
    REASON,
    Desk,
    Reasoned,
    admit,
    admit_write,
    as_conflict,
    current_state,
    decided,
    decision_response,
    parse_until,
)
from service.web.context import CONTEXT
from service.web.decoding import Text
from service.web.responses import json_response
from service.web.status import timestamp, timestamp_or_null

_SEQUENCE: Final = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_SUBJECT: Final = subject_of(Kind.SNAPSHOT_ACTIVATE, EVERYWHERE, {})
_Result = TypeVar("_Result")


class ActivateBody(Reasoned):
    """The body of `POST /admin/v1/snapshots/{sequence}/activate`; `accept`: the reason lets the findings pass."""

    accept: bool = False


class PinBody(Reasoned):
    """The body of `POST /admin/v1/snapshots/{sequence}/pin`."""

    until: Text


_ACTIVATE: Final = msgspec.json.Decoder(ActivateBody)
_PIN: Final = msgspec.json.Decoder(PinBody)


async def list_snapshots(request: web.Request) -> web.Response:
    """What serves, what is pinned, every snapshot held and the verdict on it."""
    admit(request, *READERS)
    state, now = await current_state(request), request.app[CONTEXT].clock.now()
    with as_conflict():
        held = await asyncio.to_thread(request.app[DESK].holdings.listed, state)
    return json_response({**_serving(state, now), **held}, headers={hdrs.ETAG: _tag(state, now)})


async def activate(request: web.Request) -> web.Response:
    """Activate a snapshot the home holds, after verifying it again, as `relais snapshot activate` does."""
    admit(request, *OPERATORS)
    sequence = _sequence(request)
    write = await admit_write(request, OPERATORS, _tag, _ACTIVATE)
    desk, clock = request.app[DESK], request.app[CONTEXT].clock
    state, reason = desk.ledger.state, write.body.reason

    def expected(now: State) -> None:
        write.unchanged(now)
        floor_kept(state)(now)

    def work(step: Progress) -> Order | Proposal | None:
        examination = desk.holdings.judged(sequence, state, reason if write.body.accept else None, step)
        if serves(state, sequence, examination.digest):
            return None
        with desk.holdings.refusals_noted(examination):
            intent = activation_intent(examination, write.client.id, reason)
            decision = desk.decisions.decide(intent, clock.now(), expected)
        if isinstance(decision, Order):
            desk.holdings.settle(decision)
        return decision

    async with _verifying(desk):
        decision = await _aside(work)
    if decision is None:
        return _response(desk.ledger.state, clock.now())
    return decision_response(request, decision, lambda after: _response(after, clock.now()))


async def pin(request: web.Request) -> web.Response:
    """Serve an earlier snapshot until a time; every later one is put in quarantine, for good."""
    admit(request, *OPERATORS)
    sequence = _sequence(request)
    write = await admit_write(request, OPERATORS, _tag, _PIN)
    desk, clock = request.app[DESK], request.app[CONTEXT].clock
    state, until = desk.ledger.state, parse_until(write.body.until, clock.now())

    def work(step: Progress) -> Order | Proposal:
        with desk.holdings.pinnable(
            sequence, state, lambda held: pin_intent(held, write.client.id, write.body.reason, until), step
        ) as intent:
            return desk.decisions.decide(intent, clock.now(), write.unchanged)

    async with _verifying(desk):
        decision = await _aside(work)
    return decision_response(request, decision, lambda after: _response(after, clock.now()))


async def unpin(request: web.Request) -> web.Response:
    """End a pin; the snapshot it held serves on until a higher one is activated."""
    write = await admit_write(request, OPERATORS, _tag, REASON)
    clock = request.app[CONTEXT].clock

    def is_pinned(state: State) -> None:
        write.unchanged(state)
        if state.view(clock.now()).pin is None:
            raise NotFound("no snapshot is pinned")

    intent = Intent(
        kind=Kind.SNAPSHOT_UNPIN, scope=EVERYWHERE, body={}, reason=write.body.reason, actor=write.client.id
    )
    return await decided(request, intent, is_pinned, lambda after: _response(after, clock.now()))


@contextlib.asynccontextmanager
async def _verifying(desk: Desk) -> AsyncIterator[None]:
    if desk.verifying.locked():
        raise Conflict("another snapshot is being verified here: wait for it to end")
    async with desk.verifying:
        with as_conflict():
            yield


async def _aside(work: Callable[[Progress], _Result]) -> _Result:
    """What `work` gives in a thread; a server that ends does not wait for it to read to the end."""
    ended = threading.Event()

    def step(_done: int, _total: int) -> None:
        if ended.is_set():
            raise asyncio.CancelledError

    try:
        return await asyncio.to_thread(work, step)
    finally:
        ended.set()


def _sequence(request: web.Request) -> int:
    text = request.match_info["sequence"]
    if not _SEQUENCE.fullmatch(text):
        raise NotFound("a sequence is a number from 1 on")
    return int(text)


def _tag(state: State, now: dt.datetime) -> str:
    """One for all snapshots, since there is only one that serves; the end of a pin changes it too."""
    pinned = "" if state.view(now).pin is None else "-pinned"
    return f'"snapshots-{state.touched.get(_SUBJECT, 0)}{pinned}"'


def _serving(state: State, now: dt.datetime) -> dict[str, Any]:
    active, pinned = state.activation, state.view(now).pin
    return {
        "order_version": state.version,
        "active": active
        and {
            "sequence": active.sequence,
            "digest": active.digest,
            "since": timestamp(active.at),
            "order": active.version,
        },
        "pin": pinned
        and {
            "sequence": pinned.sequence,
            "since": timestamp(pinned.since),
            "until": timestamp_or_null(pinned.until),
            "reason": pinned.reason,
            "order": pinned.version,
        },
    }


def _response(state: State, now: dt.datetime) -> web.Response:
    return json_response(_serving(state, now), headers={hdrs.ETAG: _tag(state, now)})
