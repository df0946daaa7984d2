"""`POST /v1/rights/batch`: a hub asks for several pharmacies at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web

from service.access.clients import Client, ClientClass
from service.web.answering import ANSWERER
from service.web.bodies import in_flight, read_json
from service.web.context import CONTEXT, Context
from service.web.decoding import decode_batch
from service.web.edge import callers_request_id
from service.web.responses import JSON
from service.web.retries import Retries
from service.web.rights_api import admit

#: Batches of one worker that are worked out at once. Each holds some 3 MB; those that wait hold their body.
AT_ONCE: Final = 16


class Batches:
    """What the batches of one worker share: their turns, and the answers kept for retries."""

    def __init__(self, retries: Retries) -> None:
        self.turns = asyncio.Semaphore(AT_ONCE)
        self.retries = retries


BATCHES: Final[web.AppKey[Batches]] = web.AppKey("batches", Batches)


async def ask_batch(request: web.Request) -> web.Response:
    """Up to 200 queries, each with an answer or a problem of its own."""
    context, batches = request.app[CONTEXT], request.app[BATCHES]
    client, view = admit(request, context, ClientClass.HUB), context.view
    limit = context.settings.limits.batch_bytes
    raw = await read_json(request, context, limit)

    def admitted() -> Client:
        # Reading and waiting may take seconds, and the order that came meanwhile may suspend this client.
        return client if context.view is view else admit(request, context, ClientClass.HUB)

    asker, queries = admitted(), decode_batch(raw)

    def answer() -> asyncio.Future[bytes]:
        return asyncio.ensure_future(_in_turn(request, batches, limit, admitted, queries))

    request_id = callers_request_id(request)
    if request_id is None:
        answered = await answer()
    else:
        # By the hub's list: what was answered for a pharmacy that it has lost since is not repeated.
        key = f"{asker.id}|{hash(asker.finess_index)}|{request_id.lower()}"
        answered = await batches.retries.once(key, raw, answer)
    return web.Response(body=answered, headers=JSON)


async def _in_turn(
    request: web.Request, batches: Batches, limit: int, admitted: Callable[[], Client], queries: list[bytes]
) -> bytes:
    context: Context = request.app[CONTEXT]
    with in_flight(context, limit):
        async with batches.turns:
            return await request.app[ANSWERER].answer_batch(admitted(), queries)
