"""Ways to make a JWS signature pass for somebody's without their key, or for something it was not made for."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.base64url import b64u, b64u_decode
from service.jwk import PrivateKey, PublicKey
from service.strictjson import canonical

Entry = dict[str, Any]


class Forgery:
    """One document that `victim` did not sign as it stands; `stranger` is the forger's own key."""

    def __init__(self, payload: bytes, typ: str, victim: PrivateKey, stranger: PrivateKey) -> None:
        self.payload, self.typ, self.victim, self.stranger = payload, typ, victim, stranger
        self.honest = {"alg": victim.alg, "kid": victim.kid, "typ": typ}

    def entry(self, header: Mapping[str, Any] | str, sign: Callable[[bytes], bytes]) -> Entry:
        text = header if isinstance(header, str) else canonical(dict(header)).decode()
        head = b64u(text.encode())
        return {"protected": head, "signature": b64u(sign(f"{head}.{b64u(self.payload)}".encode()))}

    def signed(self, *dropped: str, **members: Any) -> Entry:
        """By the victim's own key, with another header than the one we accept."""
        header = {name: value for name, value in self.honest.items() if name not in dropped}
        return self.entry({**header, **members}, self.victim.sign)

    def by_hmac(self, secret: bytes) -> Entry:
        """The public key used as if it were a shared secret."""
        return self.entry({**self.honest, "alg": "HS256"}, lambda message: hmac.digest(secret, message, "sha256"))

    def by_stranger(self, **members: Any) -> Entry:
        """By the forger's key, which the header tells the reader to use."""
        return self.entry({**self.honest, "alg": self.stranger.alg, **members}, self.stranger.sign)

    def unencoded(self) -> Entry:
        """RFC 7797: signed over the payload as it is."""
        head = b64u(canonical({**self.honest, "b64": False, "crit": ["b64"]}))
        return {"protected": head, "signature": b64u(self.victim.sign(head.encode() + b"." + self.payload))}

    def twice(self) -> Entry:
        """A header with `alg` twice, of which one reader takes the first and another the last."""
        return self.entry(canonical(self.honest).decode().replace("{", '{"alg":"none",', 1), self.victim.sign)

    def der(self) -> Entry:
        """An ECDSA signature in the form that certificates have."""
        key = self.victim.key
        if not isinstance(key, EllipticCurvePrivateKey):
            return self.signed(alg="ES256")
        return self.entry(self.honest, lambda message: key.sign(message, ECDSA(SHA256())))

    def respelt(self) -> Entry:
        """The honest signature, in base64url with padding."""
        entry = self.signed()
        return {**entry, "signature": entry["signature"] + "=="}


def pem(key: PublicKey) -> bytes:
    return key.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def other_alg(key: PrivateKey) -> str:
    return "ES256" if key.alg == "EdDSA" else "EdDSA"


FORGERIES: Final[Mapping[str, Callable[[Forgery], Entry]]] = {
    "none": lambda one: one.entry({**one.honest, "alg": "none"}, lambda _: b""),
    "None": lambda one: one.entry({**one.honest, "alg": "None"}, lambda _: b""),
    "none over a true signature": lambda one: one.signed(alg="none"),
    "HS256 with the coordinate": lambda one: one.by_hmac(b64u_decode(one.victim.public.jwk["x"])),
    "HS256 with the JWK": lambda one: one.by_hmac(json.dumps(dict(one.victim.public.jwk)).encode()),
    "HS256 with the PEM": lambda one: one.by_hmac(pem(one.victim.public)),
    "HS256 with nothing": lambda one: one.by_hmac(b""),
    "the other algorithm": lambda one: one.signed(alg=other_alg(one.victim)),
    "the algorithm by another name": lambda one: one.signed(alg="Ed25519"),
    "RS256": lambda one: one.signed(alg="RS256"),
    "ES256 of zeros": lambda one: one.entry(one.honest, lambda _: bytes(64)),
    "an empty signature": lambda one: one.entry(one.honest, lambda _: b""),
    "DER": Forgery.der,
    "a signature respelt": Forgery.respelt,
    "crit": lambda one: one.signed(crit=["exp"], exp=1),
    "crit of nothing": lambda one: one.signed(crit=[]),
    "b64": Forgery.unencoded,
    "b64 that nobody need understand": lambda one: one.signed(b64=False),
    "jwk": lambda one: one.by_stranger(jwk=dict(one.stranger.public.jwk)),
    "jwk under its own kid": lambda one: one.by_stranger(kid=one.stranger.kid, jwk=dict(one.stranger.public.jwk)),
    "jku": lambda one: one.by_stranger(jku="https://example.org/jwks.json"),
    "jku over a true signature": lambda one: one.signed(jku="https://example.org/jwks.json"),
    "x5u": lambda one: one.by_stranger(x5u="https://example.org/cert.pem"),
    "x5c": lambda one: one.by_stranger(x5c=["AAAA"]),
    "zip": lambda one: one.signed(zip="DEF"),
    "the kid of somebody else": lambda one: one.by_stranger(),
    "no kid": lambda one: one.signed("kid"),
    "a kid that is no text": lambda one: one.signed(kid=[one.victim.kid]),
    "no typ": lambda one: one.signed("typ"),
    "typ in capitals": lambda one: one.signed(typ=one.typ.upper()),
    "typ as a media type": lambda one: one.signed(typ=f"application/{one.typ}"),
    "a header member twice": Forgery.twice,
    "a header that is no object": lambda one: one.entry("[]", one.victim.sign),
    "an unprotected header": lambda one: {**one.signed(), "header": {}},
    "an unprotected header in another form": lambda one: {**one.signed(), "header": "e30"},
    "a member beside": lambda one: {**one.signed(), "alg": "none"},
    "alg in the unprotected header": lambda one: {**one.signed("alg"), "header": {"alg": one.victim.alg}},
    "kid in the unprotected header": lambda one: {**one.by_stranger(), "header": {"kid": one.stranger.kid}},
}
