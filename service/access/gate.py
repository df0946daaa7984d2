"""The gate: who sends this request, and may this client do that.

A signature costs 150-200 µs to verify and a token serves many requests, so a verified token is remembered by the
SHA-256 of its exact bytes: another spelling is another token and is verified anew. What may change (the clock, the
client's state, the registration of the key) is checked at every request.
"""

from __future__ import annotations

import datetime as dt
from hashlib import sha256

from service.access.clients import Client, ClientClass
from service.access.registry import Registry
from service.access.tokens import MAX_TOKEN_CHARS, Claims, check_state, token_refused, verify_token
from service.errors import FinessNotAllowed, FinessSuspended, ScopeMissing, TokenMissing

_SCHEME = "Bearer "


class Gate:
    """Authentication for one server, whose `audience` tokens must name. Remembers up to `token_entries` tokens.

    When full, the token remembered first is forgotten: its next use costs one verification.
    """

    def __init__(self, audience: str, registry: Registry, token_entries: int) -> None:
        self._audience = audience
        self._registry = registry
        self._token_entries = token_entries
        self._verified: dict[bytes, Claims] = {}

    def authenticate(self, authorization: str | None, now: dt.datetime) -> Client:
        """The client behind an Authorization header.

        Raises `TokenMissing` without a bearer token, and what `verify_token` raises.
        """
        token = _bearer_token(authorization)
        digest = sha256(token).digest()
        claims = self._verified.get(digest)
        if claims is None:
            return self._verify(token, digest, now)
        client = self._registry.get(claims.client_id)
        if client is None:
            raise token_refused()
        check_state(claims, client, now.timestamp())
        return client

    def _verify(self, token: bytes, digest: bytes, now: dt.datetime) -> Client:
        claims = verify_token(token.decode("ascii"), self._registry.get, self._audience, now)
        client = self._registry.get(claims.client_id)
        if client is None:
            raise token_refused()
        if len(self._verified) >= self._token_entries:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = claims
        return client


def require_class(client: Client, *classes: ClientClass) -> None:
    """Raises `ScopeMissing` unless the client is of one of `classes`."""
    if client.client_class not in classes:
        raise ScopeMissing("this client's class may not do this")


def resolve_finess(client: Client, named: str | None) -> str:
    """The FINESS a query is asked for: a pharmacy's own, or the one a hub names from its list.

    Raises `FinessNotAllowed`, also for a pharmacy that names another one, `FinessSuspended` where the client is
    suspended for that FINESS, and `ScopeMissing` for other classes.
    """
    require_class(client, ClientClass.PHARMACY, ClientClass.HUB)
    if client.client_class is ClientClass.PHARMACY and named is None:
        named = client.finess[0]
    if named is None or named not in client.finess_index:
        raise FinessNotAllowed("this client is not registered for that FINESS, or named none")
    if client.suspended_finess and named in client.suspended_finess:
        raise FinessSuspended("this client is suspended for that FINESS")
    return named


def _bearer_token(authorization: str | None) -> bytes:
    """The token's bytes. The scheme is case-insensitive (RFC 9110 §11.1), then comes exactly one space (RFC 6750)."""
    if authorization is None or (authorization[:7] != _SCHEME and authorization[:7].lower() != "bearer "):
        raise TokenMissing("send Authorization: Bearer <token>")
    token = authorization[7:]
    if not token:
        raise TokenMissing("send Authorization: Bearer <token>")
    if len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise token_refused()
    return token.encode("ascii")
