"""Algorithm confusion: a header that would have the key used as something else, or another key used.

`unit/snapshot/test_jws.py` and its like bend signed objects at length; here the same doors are tried at a load. In
each, one good signature stands beside the bent one: a reader that believed the header would count two people.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.forge import MANIFEST, Forge, decoded, encoded, encoded_json
from tests.attacks.victim import Victim

SIGNATURES = "2 signatures and threshold"
BOTH = "2 of signer-1, signer-2"
Signature = dict[str, Any]
Bend = Callable[[Forge, bytes], Signature]


def with_header(forge: Forge, head: Any, signature: bytes) -> Signature:
    raw = head if isinstance(head, bytes) else encoded_json(head)
    return {"protected": encoded(raw), "signature": encoded(signature)}


def header(forge: Forge, **members: Any) -> dict[str, Any]:
    return {"alg": "EdDSA", "kid": forge.key("signer-2").kid, "typ": "relais-snapshot+jws", **members}


def none(forge: Forge, _: bytes) -> Signature:
    return with_header(forge, header(forge, alg="none"), b"")


def hmac_of_the_public_key(algorithm: str, secret: Callable[[dict[str, Any]], bytes]) -> Bend:
    """The public key, which everybody has, taken for a shared secret (the classic confusion)."""

    def bend(forge: Forge, payload: bytes) -> Signature:
        jwk = json.loads((forge.home / "keys" / "signer-2.pub.jwk").read_bytes())
        head = encoded(encoded_json(header(forge, alg=algorithm)))
        digest = getattr(hashlib, algorithm.replace("HS", "sha"))
        mac = hmac.new(secret(jwk), f"{head}.{encoded(payload)}".encode(), digest).digest()
        return {"protected": head, "signature": encoded(mac)}

    return bend


def alg(name: str) -> Bend:
    return lambda forge, payload: forge.signature(payload, "signer-2", alg=name)


def extra(**members: Any) -> Bend:
    """A member a naive reader would follow, on a signature of a key it brings along."""

    def bend(forge: Forge, payload: bytes) -> Signature:
        jwk = json.loads(json.dumps(dict(forge.key("stranger").public.jwk)))
        filled = {name: jwk if value == "own key" else value for name, value in members.items()}
        return forge.signature(payload, "stranger", **{"kid": forge.key("signer-2").kid, **filled})

    return bend


def missing(member: str) -> Bend:
    return lambda forge, payload: forge.signature(payload, "signer-2", **{member: None})


def twice(forge: Forge, payload: bytes) -> Signature:
    """A member twice: readers differ about which one counts."""
    good = forge.signature(payload, "signer-2")
    raw = decoded(good["protected"]).replace(b'{"alg":"EdDSA"', b'{"alg":"none","alg":"EdDSA"')
    return with_header(forge, raw, decoded(good["signature"]))


def unprotected(forge: Forge, payload: bytes) -> Signature:
    return {**forge.signature(payload, "signer-2"), "header": {"alg": "none"}}


def padded(forge: Forge, payload: bytes) -> Signature:
    good = forge.signature(payload, "signer-2")
    return {**good, "signature": good["signature"] + "=="}


def wrapped_point(forge: Forge, payload: bytes) -> Signature:
    """The same Ed25519 signature with S + L: a reader that does not reduce counts it as another one."""
    good = decoded(forge.signature(payload, "signer-2")["signature"])
    order = 2**252 + 27742317777372353535851937790883648493
    larger = (int.from_bytes(good[32:], "little") + order).to_bytes(32, "little")
    return with_header(forge, header(forge), good[:32] + larger)


EXACT = "the protected header is not exactly alg, kid, typ"
NO_MATCH = "the signature by key {kid} does not match"
CONFUSIONS: dict[str, tuple[Bend, str]] = {
    "none": (none, NO_MATCH),
    "NONE": (alg("NONE"), NO_MATCH),
    "HS256 with the coordinate": (hmac_of_the_public_key("HS256", lambda jwk: decoded(jwk["x"])), NO_MATCH),
    "HS256 with the text": (hmac_of_the_public_key("HS256", lambda jwk: jwk["x"].encode()), NO_MATCH),
    "HS512 with the JWK": (hmac_of_the_public_key("HS512", encoded_json), NO_MATCH),
    "ES256": (alg("ES256"), NO_MATCH),
    "RS256": (alg("RS256"), NO_MATCH),
    "Ed448": (alg("Ed448"), NO_MATCH),
    "eddsa": (alg("eddsa"), NO_MATCH),
    "jwk": (extra(jwk="own key"), EXACT),
    "jku": (extra(jku="https://example.org/keys"), EXACT),
    "x5u": (extra(x5u="https://example.org/chain"), EXACT),
    "crit": (extra(crit=["exp"], exp=1), EXACT),
    "b64": (extra(b64=False), EXACT),
    "zip": (extra(zip="DEF"), EXACT),
    "kid that is a path": (extra(kid="../../keys/stranger.jwk"), "none"),
    "no kid": (missing("kid"), EXACT),
    "no typ": (missing("typ"), EXACT),
    "no alg": (missing("alg"), EXACT),
    "alg that is a list": (lambda forge, payload: forge.signature(payload, "signer-2", alg=["EdDSA"]), EXACT),
    "alg twice": (twice, "not JSON with distinct members"),
    "unprotected header": (unprotected, "a signature is not exactly protected and signature"),
    "padding": (padded, "not canonical base64url without padding"),
    "S + L": (wrapped_point, NO_MATCH),
    "empty": (lambda forge, _: with_header(forge, header(forge), b""), NO_MATCH),
}


@pytest.mark.parametrize(("bend", "found"), CONFUSIONS.values(), ids=CONFUSIONS)
def test_a_header_that_confuses_the_reader_is_refused(
    victim: Victim, forge: Forge, second: Path, bend: Bend, found: str
):
    folder = forge.copy(second)
    payload = encoded_json(forge.payload(folder))
    bent = bend(forge, payload)
    forge.put(folder / MANIFEST, forge.general(payload, [forge.signature(payload, "signer-1"), bent]))
    if found == "none":
        found = "1 of them (signer-1), 1 by keys the trust file does not know"
    victim.refuses(folder, SIGNATURES, BOTH, found.format(kid=forge.key("signer-2").kid))
    victim.takes(second, 2)


def test_a_compact_or_flattened_form_is_refused(victim: Victim, forge: Forge, second: Path):
    """Only one of the three serializations of RFC 7515 is read: the others have room for one signer."""
    folder = forge.copy(second)
    payload = encoded_json(forge.payload(folder))
    one = forge.signature(payload, "signer-1")
    compact = f"{one['protected']}.{encoded(payload)}.{one['signature']}".encode()
    for document, found in (
        (compact, "not JSON with distinct members"),
        (encoded_json({"payload": encoded(payload), **one}), "not a JWS in General JSON Serialization"),
        (encoded_json(forge.payload(folder)), "not a JWS in General JSON Serialization"),
    ):
        forge.put(folder / MANIFEST, document)
        victim.refuses(folder, SIGNATURES, BOTH, found)
    victim.takes(second, 2)
