"""Orders for tests: a key, a clock, and chains that hold."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from service.control.format import ORDER_TYP, Order, order_digest, order_payload
from service.jwk import PrivateKey, parse_private_jwk, private_jwk
from service.jws import sign_compact

NOON = dt.datetime(2024, 1, 29, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DIGEST = "A" * 43


def make_key() -> PrivateKey:
    return parse_private_jwk(private_jwk(Ed25519PrivateKey.generate()))


KEY = make_key()
KEYS = {KEY.kid: KEY.public}


def make_order(version: int = 1, kind: str = "mode.set", scope: str = "*", body: Any = None, **members: Any) -> Order:
    known = {"at": NOON, "actor": "cli:test", "reason": "exercise", "until": None, "approved_by": None}
    body = ({"mode": "suspended"} if kind == "mode.set" else {}) if body is None else body
    return Order(version=version, kind=kind, scope=scope, body=body, **{**known, "previous": None, **members})


def make_chain(orders: list[Order], key: PrivateKey = KEY) -> list[str]:
    """The orders signed, numbered and linked."""
    signed: list[str] = []
    for number, order in enumerate(orders, 1):
        previous = order_digest(signed[-1]) if signed else None
        linked = replace(order, version=number, previous=previous)
        signed.append(sign_compact(order_payload(linked), ORDER_TYP, key))
    return signed


def registration(**members: Any) -> dict[str, Any]:
    return {"class": "pharmacy", "finess": ["750012346"], "keys": [dict(KEY.public.jwk)], "daily": 800, **members}
