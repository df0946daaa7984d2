"""`POST /v1/rights` and what proves its answers: `POST /v1/receipts/verify`, the receipt keys."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from service.access.clients import ClientClass
from service.access.gate import require_class, resolve_finess
from service.errors import ServiceSuspended
from service.journal.receipt import verify_receipt
from service.web.answering import answer
from service.web.bodies import read_json
from service.web.context import CONTEXT
from service.web.decoding import ReceiptBody, decode, decode_rights, normalise, refuse_repeated_keys
from service.web.middleware import callers_request_id
from service.web.responses import JSON, json_response
from service.web.retries import Retries

RETRIES: Final[web.AppKey[Retries]] = web.AppKey("retries", Retries)
_RECEIPT: Final = msgspec.json.Decoder(ReceiptBody)


async def ask(request: web.Request) -> web.Response:
    """One query, one recorded answer."""
    context = request.app[CONTEXT]
    now = context.clock.now()
    client = context.gate.authenticate(request.headers.get("Authorization"), now)
    require_class(client, ClientClass.PHARMACY, ClientClass.HUB)
    if context.suspended:
        raise ServiceSuspended
    raw = await read_json(request, context, context.settings.limits.body_bytes)
    body = decode_rights(raw)
    finess = resolve_finess(client, None if body.finess is UNSET else body.finess)
    rules = context.settings.query
    query = normalise(body, finess, context.today(now), rules.past_days, rules.ahead_days)
    request_id = callers_request_id(request)
    if request_id is None:
        answered = await answer(context, client, query, now)
    else:
        key = f"{client.id}|{finess}|{request_id.lower()}"
        answered = await request.app[RETRIES].once(key, raw, lambda: answer(context, client, query, now))
    return web.Response(body=answered, headers=JSON)


async def verify(request: web.Request) -> web.Response:
    """Whether a receipt proves an answer. A bad receipt is a 200 that says so: the question was a good one."""
    context = request.app[CONTEXT]
    raw = await read_json(request, context, context.settings.limits.body_bytes)
    body = decode(raw, _RECEIPT)
    refuse_repeated_keys(raw)
    verdict = verify_receipt(body.answer, body.receipt, context.receipt_keys)
    return json_response(msgspec.to_builtins(verdict))


async def jwks(request: web.Request) -> web.Response:
    """The public receipt keys, retired ones included, as a JWK Set (RFC 7517 §5)."""
    keys = request.app[CONTEXT].receipt_keys.values()
    return json_response(
        {"keys": [{**key.jwk, "alg": key.alg, "kid": key.kid, "use": "sig"} for key in keys]},
    )
