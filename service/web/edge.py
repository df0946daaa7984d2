"""What surrounds every handler: request ids, the headers every response carries, and errors become problems."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.typedefs import Handler
from multidict import istr

from service import telemetry
from service.errors import (
    AccessError,
    AvailabilityError,
    JournalUnwritable,
    LimitReached,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    RelaisError,
)
from service.web import problems
from service.web.context import CONTEXT, Context
from service.web.status import timestamp

REQUEST_ID: Final = istr("X-Request-Id")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_LOG: Final = structlog.get_logger(__name__)


def callers_request_id(request: web.Request) -> str | None:
    """The caller's X-Request-Id where it is a UUID."""
    given = request.headers.get(REQUEST_ID)
    return given if given is not None and _UUID.fullmatch(given) else None


def edge(handler: Handler) -> Handler:
    """A handler whose errors become problems and whose every response is dressed.

    Wrapped around each handler rather than given to the application as a middleware: aiohttp builds a chain of
    middlewares for every request, which costs a tenth of an answer.
    """

    async def answered(request: web.Request) -> web.StreamResponse:
        context = request.app[CONTEXT]
        try:
            _refuse_ambiguous(request)
            response = await handler(request)
        except RelaisError as error:
            response = _problem(context, error)
        except Exception as error:  # noqa: BLE001 - the edge is where an unknown error ends
            # Where it happened, never its text: that could quote what was sent.
            _LOG.error("request_failed", error=type(error).__name__, frames=telemetry.frames(error))
            response = _problem(context, error)
        headers = response.headers
        headers.extend(context.headers)
        if hdrs.CACHE_CONTROL not in headers:
            headers[hdrs.CACHE_CONTROL] = "no-store"
        headers[REQUEST_ID] = callers_request_id(request) or new_request_id(os.urandom(16))
        return response

    return answered


def routed(routes: Sequence[web.RouteDef]) -> list[web.RouteDef]:
    """The routes behind the edge, and what answers other methods and other paths."""
    known: dict[str, list[str]] = {}
    for route in routes:
        known.setdefault(route.path, []).extend([route.method, *(["HEAD"] if route.method == "GET" else [])])
    found = [_behind_edge(route.method, route.path, route.handler, route.kwargs) for route in routes]
    others = [_behind_edge("*", path, _refuse_method(sorted(methods))) for path, methods in known.items()]
    return [*found, *others, _behind_edge("*", "/{path:.*}", _not_found)]


def _behind_edge(method: str, path: str, handler: Handler, options: Mapping[str, Any] | None = None) -> web.RouteDef:
    return web.RouteDef(method, path, edge(handler), {**(options or {}), "expect_handler": _expectation})


def new_request_id(chance: bytes) -> str:
    """A UUIDv4 (RFC 9562 §5.4) from 16 random bytes."""
    text = chance.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[chance[8] & 3]}{text[17:20]}-{text[20:]}"


async def _expectation(request: web.Request) -> web.StreamResponse | None:
    """Tell a caller who waits for it to go on (RFC 9110 §10.1.1). aiohttp would repeat any other expectation."""
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        return await _refuse_expectation(request)
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the response has not begun
    return None


@edge
async def _refuse_expectation(_: web.Request) -> web.StreamResponse:
    raise MalformedRequest("nothing but 100-continue may be expected")


async def _not_found(_: web.Request) -> web.StreamResponse:
    raise NotFound


def _refuse_method(allowed: Sequence[str]) -> Handler:
    async def refuse(_: web.Request) -> web.StreamResponse:
        raise MethodNotAllowed(allowed=",".join(allowed))

    return refuse


def _refuse_ambiguous(request: web.Request) -> None:
    """Raises `MalformedRequest` where a proxy before us may have read another request than we do."""
    headers, version = request.headers, request.version
    coding = headers.get(hdrs.TRANSFER_ENCODING)
    if version != HttpVersion11:
        if version != HttpVersion10:
            raise MalformedRequest("neither HTTP/1.1 nor HTTP/1.0")
        if coding is not None:
            raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding")
    if coding is not None and coding.lower() != "chunked":
        raise MalformedRequest("no Transfer-Encoding but chunked")
    if len(headers.getall(hdrs.AUTHORIZATION, ())) > 1:
        raise MalformedRequest("more than one Authorization header")


def _problem(context: Context, error: Exception) -> web.Response:
    extra: dict[str, str] = {}
    headers = {"Content-Type": problems.CONTENT_TYPE}
    code = problems.code_of(error)
    status = problems.CATALOGUE[code].status
    if status == web.HTTPUnauthorized.status_code:
        # A pharmacy's clock may be wrong: the right time is the cure.
        extra["server_time"] = timestamp(context.clock.now())
        headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="relais-droits"'
    if isinstance(error, AvailabilityError | JournalUnwritable):
        headers[hdrs.RETRY_AFTER] = str(context.spread(30, 90))
    if isinstance(error, LimitReached):
        headers.update(_limit_headers(error))
    if isinstance(error, MethodNotAllowed):
        headers[hdrs.ALLOW] = error.allowed
    if isinstance(error, AccessError):
        _LOG.info("refused", code=code)
    status, body = problems.problem(error, extra)
    return web.Response(status=status, body=body, headers=headers)


def _limit_headers(error: LimitReached) -> dict[str, str]:
    """When to ask again, and how the limits stand, in the form of draft-ietf-httpapi-ratelimit-headers-10."""
    seconds = problems.retry_after_seconds(error)
    policy = ", ".join(f'"{limit.name}";q={limit.quota};w={limit.window}' for limit in error.limits)
    state = ", ".join(f'"{limit.name}";r={limit.remaining};t={limit.resets}' for limit in error.limits)
    told = {hdrs.RETRY_AFTER: str(seconds), "RateLimit-Policy": policy, "RateLimit": state}
    return {name: value for name, value in told.items() if value}
