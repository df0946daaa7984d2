"""`/admin/v1/clients`: who may ask. A registration, a suspension and its end are orders."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from service.access.clients import Watch, client_body, client_members, parse_client
from service.control.format import Kind
from service.control.intent import Intent
from service.control.state import ClientState, State
from service.errors import InvalidField, NotFound
from service.identifiers import check_finess, is_client_id
from service.jwk import is_private_jwk
from service.web.admin.desk import (
    ADMINS,
    DESK,
    READERS,
    Reasoned,
    Tag,
    admit,
    admit_write,
    current_state,
    decided,
)
from service.web.context import CONTEXT
from service.web.decoding import Text
from service.web.responses import json_response
from service.web.status import timestamp, timestamp_or_null


class ClientBody(Reasoned):
    """The body of `PUT /admin/v1/clients/{id}`: the whole registration; absent budgets are those of the class."""

    client_class: Text = msgspec.field(name="class")
    keys: list[dict[str, Any]]
    finess: list[Text] = msgspec.field(default_factory=list)
    daily: int | None = None
    burst: int | None = None
    unknown: int | None = None
    watch: Text = Watch.ENFORCE.value


class StandingBody(Reasoned):
    """The body of `suspend` and `resume`: of a hub, perhaps what it asks for one FINESS only."""

    finess: Text | None = None


#: What a limit may replace.
_LIMITED: Final = ("daily", "burst", "unknown", "watch")
_CLIENT: Final = msgspec.json.Decoder(ClientBody)
_STANDING: Final = msgspec.json.Decoder(StandingBody)


async def list_clients(request: web.Request) -> web.Response:
    """Every client, by id."""
    admit(request, *READERS)
    state = await current_state(request)
    clients = state.view(_now(request)).clients
    rows = [_members(client_id, known) for client_id, known in sorted(clients.items())]
    return json_response({"order_version": state.version, "clients": rows})


async def read_client(request: web.Request) -> web.Response:
    """One client, with the ETag a write must name."""
    admit(request, *READERS)
    return _response(_client_id(request), await current_state(request), _now(request))


async def register_client(request: web.Request) -> web.Response:
    """Register a client, or a known one anew: these keys and no others. A suspension outlives it."""
    admit(request, *ADMINS)
    client_id = _client_id(request)
    # A hub's list of pharmacies is long.
    limit = request.app[CONTEXT].settings.limits.batch_bytes
    write = await admit_write(request, ADMINS, _tag_of(client_id), _CLIENT, limit)
    registration = msgspec.to_builtins(write.body)
    reason = registration.pop("reason")
    for position, jwk in enumerate(write.body.keys):
        if is_private_jwk(jwk):
            raise InvalidField(
                "a private key, which has now travelled: make another, send its public part", f"/keys/{position}"
            )
    client = parse_client(client_id, registration)
    intent = Intent(
        kind=Kind.CLIENT_REGISTER, scope=client_id, body=client_body(client), reason=reason, actor=write.client.id
    )
    return await decided(request, intent, write.unchanged, lambda state: _response(client_id, state, _now(request)))


async def suspend_client(request: web.Request) -> web.Response:
    """Stop answering a client."""
    return await _set_suspended(request, suspended=True)


async def resume_client(request: web.Request) -> web.Response:
    """Answer a suspended client again."""
    return await _set_suspended(request, suspended=False)


async def _set_suspended(request: web.Request, *, suspended: bool) -> web.Response:
    """A client that is so already stays as it is, and no order is given."""
    admit(request, *ADMINS)
    client_id = _client_id(request)
    _known(client_id, await current_state(request))
    write = await admit_write(request, ADMINS, _tag_of(client_id), _STANDING)
    state = request.app[DESK].ledger.state
    known = _known(client_id, state).at(_now(request))
    finess = None if write.body.finess is None else check_finess(write.body.finess)
    if known.is_suspended(finess) is suspended and (suspended or not known.slowed):
        return _response(client_id, state, _now(request))
    intent = Intent(
        kind=Kind.CLIENT_SUSPEND if suspended else Kind.CLIENT_RESUME,
        scope=client_id,
        body={} if finess is None else {"finess": finess},
        reason=write.body.reason,
        actor=write.client.id,
    )
    return await decided(request, intent, write.unchanged, lambda state: _response(client_id, state, _now(request)))


def _client_id(request: web.Request) -> str:
    client_id = request.match_info["id"]
    if not is_client_id(client_id):
        raise NotFound("no such client: an id is 1 to 64 of a-z, 0-9, '.', '_', '-'")
    return client_id


def _known(client_id: str, state: State) -> ClientState:
    known = state.clients.get(client_id)
    if known is None:
        raise NotFound("no client of this id is registered")
    return known


def _tag_of(client_id: str) -> Tag:
    def tag(state: State, now: dt.datetime) -> str | None:
        known = state.clients.get(client_id)
        return None if known is None else _tag(client_id, known.at(now))

    return tag


def _tag(client_id: str, known: ClientState) -> str:
    """By the last order about it and by its limits that are left, for these end without one."""
    ending = f"-{len(known.limits)}" if known.limits else ""
    return f'"{client_id}-{known.version}{ending}"'


def _members(client_id: str, known: ClientState) -> dict[str, Any]:
    """The registration as `PUT` takes it: to write back what was read must not make a limit last for ever."""
    return client_members(client_id, known.registered) | {
        "suspended": known.suspended,
        "since": timestamp_or_null(known.since),
        "reason": known.reason,
        "suspended_finess": [
            {"finess": finess, "since": timestamp(one.since), "reason": one.reason}
            for finess, one in sorted(known.suspended_finess.items())
        ],
        "order": known.version,
        "now": {name: known.body.get(name) for name in _LIMITED},
        "limits": [{**limit.members, "until": timestamp(limit.until)} for limit in known.limits],
        "etag": _tag(client_id, known),
    }


def _response(client_id: str, state: State, now: dt.datetime) -> web.Response:
    known = _known(client_id, state).at(now)
    return json_response(_members(client_id, known), headers={hdrs.ETAG: _tag(client_id, known)})


def _now(request: web.Request) -> dt.datetime:
    return request.app[CONTEXT].clock.now()
