"""What surrounds every handler: request ids, the headers every response carries, and errors become problems."""

from __future__ import annotations

import re
import uuid
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11
from aiohttp.typedefs import Handler

from service import telemetry
from service.errors import (
    AccessError,
    AvailabilityError,
    BodyTooLarge,
    JournalUnwritable,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    RelaisError,
)
from service.web import problems
from service.web.context import CONTEXT, Context

REQUEST_ID: Final = "X-Request-Id"
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_log = structlog.get_logger()


def callers_request_id(request: web.Request) -> str | None:
    """The caller's X-Request-Id where it is a UUID."""
    given = request.headers.get(REQUEST_ID)
    return given if given is not None and _UUID.fullmatch(given) else None


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer problems for errors and dress every response. The second parameter's name is aiohttp's."""
    context = request.app[CONTEXT]
    try:
        _refuse_ambiguous(request)
        response = await handler(request)
    except web.HTTPException as error:
        response = _problem(context, _translated(error))
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers[hdrs.ALLOW] = ",".join(sorted(error.allowed_methods))
    except RelaisError as error:
        response = _problem(context, error)
    except Exception as error:  # noqa: BLE001 - the edge is where an unknown error ends
        # Where it happened, never its text: that could quote what was sent.
        _log.error("request_failed", error=type(error).__name__, frames=telemetry.frames(error))
        response = _problem(context, error)
    headers = response.headers
    headers.update(context.headers)
    headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    headers[REQUEST_ID] = callers_request_id(request) or str(uuid.uuid4())
    return response


def _refuse_ambiguous(request: web.Request) -> None:
    """Raises `MalformedRequest` where a proxy before us may have read another request than we do."""
    headers = request.headers
    if request.version < HttpVersion11 and hdrs.TRANSFER_ENCODING in headers:
        raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding")
    if len(headers.getall(hdrs.AUTHORIZATION, ())) > 1:
        raise MalformedRequest("more than one Authorization header")


def _translated(error: web.HTTPException) -> Exception:
    if isinstance(error, web.HTTPNotFound):
        return NotFound()
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed()
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLarge()
    return MalformedRequest()


def _problem(context: Context, error: Exception) -> web.Response:
    extra: dict[str, str] = {}
    headers = {"Content-Type": problems.CONTENT_TYPE}
    code = problems.code_of(error)
    status = problems.CATALOGUE[code].status
    if status == web.HTTPUnauthorized.status_code:
        # A pharmacy's clock may be wrong: the right time is the cure.
        extra["server_time"] = context.clock.now().isoformat(timespec="seconds").replace("+00:00", "Z")
        headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="relais-droits"'
    if isinstance(error, AvailabilityError | JournalUnwritable):
        headers[hdrs.RETRY_AFTER] = str(context.spread(30, 90))
    if isinstance(error, AccessError):
        _log.info("refused", code=code)
    status, body = problems.problem(error, extra)
    return web.Response(status=status, body=body, headers=headers)
