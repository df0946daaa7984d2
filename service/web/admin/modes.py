"""`/admin/v1/modes/{scope}`: how queries are answered, everywhere and for one AMC."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from service.control.format import EVERYWHERE, Kind, ModeName
from service.control.intent import Intent
from service.control.modes import check_mode
from service.control.state import DEFAULT_MODE, ModeState, State, View
from service.errors import MethodNotAllowed, NotFound
from service.web.admin.desk import (
    OPERATORS,
    READERS,
    REASON,
    Reasoned,
    Tag,
    admit,
    admit_write,
    as_conflict,
    current_state,
    decided,
    parse_path_scope,
    parse_until,
)
from service.web.context import CONTEXT
from service.web.decoding import Text
from service.web.responses import json_response
from service.web.status import timestamp_or_null


class ModeBody(Reasoned):
    """The body of `PUT /admin/v1/modes/{scope}`."""

    mode: ModeName
    until: Text | None = None


_MODE: Final = msgspec.json.Decoder(ModeBody)


async def read_mode(request: web.Request) -> web.Response:
    """The mode of one scope, with the ETag a write must name."""
    admit(request, *READERS)
    scope = parse_path_scope(request)
    return _response(scope, await current_state(request), request.app[CONTEXT].clock.now())


async def write_mode(request: web.Request) -> web.Response:
    """Set the mode of one scope."""
    admit(request, *OPERATORS)
    scope = parse_path_scope(request)
    write = await admit_write(request, OPERATORS, _tag_of(scope), _MODE)
    context = request.app[CONTEXT]
    with as_conflict("/mode"):
        check_mode(write.body.mode, upstream_configured=bool(context.settings.upstream.url))
    clock = context.clock
    intent = Intent(
        kind=Kind.MODE_SET,
        scope=scope,
        body={"mode": write.body.mode},
        reason=write.body.reason,
        actor=write.client.id,
        until=parse_until(write.body.until, clock.now()),
    )
    return await decided(request, intent, write.unchanged, lambda state: _response(scope, state, clock.now()))


async def clear_mode(request: web.Request) -> web.Response:
    """End an AMC's own mode: that of `*` holds for it again."""
    admit(request, *OPERATORS)
    scope = parse_path_scope(request)
    if scope == EVERYWHERE:
        raise MethodNotAllowed("everywhere some mode always holds: set another", allowed="GET,HEAD,PUT")
    write = await admit_write(request, OPERATORS, _tag_of(scope), REASON)
    clock = request.app[CONTEXT].clock

    def is_there(state: State) -> None:
        write.unchanged(state)
        if scope not in state.view(clock.now()).modes:
            raise NotFound("this AMC has no mode of its own")

    intent = Intent(kind=Kind.MODE_CLEAR, scope=scope, body={}, reason=write.body.reason, actor=write.client.id)
    return await decided(request, intent, is_there, lambda state: _response(scope, state, clock.now()))


def _tag_of(scope: str) -> Tag:
    return lambda state, now: _tag(scope, state.view(now))


def _tag(scope: str, view: View) -> str:
    return f'"{scope}-{_mode(scope, view).version or 0}"'


def _mode(scope: str, view: View) -> ModeState:
    return view.modes.get(scope, DEFAULT_MODE if scope == EVERYWHERE else view.mode_for(None))


def _response(scope: str, state: State, now: dt.datetime) -> web.Response:
    view = state.view(now)
    mode = _mode(scope, view)
    document: dict[str, Any] = {
        "scope": scope,
        "mode": mode.mode,
        "own": scope == EVERYWHERE or scope in view.modes,
        "since": timestamp_or_null(mode.since),
        "until": timestamp_or_null(mode.until),
        "reason": mode.reason,
        "order": mode.version,
    }
    return json_response(document, headers={hdrs.ETAG: _tag(scope, view)})
