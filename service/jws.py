"""Signatures (JWS, RFC 7515), compact and General JSON, by EdDSA or ES256 as the key has it. Pure.

A protected header is exactly `alg`, `kid`, `typ`; `typ` keeps an object signed for one purpose from passing for
another, and `kid` is the key's RFC 7638 thumbprint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import jwt

from service.base64url import b64u, b64u_decode
from service.errors import KeyRejected, SignatureRejected
from service.jwk import PrivateKey, PublicKey
from service.signer import SIGNATURE_BYTES, Signer
from service.strictjson import canonical, parse_json_object

_JWS: Final = jwt.PyJWS(algorithms=["EdDSA", "ES256"])


def sign_compact(payload: bytes, typ: str, key: PrivateKey) -> str:
    """JWS Compact Serialization (RFC 7515 §7.1) with the protected header alg, kid, typ."""
    return _JWS.encode(payload, key.key, algorithm=key.public.alg, headers={"kid": key.kid, "typ": typ})


def peek_kid(token: str, typ: str) -> str:
    """The kid an unverified compact JWS names, after checking its header's exact form. Raises `SignatureRejected`."""
    return _parse_header(_split(token)[0], typ)["kid"]


def verify_compact(token: str, typ: str, keys: Mapping[str, PublicKey]) -> bytes:
    """The payload of a compact JWS of type `typ` signed by one of `keys` (by kid). Raises `SignatureRejected`."""
    return verify_one_of(token, {typ: keys})[1]


def verify_one_of(token: str, keys_by_typ: Mapping[str, Mapping[str, PublicKey]]) -> tuple[str, bytes]:
    """Type and payload of a compact JWS of one of these types, signed by a key that may sign that type.

    Raises `SignatureRejected`.
    """
    head, body, signature = _split(token)
    header = _parse_header(head, *keys_by_typ)
    key = keys_by_typ[header["typ"]].get(header["kid"])
    if key is None or key.alg != header["alg"]:
        raise SignatureRejected("signed by a key that is not known here")
    if not _verifies(key, f"{head}.{body}".encode("ascii"), b64u_decode(signature)):
        raise SignatureRejected("the signature does not match")
    return header["typ"], b64u_decode(body)


def sign_general(payload: bytes, typ: str, signers: Sequence[Signer]) -> bytes:
    """JWS General JSON Serialization (RFC 7515 §7.2.1), one signature a key."""
    body = b64u(payload)
    return _general(body, [_general_signature(body, typ, signer) for signer in signers])


def add_signature(document: bytes, typ: str, signer: Signer) -> bytes:
    """The same General JWS with a further signature (or the key's own one made anew). Raises `SignatureRejected`."""
    body, signatures = _parse_general(document)
    kept = [entry for entry in signatures if _parse_header(entry["protected"], typ)["kid"] != signer.kid]
    return _general(body, [*kept, _general_signature(body, typ, signer)])


def detached_signature(document: bytes, typ: str, signer: Signer) -> bytes:
    """A General JWS of the same payload that holds this one signature: what travels back from a signer's machine."""
    body, _ = _parse_general(document)
    return _general(body, [_general_signature(body, typ, signer)])


def merge_signatures(documents: Iterable[bytes], typ: str, keys: Mapping[str, PublicKey]) -> bytes:
    """One General JWS with the signatures of all, one a key, in the order of their kids.

    All must have one payload, byte by byte, and a signature by one of `keys` (by kid) must hold. Neither the order
    nor the number of times a document is given matters. Raises `SignatureRejected`.
    """
    bodies: set[str] = set()
    by_kid: dict[str, dict[str, str]] = {}
    for document in documents:
        verify_general(document, typ, keys)
        body, signatures = _parse_general(document)
        bodies.add(body)
        for entry in signatures:
            kid = _parse_header(entry["protected"], typ)["kid"]
            # An ES256 signature made again differs from the former: either holds, so one rule picks for any order.
            by_kid[kid] = min(entry, by_kid.get(kid, entry), key=lambda each: (each["protected"], each["signature"]))
    if len(bodies) != 1:
        raise SignatureRejected("made for another payload")
    return _general(bodies.pop(), [by_kid[kid] for kid in sorted(by_kid)])


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


def _split(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(parts) != 3:
        raise SignatureRejected("not a compact JWS")
    return parts[0], parts[1], parts[2]


def _parse_header(segment: str, *typs: str) -> dict[str, str]:
    """alg, kid, typ: exactly these, all text, once each; `crit`, `jku`, `x5u`, `jwk`, `zip` fall with the rest."""
    raw = b64u_decode(segment)
    header = parse_json_object(raw)
    if set(header) != {"alg", "kid", "typ"} or not all(isinstance(value, str) for value in header.values()):
        raise SignatureRejected("the protected header is not exactly alg, kid, typ")
    if header["typ"] not in typs:
        raise SignatureRejected(f"the object is not a {' or '.join(typs)}")
    return header


def _verifies(key: PublicKey, signed: bytes, signature: bytes) -> bool:
    algorithm = _JWS.get_algorithm_by_name(key.alg)
    return bool(algorithm.verify(signed, key.key, signature))


def _general_signature(body: str, typ: str, signer: Signer) -> dict[str, str]:
    head = b64u(canonical({"alg": signer.alg, "kid": signer.kid, "typ": typ}))
    signature = signer.sign(f"{head}.{body}".encode("ascii"))
    if len(signature) != SIGNATURE_BYTES:
        # What a token gives in DER would be refused by every reader, and the whole document with it.
        raise KeyRejected(f"key {signer.kid} gave {len(signature)} bytes, not a signature of {SIGNATURE_BYTES}")
    return {"protected": head, "signature": b64u(signature)}


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
