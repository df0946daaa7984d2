"""The HTTP face of the stand-in server: rights, and the switches of its faults."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import uuid
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from stubs import bending, problems
from stubs.answer import PARIS, Answers
from stubs.bending import JSON
from stubs.board import Board, Outcome
from stubs.faults import Faults
from stubs.question import Question, RefusedError, parse_question

#: A body of more is refused, as the service does.
BODY_BYTES: Final = 65_536


class Sandbox:
    """One process of the stand-in server."""

    def __init__(self, answers: Answers, board: Board, chance: random.Random) -> None:
        self._answers, self._board, self._chance = answers, board, chance

    def application(self) -> web.Application:
        """Everything it serves."""
        app = web.Application(middlewares=[_edge], client_max_size=BODY_BYTES)
        app.add_routes(
            [
                web.post("/v1/rights", self.rights),
                web.get("/livez", self.livez),
                web.get("/faults", self.read_faults),
                web.put("/faults", self.change_faults),
                web.delete("/faults", self.mend),
                web.get("/counts", self.counts),
            ]
        )
        return app

    async def rights(self, request: web.Request) -> web.StreamResponse:
        """An answer, or what the faults make of it."""
        question = await self._question(request)
        faults = self._board.now()
        if faults.hang:
            self._board.count("hang")
            await bending.hang(lambda: self._board.now().hang)
        if faults.latency_ms or faults.spread_ms:
            await asyncio.sleep((faults.latency_ms + self._chance.random() * faults.spread_ms) / 1000)
        outcome = self._outcome(faults)
        if not faults.hang:
            self._board.count(outcome)
        return await self._answered(request, question, faults, outcome)

    async def livez(self, _request: web.Request) -> web.Response:
        """The process answers, whatever else is wrong with it."""
        return _json({"live": True})

    async def read_faults(self, _request: web.Request) -> web.Response:
        """The faults as they were set."""
        return _json(self._board.faults().members())

    async def change_faults(self, request: web.Request) -> web.Response:
        """Merge a change into the faults; the faults then."""
        try:
            change = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            raise RefusedError("malformed_json", "not one JSON text in UTF-8") from None
        try:
            return _json(self._board.change(change).members())
        except ValueError as error:
            raise RefusedError("invalid_field", str(error)) from None

    async def mend(self, _request: web.Request) -> web.Response:
        """No faults any more."""
        self._board.set_faults(Faults())
        return _json(self._board.faults().members())

    async def counts(self, _request: web.Request) -> web.Response:
        """How many questions came, and to which end."""
        return _json(self._board.counts())

    async def _question(self, request: web.Request) -> Question:
        self._board.count_asked()
        try:
            _check_media_type(request)
            today = dt.datetime.now(PARIS).date().isoformat()
            return parse_question(await request.read(), today)
        except (RefusedError, web.HTTPRequestEntityTooLarge):
            self._board.count("refused")
            raise

    def _outcome(self, faults: Faults) -> Outcome:
        if faults.drop:
            return "drop"
        if faults.error_percent and self._chance.random() * 100 < faults.error_percent:
            return "error"
        kinds: tuple[Outcome, ...] = ("garbage", "oversize", "drip", "wrong_person")
        return next((kind for kind in kinds if getattr(faults, kind)), "answered")

    async def _answered(
        self, request: web.Request, question: Question, faults: Faults, outcome: Outcome
    ) -> web.StreamResponse:
        if outcome == "drop":
            return bending.drop(request)
        if outcome == "error":
            headers, document = problems.failure(faults.error_status, self._chance)
            return web.Response(status=faults.error_status, body=document, headers=headers)
        asked = self._answers.about_another(question) if outcome == "wrong_person" else question
        body = self._answers.response(asked, dt.datetime.now(dt.UTC), dt.timedelta(hours=faults.behind_hours))
        if outcome == "garbage":
            return bending.garbage(body, self._chance)
        if outcome == "oversize":
            return await bending.oversize(request, body)
        if outcome == "drip":
            return await bending.drip(request, body, lambda: self._board.now().drip)
        return web.Response(body=body, headers=_named(request, JSON))


@web.middleware
async def _edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals become problems."""
    try:
        return await handler(request)
    except RefusedError as error:
        code, document = error.code, problems.problem(error.code, error.detail, error.pointer)
        headers: dict[str, str] = {}
    except web.HTTPException as error:
        code = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}.get(error.status, "internal")
        document = problems.problem(code)
        headers = {name: value for name, value in error.headers.items() if name == "Allow"}
    status = problems.CATALOGUE[code].status
    return web.Response(
        status=status, body=document, headers=_named(request, {**headers, "Content-Type": problems.CONTENT_TYPE})
    )


def _check_media_type(request: web.Request) -> None:
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise RefusedError("media_type", "send application/json without content encoding")


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), headers=JSON)


def _named(request: web.Request, headers: Mapping[str, str]) -> dict[str, Any]:
    """Headers with the id by which a request can be spoken of: the caller's own if it is a UUID."""
    try:
        name = str(uuid.UUID(request.headers.get("X-Request-Id", "")))
    except ValueError:
        name = str(uuid.uuid4())
    return {**headers, "X-Request-Id": name}
