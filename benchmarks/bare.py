"""The yardstick: an aiohttp POST that reads its body and answers as many bytes as a rights answer has."""

from __future__ import annotations

from aiohttp import web

BODY = b"x" * 1500


async def answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=BODY, content_type="application/json")


async def app() -> web.Application:
    application = web.Application()
    application.router.add_post("/v1/rights", answer)
    return application
