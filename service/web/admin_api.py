"""The admin server's API: modes by scope. Every write is an order with an author and a reason."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from service.access.clients import ADMIN_CLASSES, Client, ClientClass
from service.access.gate import require_class
from service.control.format import EVERYWHERE, Kind, ModeName, parse_scope
from service.control.ledger import Intent, Ledger
from service.control.modes import check_mode
from service.control.state import DEFAULT_MODE, ModeState, State, View
from service.errors import (
    ChainBroken,
    Conflict,
    InvalidField,
    NotFound,
    OperatorError,
    PreconditionFailed,
    PreconditionRequired,
    StoreUnavailable,
)
from service.jwk import PrivateKey
from service.web.bodies import read_json
from service.web.context import CONTEXT
from service.web.decoding import ModeBody, decode, refuse_repeated_keys
from service.web.responses import json_response
from service.web.status import timestamp

LEDGER: Final[web.AppKey[Ledger]] = web.AppKey("ledger", Ledger)
ORDER_KEY: Final[web.AppKey[PrivateKey]] = web.AppKey("order_key", PrivateKey)
_MODE: Final = msgspec.json.Decoder(ModeBody)


async def read_mode(request: web.Request) -> web.Response:
    """The mode of one scope, with the ETag a write must name.

    Read from the store: who has just written through another worker must not be handed an ETag of the past. While
    the store is lost, the last state stands.
    """
    _authenticated(request, *ADMIN_CLASSES)
    scope = _scope(request)
    ledger = request.app[LEDGER]
    with contextlib.suppress(StoreUnavailable, ChainBroken):
        await asyncio.to_thread(ledger.refresh)
    return _mode_response(scope, ledger.state.view(request.app[CONTEXT].clock.now()))


async def write_mode(request: web.Request) -> web.Response:
    """Set the mode of one scope."""
    context = request.app[CONTEXT]
    _authenticated(request, ClientClass.ADMIN, ClientClass.OPERATOR)
    scope = _scope(request)
    match = request.headers.get(hdrs.IF_MATCH)
    if match is None:
        raise PreconditionRequired("name the ETag of the mode you saw in If-Match")

    def unchanged(state: State) -> None:
        if match not in ("*", _etag(state.view(context.clock.now()), scope)):
            raise PreconditionFailed("the mode has changed since it was read")

    ledger = request.app[LEDGER]
    await asyncio.to_thread(ledger.refresh)
    unchanged(ledger.state)
    raw = await read_json(request, context, context.settings.limits.body_bytes)
    # A body may take seconds: who was suspended meanwhile orders nothing.
    client = _authenticated(request, ClientClass.ADMIN, ClientClass.OPERATOR)
    body = decode(raw, _MODE)
    refuse_repeated_keys(raw)
    _check_mode(body.mode)
    intent = Intent(
        kind=Kind.MODE_SET,
        scope=scope,
        body={"mode": body.mode},
        reason=body.reason,
        actor=client.id,
        until=None if body.until is None else _instant(body.until, context.clock.now()),
    )
    now = context.clock.now()
    await asyncio.to_thread(ledger.issue, intent, request.app[ORDER_KEY], now, unchanged)
    return _mode_response(scope, ledger.state.view(now))


def _check_mode(mode: ModeName) -> None:
    try:
        check_mode(mode, upstream_configured=False)
    except OperatorError as error:
        raise Conflict(error.detail, "/mode") from None


def _authenticated(request: web.Request, *classes: ClientClass) -> Client:
    context = request.app[CONTEXT]
    client = context.gate.authenticate(request.headers.get(hdrs.AUTHORIZATION), context.clock.now())
    require_class(client, *classes)
    return client


def _scope(request: web.Request) -> str:
    scope = request.match_info["scope"]
    try:
        return parse_scope(scope)
    except InvalidField:
        raise NotFound("no such scope") from None


def _etag(view: View, scope: str) -> str:
    return f'"{scope}-{_mode(view, scope).version or 0}"'


def _mode(view: View, scope: str) -> ModeState:
    return view.modes.get(scope, DEFAULT_MODE if scope == EVERYWHERE else view.mode_for(None))


def _mode_response(scope: str, view: View) -> web.Response:
    mode = _mode(view, scope)
    document: dict[str, Any] = {
        "scope": scope,
        "mode": mode.mode,
        "since": None if mode.since is None else timestamp(mode.since),
        "until": None if mode.until is None else timestamp(mode.until),
        "reason": mode.reason,
        "order": mode.version,
    }
    return json_response(document, headers={hdrs.ETAG: _etag(view, scope)})


def _instant(text: str, now: dt.datetime) -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(text)
        aware = instant.tzinfo is not None
        instant = instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):  # the last hours of the year 9999 are beyond it in UTC
        aware = False
    if not aware:
        raise InvalidField("an RFC 3339 time with its offset", "/until")
    if instant <= now:
        raise InvalidField("in the past", "/until")
    return instant
