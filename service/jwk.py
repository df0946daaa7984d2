"""Keys of everything we sign, as JWK (RFC 7517): Ed25519 (RFC 8037) or P-256, the algorithm pinned by the key. Pure.

A key's `kid` is its RFC 7638 thumbprint, whatever the JWK says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from service.base64url import b64u_decode, sha256_b64u
from service.errors import KeyRejected, SignatureRejected
from service.strictjson import canonical

SigningKey = Ed25519PrivateKey | EllipticCurvePrivateKey
VerifyKey = Ed25519PublicKey | EllipticCurvePublicKey

#: kty, crv -> alg. Ed448, RSA, P-384 and symmetric keys are deliberately absent.
_ALGORITHMS: Final[Mapping[tuple[str, str], str]] = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}
_THUMBPRINT_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y")}
#: Ed25519 points of small order (y without the sign bit, little-endian). With such a key anyone finds signatures that
#: verify for a good share of all messages, and OpenSSL does not refuse them. They are the y of
#: the eight torsion points, the spellings beyond the field (p and p + 1) included.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
)
_ES256: Final = ECAlgorithm(ECAlgorithm.SHA256)
#: JSON members that carry the secret part of a key (RFC 7518 §6).
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A verification key: `kid` its RFC 7638 thumbprint, `alg` the only algorithm it verifies, `jwk` public members."""

    kid: str
    alg: str
    key: VerifyKey
    jwk: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A signing key and its public half: the `Signer` whose key lies in a file. `repr` never shows the secret."""

    key: SigningKey
    public: PublicKey

    def __repr__(self) -> str:
        return f"PrivateKey(kid={self.public.kid!r})"

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the public half."""
        return self.public.kid

    @property
    def alg(self) -> str:
        """The one JWS algorithm of the key."""
        return self.public.alg

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, as JWS carries it."""
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(message)
        return _ES256.sign(message, self.key)


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638 SHA-256 thumbprint of an OKP or EC key."""
    members = _THUMBPRINT_MEMBERS[jwk["kty"]]
    return sha256_b64u(canonical({name: jwk[name] for name in members}))


def parse_public_jwk(jwk: Mapping[str, Any]) -> PublicKey:
    """The verification key in a JWK; private members are dropped. Raises `KeyRejected`.

    Refused: any other kty/crv than Ed25519 and P-256, an `alg` that contradicts the key, a `use` other than
    `sig`, `key_ops` without `verify` or `sign` (PyJWT enforces neither), a `kid` that is not text.
    """
    alg = _algorithm(jwk)
    use, key_ops = jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    if use != "sig" or not isinstance(key_ops, list) or not {"verify", "sign"}.intersection(map(str, key_ops)):
        raise KeyRejected("the key's use or key_ops forbid signatures")
    public = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]] if isinstance(jwk.get(name), str)}
    try:
        key = OKPAlgorithm.from_jwk(public) if alg == "EdDSA" else ECAlgorithm.from_jwk(public)
    except (jwt.InvalidKeyError, ValueError) as error:
        raise KeyRejected("the key's coordinates are not valid") from error
    if not isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey):
        raise KeyRejected("not a public key")
    _refuse_weak(alg, public)
    return PublicKey(kid=thumbprint(public), alg=alg, key=key, jwk=public)


def parse_private_jwk(jwk: Mapping[str, Any]) -> PrivateKey:
    """The signing key in a private JWK. Raises `KeyRejected`."""
    public = parse_public_jwk(jwk)
    if not isinstance(jwk.get("d"), str):
        raise KeyRejected("the private part of the key is missing")
    secret = {**public.jwk, "d": jwk["d"]}
    try:
        key = OKPAlgorithm.from_jwk(secret) if public.alg == "EdDSA" else ECAlgorithm.from_jwk(secret)
    except (jwt.InvalidKeyError, ValueError) as error:
        raise KeyRejected("the private part of the key is not valid") from error
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise KeyRejected("not a private key")
    if key.public_key() != public.key:
        raise KeyRejected("the private part does not belong to the public part")
    return PrivateKey(key=key, public=public)


def is_private_jwk(jwk: Mapping[str, Any]) -> bool:
    """Whether a JWK carries secret members (RFC 7518 §6)."""
    return bool(_PRIVATE_MEMBERS.intersection(jwk))


def public_half(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """A private JWK without its secret members."""
    return {name: value for name, value in jwk.items() if name not in _PRIVATE_MEMBERS}


def private_jwk(key: SigningKey) -> dict[str, str]:
    """The private JWK of a fresh key, with its thumbprint as `kid`."""
    if isinstance(key, Ed25519PrivateKey):
        exported = OKPAlgorithm.to_jwk(key, as_dict=True)
    else:
        exported = ECAlgorithm.to_jwk(key, as_dict=True)
    members: dict[str, str] = {name: str(exported[name]) for name in ("kty", "crv", "x", "y", "d") if name in exported}
    alg = _algorithm(members)
    return {**members, "alg": alg, "use": "sig", "kid": thumbprint(members)}


def _algorithm(jwk: Mapping[str, Any]) -> str:
    kty, crv = jwk.get("kty"), jwk.get("crv")
    alg = _ALGORITHMS.get((kty, crv)) if isinstance(kty, str) and isinstance(crv, str) else None
    if alg is None:
        raise KeyRejected("only Ed25519 and P-256 keys are accepted")
    if jwk.get("alg", alg) not in (alg, "Ed25519" if alg == "EdDSA" else alg):
        raise KeyRejected("the key's alg contradicts its type")
    return alg


def _refuse_weak(alg: str, jwk: Mapping[str, str]) -> None:
    """Coordinates spelt in another way would give one key several kids; a small-order key signs nothing."""
    for name in ("x", "y"):
        if name not in jwk:
            continue
        try:
            coordinate = b64u_decode(jwk[name])
        except SignatureRejected:
            raise KeyRejected("the key's coordinates are not canonical base64url") from None
        if alg == "EdDSA" and coordinate[:31] + bytes([coordinate[31] & 0x7F]) in _SMALL_ORDER:
            raise KeyRejected("the key is one of the weak points of Ed25519")
