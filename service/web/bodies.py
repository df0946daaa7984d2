"""Reading a request body within its limits of type, size, time and number."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from service.errors import BodyTooLarge, MalformedRequest, MediaType, Overloaded, RequestTimeout
from service.web.context import Context

_JSON: Final = "application/json"


async def read_json(request: web.Request, context: Context, limit_bytes: int) -> bytes:
    """The body of a JSON request.

    Raises `MediaType`, `BodyTooLarge`, `RequestTimeout`, `MalformedRequest` (it broke off), `Overloaded`.

    aiohttp ignores an unknown Content-Encoding and has no time limit for bodies, so both are ours.
    """
    headers = request.headers
    plain = headers.get(hdrs.CONTENT_TYPE) == _JSON or request.content_type == _JSON  # the property parses each time
    if not plain or hdrs.CONTENT_ENCODING in headers:
        raise MediaType("send application/json without content encoding")
    if (request.content_length or 0) > limit_bytes:
        raise BodyTooLarge(f"at most {limit_bytes} bytes")
    stream = request.content
    if stream.is_eof():  # the usual case: head and body came together, no timer is needed
        raw = stream.read_nowait(-1) if not stream.at_eof() else b""
    else:
        with in_flight(context, limit_bytes):
            raw = await _read_slowly(request, context, limit_bytes)
    if len(raw) > limit_bytes:
        raise BodyTooLarge(f"at most {limit_bytes} bytes")
    return raw


@contextlib.contextmanager
def in_flight(context: Context, limit_bytes: int) -> Iterator[None]:
    """While a body of up to `limit_bytes` is held; one that may be larger than most counts for several.

    Raises `Overloaded` where too many are.
    """
    limits = context.settings.limits
    weight = -(-limit_bytes // limits.body_bytes)
    if context.bodies_in_flight + weight > limits.bodies_in_flight:
        raise Overloaded
    context.bodies_in_flight += weight
    try:
        yield
    finally:
        context.bodies_in_flight -= weight


async def _read_slowly(request: web.Request, context: Context, limit_bytes: int) -> bytes:
    limits = context.settings.limits
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for part in request.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > limit_bytes:
                    raise BodyTooLarge(f"at most {limit_bytes} bytes")
    except TimeoutError:
        raise RequestTimeout(f"the body took longer than {limits.body_seconds:g} s") from None
    except (ConnectionError, HttpProcessingError):  # who went away in the middle is not an error of ours
        raise MalformedRequest("the body did not come to its end") from None
    return b"".join(parts)
