"""`POST /v1/rights` and what proves its answers: `POST /v1/receipts/verify`, the receipt keys."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import hdrs, web
from msgspec import UNSET

from service.access.clients import Client, ClientClass
from service.access.gate import require_class, resolve_finess
from service.errors import ServiceSuspended
from service.journal.receipt import verify_receipt
from service.web.answering import ANSWERER
from service.web.bodies import read_json
from service.web.context import CONTEXT, Context
from service.web.decoding import ReceiptBody, decode, decode_rights, refuse_repeated_keys
from service.web.edge import callers_request_id
from service.web.responses import JSON, json_response
from service.web.retries import Retries

RETRIES: Final[web.AppKey[Retries]] = web.AppKey("retries", Retries)
_ASKING: Final = (ClientClass.PHARMACY, ClientClass.HUB)
_RECEIPT: Final = msgspec.json.Decoder(ReceiptBody)


async def ask(request: web.Request) -> web.Response:
    """One query, one recorded answer."""
    context = request.app[CONTEXT]
    client, view = admit(request, context, *_ASKING), context.view
    raw = await read_json(request, context, context.settings.limits.body_bytes)
    if context.view is not view:
        # A body may take seconds, and the order that came meanwhile may suspend this client, or everything.
        client = admit(request, context, *_ASKING)
    request_id, answerer = callers_request_id(request), request.app[ANSWERER]
    if request_id is None:
        answered = await answerer.answer(client, raw)
    else:
        key = f"{client.id}|{_finess(client, raw)}|{request_id.lower()}"
        answered = await request.app[RETRIES].once(key, raw, lambda: answerer.answer(client, raw))
    return web.Response(body=answered, headers=JSON)


def admit(request: web.Request, context: Context, *classes: ClientClass) -> Client:
    """Who asks, if they are of one of `classes` and may ask now.

    Raises what the gate raises, `ScopeMissing`, `ServiceSuspended`.
    """
    client = context.gate.authenticate(request.headers.get(hdrs.AUTHORIZATION), context.clock.now())
    require_class(client, *classes)
    if context.suspended:
        raise ServiceSuspended
    return client


def _finess(client: Client, raw: bytes) -> str:
    """Whom a request is for: a hub says so in the body, a pharmacy asks for itself."""
    if client.client_class is ClientClass.PHARMACY:
        return client.finess[0]
    named = decode_rights(raw).finess
    return resolve_finess(client, None if named is UNSET else named)


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
