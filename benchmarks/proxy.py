"""The yardstick of mode live: an aiohttp server that hands a question on to the same upstream, and its answer back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

SESSION = web.AppKey("session", aiohttp.ClientSession)


async def hand_on(request: web.Request) -> web.Response:
    async with request.app[SESSION].post("/v1/rights", data=await request.read()) as response:
        return web.Response(body=await response.read(), content_type="application/json")


async def session(app: web.Application) -> AsyncIterator[None]:
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(os.environ["UPSTREAM_URL"], headers=headers) as opened:
        app[SESSION] = opened
        yield


async def app() -> web.Application:
    application = web.Application()
    application.router.add_post("/v1/rights", hand_on)
    application.cleanup_ctx.append(session)
    return application
