"""What the signature vectors are made of: four signing inputs, and a case that signs any of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from service.base64url import b64u

#: What is signed: `typ` by purpose. Only a token may leave its kid out, as these do.
PURPOSES: Final = {
    "token": "JWT",
    "receipt": "relais-head+jws",
    "order": "relais-order+jws",
    "manifest": "relais-snapshot+jws",
}
KID: Final = "signer"
ISSUED: Final = 1_707_125_412


class Signed(NamedTuple):
    """One signature over one input, under a key."""

    jwk: dict[str, str]
    message: str
    signature: bytes


class Case(NamedTuple):
    """A vector: `make` makes it for a purpose."""

    group: str
    name: str
    valid: bool
    make: Callable[[str], Signed]


def signing_input(purpose: str, alg: str, count: int = 0) -> str:
    """Header and payload; `count` makes further ones, for signatures that must be searched for."""
    typ = PURPOSES[purpose]
    header = {"alg": alg, "typ": typ} if typ == "JWT" else {"alg": alg, "kid": KID, "typ": typ}
    payload: dict[str, Any] = {"purpose": purpose, "count": count}
    if typ == "JWT":
        who = {"iss": "pharmacy-a", "sub": "pharmacy-a", "aud": "relais-droits"}
        payload = {**who, "iat": ISSUED, "exp": ISSUED + 300, "jti": str(count)}
    return f"{b64u(json.dumps(header).encode())}.{b64u(json.dumps(payload).encode())}"


def search(purpose: str, alg: str, fits: Callable[[bytes], bool]) -> str:
    """The first signing input for which `fits` holds."""
    return next(
        text for count in range(1_000_000) if fits((text := signing_input(purpose, alg, count)).encode("ascii"))
    )
