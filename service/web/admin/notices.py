"""`/admin/v1/notices`: sentences for everybody who asks, within a scope and a time."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from service.control.format import (
    EVERYWHERE,
    NOTICE_CHARACTERS,
    NOTICE_ID,
    Kind,
    Severity,
    check_reason,
    instant_text,
    parse_instant,
    parse_scope,
)
from service.control.intent import Intent
from service.control.state import Notice, State, is_over
from service.errors import InvalidField, NotFound
from service.web.admin.desk import (
    OPERATORS,
    READERS,
    REASON,
    Reasoned,
    Tag,
    admit,
    admit_write,
    current_state,
    decided,
    parse_until,
)
from service.web.context import CONTEXT
from service.web.decoding import Text
from service.web.responses import json_response
from service.web.status import timestamp, timestamp_or_null


class NoticeBody(Reasoned):
    """The body of `PUT /admin/v1/notices/{id}`; `from` absent: at once; `until` absent: until it is withdrawn."""

    severity: Severity
    text: str
    scope: Text = EVERYWHERE
    since: Text | None = msgspec.field(name="from", default=None)
    until: Text | None = None


_NOTICE: Final = msgspec.json.Decoder(NoticeBody)
_ID: Final = re.compile(NOTICE_ID)


async def list_notices(request: web.Request) -> web.Response:
    """Every notice that was put and not withdrawn, those to come and those that are over among them."""
    admit(request, *READERS)
    state, now = await current_state(request), request.app[CONTEXT].clock.now()
    notices = sorted(state.notices.values(), key=lambda notice: notice.version)
    return json_response({"order_version": state.version, "notices": [_members(one, now) for one in notices]})


async def read_notice(request: web.Request) -> web.Response:
    """One notice, with the ETag a write must name."""
    admit(request, *READERS)
    notice_id = _notice_id(request)
    return _response(notice_id, await current_state(request), request.app[CONTEXT].clock.now())


async def put_notice(request: web.Request) -> web.Response:
    """Show a notice, or another text, scope or time under a known id."""
    admit(request, *OPERATORS)
    notice_id = _notice_id(request)
    write = await admit_write(request, OPERATORS, _tag_of(notice_id), _NOTICE)
    body, clock = write.body, request.app[CONTEXT].clock
    since = None if body.since is None else parse_instant(body.since, "/from")
    until = parse_until(body.until, clock.now())
    if since is not None and until is not None and until <= since:
        raise InvalidField("over before it begins", "/until")
    intent = Intent(
        kind=Kind.NOTICE_PUT,
        scope=parse_scope(body.scope),
        body={
            "id": notice_id,
            "severity": body.severity,
            "text": _checked_text(body.text),
            "from": None if since is None else instant_text(since),
        },
        reason=body.reason,
        actor=write.client.id,
        until=until,
    )
    return await decided(request, intent, write.unchanged, lambda state: _response(notice_id, state, clock.now()))


async def withdraw_notice(request: web.Request) -> web.Response:
    """Take a notice back."""
    admit(request, *OPERATORS)
    notice_id = _notice_id(request)
    known = (await current_state(request)).notices.get(notice_id)
    if known is None:
        raise NotFound("no notice of this id")
    write = await admit_write(request, OPERATORS, _tag_of(notice_id), REASON)
    intent = Intent(
        kind=Kind.NOTICE_WITHDRAW,
        scope=known.scope,
        body={"id": notice_id},
        reason=write.body.reason,
        actor=write.client.id,
    )

    def gone(state: State) -> web.Response:
        return json_response({"id": notice_id, "withdrawn": True, "order_version": state.version})

    return await decided(request, intent, write.unchanged, gone)


def _notice_id(request: web.Request) -> str:
    notice_id = request.match_info["id"]
    if not _ID.match(notice_id):
        raise NotFound("no such notice: an id is 1 to 64 of a-z, 0-9, '.', '_', '-'")
    return notice_id


def _checked_text(text: str) -> str:
    """The text, within the rules of an order's. Raises `InvalidField` that points at this body's member."""
    if len(text) > NOTICE_CHARACTERS:
        raise InvalidField(f"longer than {NOTICE_CHARACTERS} characters", "/text")
    check_reason(text, "/text")
    return text


def _tag_of(notice_id: str) -> Tag:
    def tag(state: State, now: dt.datetime) -> str | None:  # noqa: ARG001 - an end does not change what was put
        known = state.notices.get(notice_id)
        return None if known is None else _tag(known)

    return tag


def _tag(notice: Notice) -> str:
    return f'"{notice.id}-{notice.version}"'


def _members(notice: Notice, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": notice.id,
        "scope": notice.scope,
        "severity": notice.severity,
        "text": notice.text,
        "from": timestamp(notice.since),
        "until": timestamp_or_null(notice.until),
        "shown": notice.since <= now and not is_over(notice.until, now),
        "order": notice.version,
        "etag": _tag(notice),
    }


def _response(notice_id: str, state: State, now: dt.datetime) -> web.Response:
    notice = state.notices.get(notice_id)
    if notice is None:
        raise NotFound("no notice of this id")
    return json_response(_members(notice, now), headers={hdrs.ETAG: _tag(notice)})
