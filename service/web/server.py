"""aiohttp's server with what it says of itself and of bad input taken out.

aiohttp names its version in `Server` and its own 400 page repeats part of the bad request; both end here. It offers
no public hook for either, so the protocol is subclassed and the runner builds it.
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from service.errors import HeaderTooLarge, MalformedRequest
from service.web import problems

SERVER_NAME = "relais-droits"
#: How long a server that ends waits for callers to ask once more on the connections they hold.
DRAIN_SECONDS: Final = 1.0


class Protocol(RequestHandler):
    """One connection."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's parser quotes the bad input here
    ) -> web.StreamResponse:
        """A problem response that closes the connection and tells nothing but its code."""
        if request.writer.output_size > 0:
            raise ConnectionError("the response is already under way")
        error: Exception = MalformedRequest()
        if isinstance(exc, LineTooLong) or (isinstance(exc, Exception) and "Too many headers" in str(exc)):
            error = HeaderTooLarge()
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            error = RuntimeError()
            self.logger.error("request failed: %s", type(exc).__name__)
        code, body = problems.problem(error)
        response = web.Response(
            status=code,
            body=body,
            headers={"Content-Type": problems.CONTENT_TYPE, "Server": SERVER_NAME, "Cache-Control": "no-store"},
        )
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; aiohttp's own refusals (such as 417) leave as problems, without aiohttp's text."""
        if isinstance(resp, web.HTTPException):
            resp = self.handle_error(request, resp.status)
        if isinstance(self._manager, Server) and self._manager.draining:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)


class Server(web.Server):
    """Makes a `Protocol` for each connection. While `draining`, each response is its connection's last."""

    draining = False

    def __call__(self) -> RequestHandler:
        """The protocol of a new connection."""
        return Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application on `Server`; bodies are never decompressed (Content-Encoding is answered 415)."""

    def __init__(self, app: web.Application, keepalive_seconds: float, shutdown_seconds: float) -> None:
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=keepalive_seconds,
            shutdown_timeout=shutdown_seconds,
            lingering_time=1.0,
        )

    async def cleanup(self) -> None:
        """End without losing what was sent: take nobody new, let callers hear that their connection ends, then close.

        aiohttp alone closes idle connections at once, under a request that is just arriving too.
        """
        await asyncio.sleep(0)  # whoever has connected by now is let in
        for site in list(self.sites):
            await site.stop()
        if isinstance(self.server, Server):
            self.server.draining = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    while self.server.connections:  # noqa: ASYNC110 - aiohttp tells nobody when the last is gone
                        await asyncio.sleep(0.02)
        await super().cleanup()

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return Server(server.request_handler, request_factory=server.request_factory, **server._kwargs)  # noqa: SLF001
