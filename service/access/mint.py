"""Tokens of our own clients: the same a pharmacy's software mints, for `relais token mint` and for tests. Pure."""

from __future__ import annotations

import datetime as dt
from typing import Final

import jwt

from service.access.tokens import MAX_LIFETIME_SECONDS
from service.errors import OperatorError
from service.jwk import PrivateKey

DEFAULT_LIFETIME_SECONDS: Final = 300


def mint_token(
    client_id: str,
    key: PrivateKey,
    audience: str,
    now: dt.datetime,
    *,
    jti: str,
    lifetime: int = DEFAULT_LIFETIME_SECONDS,
) -> str:
    """A token good for `lifetime` seconds; raises `OperatorError` for a lifetime that no server accepts."""
    if not 1 <= lifetime <= MAX_LIFETIME_SECONDS:
        raise OperatorError(f"a token lives 1 to {MAX_LIFETIME_SECONDS} seconds")
    issued = int(now.timestamp())
    claims = {"iss": client_id, "sub": client_id, "aud": audience, "iat": issued, "exp": issued + lifetime, "jti": jti}
    return jwt.encode(claims, key.key, algorithm=key.public.alg, headers={"kid": key.kid})
