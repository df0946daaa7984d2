"""How a server that is not well answers: nothing, rubbish, too much, too slowly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import web

JSON: Final = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_POLL_SECONDS: Final = 0.05
_DRIP_SECONDS: Final = 0.02
_BLANKS: Final = b" " * 65_536
#: 64 MiB.
_TIMES: Final = 1024


async def hang(hangs: Callable[[], bool]) -> None:
    """Wait until this is mended; whoever asked may have gone away before."""
    while hangs():  # noqa: ASYNC110 - another process may be the one that is told
        await asyncio.sleep(_POLL_SECONDS)


def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def garbage(body: bytes, chance: random.Random) -> web.Response:
    """Something that calls itself a good answer and is none, another one each time."""
    kinds = (
        b"<html><body>Service indisponible</body></html>",
        body[: len(body) // 2],
        b'{"error": "indisponible"}',
        body.replace(b'"status":"', b'"status":"perhaps ', 1),
        body.replace(b'"asked":"', b'"asked":"\xff\xfe', 1),
        body.replace(b'"contracts":[', b'"contracts":[17,', 1).replace(b"[17,]", b"[17]"),
        b"[]",
        b"",
    )
    return web.Response(body=chance.choice(kinds), headers=JSON)


async def oversize(request: web.Request, body: bytes) -> web.StreamResponse:
    """The answer with 64 MiB of blanks in it: good JSON for whoever reads all of it."""
    response = web.StreamResponse(headers=JSON)
    response.enable_chunked_encoding()
    await response.prepare(request)
    with suppress(ConnectionError):  # whoever has had enough hangs up
        await response.write(body[:1])
        for _ in range(_TIMES):
            await response.write(_BLANKS)
        await response.write(body[1:])
    return response


async def drip(request: web.Request, body: bytes, drips: Callable[[], bool]) -> web.StreamResponse:
    """The answer byte by byte, and the rest at once when this is mended."""
    response = web.StreamResponse(headers={**JSON, "Content-Length": str(len(body))})
    await response.prepare(request)
    sent = 0
    with suppress(ConnectionError):
        while drips() and sent < len(body):
            await response.write(body[sent : sent + 1])
            sent += 1
            await asyncio.sleep(_DRIP_SECONDS)
        await response.write(body[sent:])
    return response
