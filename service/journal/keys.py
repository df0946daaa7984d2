"""Keys of one segment: a random data key, what is derived from it, and its wrapping to the officers.

A server makes the data key, holds it in memory while the segment is open and writes it only wrapped (HPKE,
RFC 9180, base mode, X25519, HKDF-SHA256, AES-256-GCM, info = journal id), once for each officer. After rotation
nobody but an officer can read what was sealed, the server that wrote it included.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from service.base64url import b64u, b64u_decode
from service.errors import KeyRejected, SignatureRejected
from service.journal.entries import FORMAT
from service.jwk import thumbprint
from service.strictjson import canonical

KEY_FORMAT: Final = "relais-journal-key/1"
DATA_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
#: SHA-256's block. The subject key is a SHA-256 value, thus shorter.
_BLOCK_BYTES: Final = 64
SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class OfficerKey:
    """An officer's public key; `kid` is its RFC 7638 thumbprint."""

    kid: str
    key: X25519PublicKey


@dataclass(frozen=True, slots=True, repr=False)
class SegmentKeys:
    """What is derived from a data key: `seal` for AES-256-GCM, `subject` for pseudonyms within the segment."""

    seal: bytes
    subject: bytes


def parse_officer_jwk(jwk: Mapping[str, Any]) -> OfficerKey:
    """The X25519 public key in a JWK; a private member is dropped. Raises `KeyRejected`."""
    x, use = jwk.get("x"), jwk.get("use", "enc")
    if (jwk.get("kty"), jwk.get("crv")) != ("OKP", "X25519") or not isinstance(x, str) or use != "enc":
        raise KeyRejected("an officer's key is an X25519 key for encryption")
    try:
        key = X25519PublicKey.from_public_bytes(b64u_decode(x))
    except (SignatureRejected, ValueError) as error:
        raise KeyRejected("the officer key's coordinate is not valid") from error
    return OfficerKey(kid=thumbprint({"kty": "OKP", "crv": "X25519", "x": x}), key=key)


def derive(data_key: bytes) -> SegmentKeys:
    """The keys of a segment."""
    return SegmentKeys(
        seal=hmac.digest(data_key, f"{FORMAT} seal".encode("ascii"), "sha256"),
        subject=hmac.digest(data_key, f"{FORMAT} subject".encode("ascii"), "sha256"),
    )


class Pseudonyms:
    """Makes `subject`: HMAC-SHA256 of a canonical identity, the same throughout one segment and nowhere else.

    The two inner states of the HMAC (RFC 2104) are prepared once and copied: an eighth of `hmac.digest`.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK_BYTES, b"\x00")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, identity: str) -> bytes:
        """The pseudonym of an identity."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(identity.encode("utf-8"))
        outer.update(inner.digest())
        return outer.digest()


def nonce(n: int) -> bytes:
    """AES-GCM nonce of entry `n`. A data key lives for one segment and n never repeats in it."""
    return n.to_bytes(NONCE_BYTES, "big")


def wrap(data_key: bytes, journal: str, officers: Sequence[OfficerKey]) -> bytes:
    """The bytes of a key file: the data key sealed to every officer."""
    info = journal.encode("ascii")
    wrapped = [{"kid": o.kid, "sealed": b64u(SUITE.encrypt(data_key, o.key, info=info))} for o in officers]
    return canonical({"format": KEY_FORMAT, "journal": journal, "keys": wrapped}) + b"\n"
