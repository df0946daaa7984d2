"""A client's keys over time: a new one beside the former for a while, and what ends soon. Pure.

A former key that overlaps has its end in the registration itself (`exp` of its JWK, Unix seconds), so that it stops
by itself, on every worker at once, whether or not anybody remembers it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from service.access.clients import MAX_KEYS, Client, client_body, parse_client
from service.access.registry import Registration
from service.errors import InvalidField
from service.jwk import PublicKey

#: How long before a key ends operators are told.
WARNING: Final = dt.timedelta(days=3)


class EndingKey(msgspec.Struct, frozen=True):
    """A key that has an end, and when; `last` where the client would then have none at all."""

    client_id: str
    kid: str
    end: dt.datetime
    last: bool


def rotated(client: Client, key: PublicKey, overlap: dt.timedelta, now: dt.datetime) -> dict[str, Any]:
    """The body of the registration in which `key` follows the client's present ones, which stay for `overlap`.

    A key that ended is left out, one that would end sooner keeps its end, and without an overlap only `key` stays.
    Raises `InvalidField` for a key the client has already, or one key too many.
    """
    if client.has_key(key.kid, now.timestamp()):
        raise InvalidField("the client has this key already", "/keys")
    latest = int((now + overlap).timestamp())
    kept = []
    for jwk, kid in zip(client_body(client)["keys"], client.keys, strict=True):
        end = min(client.key_ends.get(kid, latest), latest)
        if now.timestamp() < end and overlap and kid != key.kid:
            kept.append({**jwk, "exp": end})
    if len(kept) >= MAX_KEYS:
        raise InvalidField(f"the client has {MAX_KEYS} keys already", "/keys")
    return {**client_body(client), "keys": [dict(key.jwk), *kept]}


def ending_keys(
    registrations: Mapping[str, Registration], now: dt.datetime, within: dt.timedelta = WARNING
) -> list[EndingKey]:
    """The keys that end in that time, soonest first. A registration that does not parse has none."""
    clients = (_parsed(client_id, one) for client_id, one in registrations.items() if _has_end(one))
    return keys_that_end((client for client in clients if client is not None), now, within)


def keys_that_end(clients: Iterable[Client], now: dt.datetime, within: dt.timedelta = WARNING) -> list[EndingKey]:
    """As `ending_keys`, of clients parsed already."""
    found: list[EndingKey] = []
    for client in clients:
        for kid, seconds in client.key_ends.items():
            end = dt.datetime.fromtimestamp(seconds, dt.UTC)
            if now < end <= now + within:
                others = [other for other in client.keys if other != kid and client.has_key(other, seconds)]
                found.append(EndingKey(client.id, kid, end, last=not others))
    return sorted(found, key=lambda one: (one.end, one.client_id, one.kid))


def _has_end(registration: Registration) -> bool:
    return any("exp" in jwk for jwk in registration.body.get("keys", ()))


def _parsed(client_id: str, registration: Registration) -> Client | None:
    try:
        return parse_client(client_id, registration.body)
    except InvalidField:
        return None
