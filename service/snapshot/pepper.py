"""The pepper: the secret that records are sealed under, read from a JWK set outside the snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.base64url import b64u_decode
from service.errors import KeyRejected, SignatureRejected
from service.snapshot.seal import MIN_PEPPER_SIZE
from service.strictjson import parse_json_object


def load_peppers(path: Path) -> dict[str, bytes]:
    """Peppers by kid, in the order of the file: the first seals new snapshots, the others open older ones.

    A JWK set of `oct` keys (RFC 7517 §5, RFC 7518 §6.4), or one such JWK. Raises `KeyRejected`, and `OSError` where
    the file cannot be read.
    """
    try:
        document = parse_json_object(path.read_bytes())
    except SignatureRejected as error:
        raise KeyRejected("the pepper file is not a JWK set") from error
    keys = document.get("keys", [document])
    if not isinstance(keys, list) or not keys:
        raise KeyRejected("the pepper file holds no key")
    peppers: dict[str, bytes] = {}
    for jwk in keys:
        kid, pepper = _parse_pepper(jwk)
        if kid in peppers:
            raise KeyRejected("the pepper file names a kid twice")
        peppers[kid] = pepper
    return peppers


def _parse_pepper(jwk: Mapping[str, Any] | Any) -> tuple[str, bytes]:
    if not isinstance(jwk, dict) or jwk.get("kty") != "oct" or not isinstance(jwk.get("k"), str):
        raise KeyRejected("a pepper is a JWK of kty oct")
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 1 <= len(kid) <= 200:
        raise KeyRejected("a pepper needs a kid")
    try:
        pepper = b64u_decode(jwk["k"])
    except SignatureRejected as error:
        raise KeyRejected("a pepper is base64url without padding") from error
    if len(pepper) < MIN_PEPPER_SIZE:
        raise KeyRejected(f"a pepper has {MIN_PEPPER_SIZE} bytes or more")
    return kid, pepper
