"""Keys and signatures of everything we sign: JWK (RFC 7517), JWS (RFC 7515), canonical JSON (RFC 8785). Pure.

Two algorithms, pinned by the key: EdDSA over Ed25519 (RFC 8037) and ES256. A protected header is exactly
`alg`, `kid`, `typ`; `typ` keeps an object signed for one purpose from passing for another, and `kid` is the
key's RFC 7638 thumbprint.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from service.errors import KeyRejected, SignatureRejected
from service.strictjson import parse_strict

SigningKey = Ed25519PrivateKey | EllipticCurvePrivateKey
VerifyKey = Ed25519PublicKey | EllipticCurvePublicKey

#: kty, crv -> alg. Ed448, RSA, P-384 and symmetric keys are deliberately absent.
_ALGORITHMS: Final[Mapping[tuple[str, str], str]] = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}
_THUMBPRINT_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y")}
_JWS: Final = jwt.PyJWS(algorithms=["EdDSA", "ES256"])
_B64URL_ALPHABET: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
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
#: JSON members that carry the secret part of a key (RFC 7518 §6).
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def b64u(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64u_decode(text: str) -> bytes:
    """The bytes behind canonical, unpadded base64url; raises `SignatureRejected` for any other spelling.

    Strict, because a lenient decoder lets one signature have many spellings.
    """
    try:
        raw = text.encode("ascii")
        data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise SignatureRejected("not base64url") from error
    if not _B64URL_ALPHABET.issuperset(raw) or b64u(data) != text:
        raise SignatureRejected("not canonical base64url without padding")
    return data


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of a value without floats whose keys are ASCII."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def sha256_b64u(data: bytes) -> str:
    """SHA-256 in base64url, the form of every digest we publish."""
    return b64u(hashlib.sha256(data).digest())


def parse_json_object(data: bytes | str) -> dict[str, Any]:
    """One JSON object; raises `SignatureRejected`. For signed or operator-made input, never for callers' bodies."""
    try:
        value = parse_strict(data)
    except ValueError as error:
        raise SignatureRejected("not JSON with distinct members") from error
    if not isinstance(value, dict):
        raise SignatureRejected("not a JSON object")
    return value


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A verification key: `kid` its RFC 7638 thumbprint, `alg` the only algorithm it verifies, `jwk` public members."""

    kid: str
    alg: str
    key: VerifyKey
    jwk: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A signing key and its public half. `repr` never shows the secret."""

    key: SigningKey
    public: PublicKey

    def __repr__(self) -> str:
        return f"PrivateKey(kid={self.public.kid!r})"

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the public half."""
        return self.public.kid


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


def private_jwk(key: SigningKey) -> dict[str, str]:
    """The private JWK of a fresh key, with its thumbprint as `kid`."""
    if isinstance(key, Ed25519PrivateKey):
        exported = OKPAlgorithm.to_jwk(key, as_dict=True)
    else:
        exported = ECAlgorithm.to_jwk(key, as_dict=True)
    members: dict[str, str] = {name: str(exported[name]) for name in ("kty", "crv", "x", "y", "d") if name in exported}
    alg = _algorithm(members)
    return {**members, "alg": alg, "use": "sig", "kid": thumbprint(members)}


def sign_compact(payload: bytes, typ: str, key: PrivateKey) -> str:
    """JWS Compact Serialization (RFC 7515 §7.1) with the protected header alg, kid, typ."""
    return _JWS.encode(payload, key.key, algorithm=key.public.alg, headers={"kid": key.kid, "typ": typ})


def peek_kid(token: str, typ: str) -> str:
    """The kid an unverified compact JWS names, after checking its header's exact form. Raises `SignatureRejected`."""
    return _parse_header(_split(token)[0], typ)["kid"]


def verify_compact(token: str, typ: str, keys: Mapping[str, PublicKey]) -> bytes:
    """The payload of a compact JWS of type `typ` signed by one of `keys` (by kid). Raises `SignatureRejected`."""
    head, body, signature = _split(token)
    header = _parse_header(head, typ)
    key = keys.get(header["kid"])
    if key is None or key.alg != header["alg"]:
        raise SignatureRejected("signed by a key that is not known here")
    if not _verifies(key, f"{head}.{body}".encode("ascii"), b64u_decode(signature)):
        raise SignatureRejected("the signature does not match")
    return b64u_decode(body)


def sign_general(payload: bytes, typ: str, keys: Sequence[PrivateKey]) -> bytes:
    """JWS General JSON Serialization (RFC 7515 §7.2.1), one signature a key."""
    body = b64u(payload)
    return _general(body, [_general_signature(body, typ, key) for key in keys])


def add_signature(document: bytes, typ: str, key: PrivateKey) -> bytes:
    """The same General JWS with a further signature (or the key's own one made anew). Raises `SignatureRejected`."""
    body, signatures = _parse_general(document)
    kept = [entry for entry in signatures if _parse_header(entry["protected"], typ)["kid"] != key.kid]
    return _general(body, [*kept, _general_signature(body, typ, key)])


def verify_general(document: bytes, typ: str, keys: Mapping[str, PublicKey]) -> tuple[bytes, frozenset[str]]:
    """Payload bytes and the kids among `keys` whose signatures hold.

    Raises `SignatureRejected` for a malformed document, a repeated kid, or a known key whose signature does not
    match; a signature by an unknown key does not count and does not harm (it may belong to the next key set).
    The payload of a document with no valid signature must not be parsed.
    """
    body, signatures = _parse_general(document)
    valid: set[str] = set()
    seen: set[str] = set()
    for entry in signatures:
        header = _parse_header(entry["protected"], typ)
        if header["kid"] in seen:
            raise SignatureRejected("one key signed twice")
        seen.add(header["kid"])
        key = keys.get(header["kid"])
        if key is None:
            continue
        signed = f"{entry['protected']}.{body}".encode("ascii")
        if key.alg != header["alg"] or not _verifies(key, signed, b64u_decode(entry["signature"])):
            raise SignatureRejected(f"the signature by key {key.kid} does not match")
        valid.add(key.kid)
    return b64u_decode(body), frozenset(valid)


def unverified_payload(document: bytes) -> bytes:
    """The payload of a General JWS whose signatures were *not* checked: to sign it or to show it, never to trust it."""
    return b64u_decode(_parse_general(document)[0])


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


def _split(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(parts) != 3:
        raise SignatureRejected("not a compact JWS")
    return parts[0], parts[1], parts[2]


def _parse_header(segment: str, typ: str) -> dict[str, str]:
    """alg, kid, typ: exactly these, all text, once each; `crit`, `jku`, `x5u`, `jwk`, `zip` fall with the rest."""
    raw = b64u_decode(segment)
    header = parse_json_object(raw)
    if set(header) != {"alg", "kid", "typ"} or not all(isinstance(value, str) for value in header.values()):
        raise SignatureRejected("the protected header is not exactly alg, kid, typ")
    if header["typ"] != typ:
        raise SignatureRejected(f"the object is not a {typ}")
    return header


def _verifies(key: PublicKey, signed: bytes, signature: bytes) -> bool:
    algorithm = _JWS.get_algorithm_by_name(key.alg)
    return bool(algorithm.verify(signed, key.key, signature))


def _general_signature(body: str, typ: str, key: PrivateKey) -> dict[str, str]:
    head = b64u(canonical({"alg": key.public.alg, "kid": key.kid, "typ": typ}))
    algorithm = _JWS.get_algorithm_by_name(key.public.alg)
    return {"protected": head, "signature": b64u(algorithm.sign(f"{head}.{body}".encode("ascii"), key.key))}


def _general(body: str, signatures: Sequence[Mapping[str, str]]) -> bytes:
    return canonical({"payload": body, "signatures": list(signatures)})


def _parse_general(document: bytes) -> tuple[str, list[dict[str, str]]]:
    """Payload segment and signature objects {protected, signature}; an unprotected `header` is refused."""
    value = parse_json_object(document)
    payload, signatures = value.get("payload"), value.get("signatures")
    if set(value) != {"payload", "signatures"} or not isinstance(payload, str) or not isinstance(signatures, list):
        raise SignatureRejected("not a JWS in General JSON Serialization")
    for entry in signatures:
        if not isinstance(entry, dict) or set(entry) != {"protected", "signature"}:
            raise SignatureRejected("a signature is not exactly protected and signature")
        if not all(isinstance(part, str) for part in entry.values()):
            raise SignatureRejected("a signature's parts are not text")
    return payload, signatures
