"""What every admin route goes through: who may, on what they saw, with which body, and what was decided.

The checks come in one order, whatever the resource: token (401), class (403), `If-Match` (428, 412), then the body.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web

from service.access.clients import ADMIN_CLASSES, Client, ClientClass
from service.access.gate import require_class
from service.control.decisions import Decisions
from service.control.format import REASON_CHARACTERS, Order, check_reason, parse_instant, parse_scope
from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.proposals import Proposal
from service.control.state import State
from service.errors import (
    ChainBroken,
    ClientSuspended,
    Conflict,
    InvalidField,
    NotFound,
    OperatorError,
    PreconditionFailed,
    PreconditionRequired,
    ScopeMissing,
    StoreUnavailable,
    TrustError,
    VersionConflict,
)
from service.exposing import Meter
from service.web.admin.holdings import Holdings
from service.web.admin.proposed import proposal_response
from service.web.bodies import read_json
from service.web.context import CONTEXT
from service.web.decoding import decode, refuse_repeated_keys

READERS: Final = tuple(sorted(ADMIN_CLASSES))
OPERATORS: Final = (ClientClass.ADMIN, ClientClass.OPERATOR)
ADMINS: Final = (ClientClass.ADMIN,)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the admin routes of one worker work on. `ledger` is the one `decisions` appends to.

    Whoever reads a snapshot whole holds `verifying`: one at a time, for it takes the disk for minutes.
    """

    ledger: Ledger
    decisions: Decisions
    holdings: Holdings
    meter: Meter
    verifying: asyncio.Lock = field(default_factory=asyncio.Lock)


DESK: Final[web.AppKey[Desk]] = web.AppKey("desk", Desk)


class Reasoned(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every write says: why."""

    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS)]


#: Of a write that says nothing else.
REASON: Final = msgspec.json.Decoder(Reasoned)

_Body = TypeVar("_Body", bound=Reasoned)
#: The ETag of a resource in a state at an instant; None where there is no such resource.
Tag = Callable[[State, dt.datetime], str | None]


@dataclass(frozen=True, slots=True)
class Admitted(Generic[_Body]):
    """A write that may be judged: its author, what it wants, and what it was decided on.

    `unchanged` raises `PreconditionFailed` for another state than the author saw, `ClientSuspended` or `ScopeMissing`
    where the author may order no more: between the body and the order a snapshot may be read for minutes.
    """

    client: Client
    body: _Body
    unchanged: Callable[[State], None]


def admit(request: web.Request, *classes: ClientClass) -> Client:
    """Who asks. Raises what the gate raises, and `ScopeMissing` for a client of another class."""
    context = request.app[CONTEXT]
    client = context.gate.authenticate(request.headers.get(hdrs.AUTHORIZATION), context.clock.now())
    require_class(client, *classes)
    return client


async def admit_write(
    request: web.Request,
    classes: tuple[ClientClass, ...],
    tag: Tag,
    decoder: msgspec.json.Decoder[_Body],
    limit_bytes: int | None = None,
) -> Admitted[_Body]:
    """A write, checked as far as its form. Raises as the module says, in that order."""
    context, ledger = request.app[CONTEXT], request.app[DESK].ledger
    admit(request, *classes)
    wanted = _precondition(request.headers)

    def unchanged(state: State) -> None:
        if not wanted(tag(state, context.clock.now())):
            raise PreconditionFailed("it has changed since it was read, or is not there, or there already")

    await asyncio.to_thread(ledger.refresh)
    unchanged(ledger.state)
    raw = await read_json(request, context, limit_bytes or context.settings.limits.body_bytes)
    # A body may take seconds: who was suspended meanwhile orders nothing.
    client = admit(request, *classes)
    body = decode(raw, decoder)
    refuse_repeated_keys(raw)
    check_reason(body.reason)

    def as_admitted(state: State) -> None:
        unchanged(state)
        _check_standing(state, client.id, classes)

    return Admitted(client, body, as_admitted)


async def current_state(request: web.Request) -> State:
    """The state by the store: who has just written through another worker must not be handed an ETag of the past.

    While the store is lost, the last state stands.
    """
    ledger = request.app[DESK].ledger
    with contextlib.suppress(StoreUnavailable, ChainBroken):
        await asyncio.to_thread(ledger.refresh)
    return ledger.state


async def decided(
    request: web.Request, intent: Intent, expected: Callable[[State], None], told: Callable[[State], web.Response]
) -> web.Response:
    """The response to an intent: the resource as `told` of the new state, or 202 with the proposal it became."""
    desk, now = request.app[DESK], request.app[CONTEXT].clock.now()
    with as_conflict():
        decision = await asyncio.to_thread(desk.decisions.decide, intent, now, expected)
    return decision_response(request, decision, told)


def decision_response(
    request: web.Request, decision: Order | Proposal, told: Callable[[State], web.Response]
) -> web.Response:
    """200 where the order is given, 202 where it waits for a second person."""
    if isinstance(decision, Proposal):
        return proposal_response(decision, status=202)
    return told(request.app[DESK].ledger.state)


def parse_path_scope(request: web.Request) -> str:
    """The scope a path names. Raises `NotFound`."""
    try:
        return parse_scope(request.match_info["scope"])
    except InvalidField:
        raise NotFound("no such scope") from None


def parse_until(text: str | None, now: dt.datetime) -> dt.datetime | None:
    """An end yet to come. Raises `InvalidField`."""
    if text is None:
        return None
    until = parse_instant(text, "/until")
    if until <= now:
        raise InvalidField("in the past", "/until")
    return until


@contextlib.contextmanager
def as_conflict(pointer: str = "") -> Iterator[None]:
    """What a command would refuse, and why, as a `Conflict`: those who ask here may know."""
    try:
        yield
    except (OperatorError, TrustError, VersionConflict) as error:
        raise Conflict(error.detail, pointer) from None


def _check_standing(state: State, client_id: str, classes: tuple[ClientClass, ...]) -> None:
    known = state.clients.get(client_id)
    if known is None or known.suspended:
        raise ClientSuspended("this client was suspended meanwhile")
    if known.body.get("class") not in classes:
        raise ScopeMissing("this client's class was changed meanwhile")


def _precondition(headers: Mapping[str, str]) -> Callable[[str | None], bool]:
    """What a resource's ETag (None: it is not there) must fulfil (RFC 9110 §13.1). Raises `PreconditionRequired`."""
    match, none_match = headers.get(hdrs.IF_MATCH), headers.get(hdrs.IF_NONE_MATCH)
    if match is not None:
        named = {one.strip() for one in match.split(",")}
        return lambda tag: tag is not None and ("*" in named or tag in named)
    if none_match is not None and none_match.strip() == "*":
        return lambda tag: tag is None
    raise PreconditionRequired("name the ETag you saw in If-Match; If-None-Match: * for what is not there yet")
