"""Signatures of every class that Wycheproof has for our algorithms, through each door at which we verify one."""

from __future__ import annotations

import datetime as dt
import json
import runpy
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from service.access.clients import parse_client
from service.access.tokens import verify_token
from service.base64url import b64u_decode
from service.control.format import ORDER_TYP
from service.errors import KeyRejected, SignatureRejected, TokenInvalid
from service.journal.entries import HEAD_TYP
from service.journal.receipt import ReceiptFault, verify_receipt
from service.jwk import PublicKey, parse_public_jwk
from service.jws import verify_compact, verify_general
from service.snapshot.manifest import MANIFEST_TYP
from tests.data.curves import ED_NEUTRAL, ED_P, EdKey, ed_torsion
from tests.data.signature_inputs import ISSUED, KID, PURPOSES
from tests.unit.access.forge import b64

Vector = dict[str, Any]
DATA = Path(__file__).parents[1] / "data"
GROUPS: dict[str, list[Vector]] = orjson.loads((DATA / "signature_vectors.json").read_bytes())
VECTORS = [one for many in GROUPS.values() for one in many]
NOW = dt.datetime.fromtimestamp(ISSUED, dt.UTC)


def token_holds(text: str, key: PublicKey) -> bool:
    client = parse_client("pharmacy-a", {"class": "pharmacy", "finess": ["750012346"], "keys": [dict(key.jwk)]})
    try:
        verify_token(text, {"pharmacy-a": client}.get, "relais-droits", NOW)
    except TokenInvalid:
        return False
    return True


def receipt_holds(text: str, key: PublicKey) -> bool:
    """What is signed here is no head: the door says so only of a signature that holds."""
    verdict = verify_receipt({}, {"head": text, "index": 0, "path": []}, {KID: key})
    assert not verdict.valid
    try:
        verify_compact(text, HEAD_TYP, {KID: key})
    except SignatureRejected:
        assert verdict.reason in (ReceiptFault.BAD_SIGNATURE, ReceiptFault.MALFORMED_HEAD, ReceiptFault.UNKNOWN_KEY)
        return False
    assert verdict.reason is ReceiptFault.MALFORMED_HEAD
    return True


def order_holds(text: str, key: PublicKey) -> bool:
    try:
        verify_compact(text, ORDER_TYP, {KID: key})
    except SignatureRejected:
        return False
    return True


def manifest_holds(text: str, key: PublicKey) -> bool:
    """In the JSON form, whose parts are those of the compact one."""
    parts = text.split(".")
    if len(parts) == 3:
        head, body, signature = parts
        text = json.dumps({"payload": body, "signatures": [{"protected": head, "signature": signature}]})
    try:
        _, kids = verify_general(text.encode(), MANIFEST_TYP, {KID: key})
    except SignatureRejected:
        return False
    return kids == {key.kid}


DOORS: dict[str, Callable[[str, PublicKey], bool]] = {
    "token": token_holds,
    "receipt": receipt_holds,
    "order": order_holds,
    "manifest": manifest_holds,
}


def named(vector: Vector) -> str:
    return " | ".join(vector[name] for name in ("purpose", "class", "case") if name in vector)


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_a_signature_of_this_class_is_judged_as_it_must_be(vector: Vector):
    if vector["purpose"] == "manifest" and vector["class"] == "rejectsValidJsonSerialization":
        pytest.skip("the JSON form is the manifest's own")
    assert DOORS[vector["purpose"]](vector["text"], parse_public_jwk(vector["jwk"])) is vector["valid"]


def test_every_class_is_there_for_every_purpose():
    """Names are Wycheproof's; those beginning with `Ours:` are not."""
    eddsa = {
        "Valid", "InvalidSignature", "SignatureMalleability", "SignatureWithGarbage", "TruncatedSignature",
        "CompressedSignature", "InvalidEncoding",
    }  # fmt: skip
    ecdsa = {
        "ValidSignature", "RangeCheck", "ModifiedInteger", "IntegerOverflow", "InvalidSignature", "EdgeCasePublicKey",
        "EdgeCaseShamirMultiplication", "SmallRandS", "SignatureSize", "ModularInverse", "ArithmeticError",
        "PointDuplication", "SpecialCaseHash",
    }  # fmt: skip
    for group, classes in {"ed25519": eddsa, "ecdsa_p256": ecdsa}.items():
        for purpose in PURPOSES:
            found = {one["class"] for one in GROUPS[group] if one["purpose"] == purpose}
            assert {name for name in found if not name.startswith("Ours:")} == classes
    counts = Counter((one["purpose"], one["valid"]) for one in VECTORS)
    assert min(counts.values()) >= 30
    assert min(counts[purpose, False] for purpose in PURPOSES) >= 150


def test_the_script_gives_the_published_bytes():
    made = runpy.run_path(str(DATA / "make_signature_vectors.py"))["make"]()
    assert made == (DATA / "signature_vectors.json").read_bytes()


def test_the_plain_arithmetic_agrees_with_a_library():
    """What the vectors call valid is so to a verifier that has nothing of ours."""
    for group in ("ed25519", "ecdsa_p256"):
        for vector in GROUPS[group]:
            key = jwt.PyJWK({**vector["jwk"], "alg": "EdDSA" if group == "ed25519" else "ES256"}).key
            message, _, signature = vector["text"].rpartition(".")
            assert library_holds(key, message.encode("ascii"), b64u_decode(signature)) is vector["valid"], named(vector)


def library_holds(key: Any, message: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
            return True
        if len(signature) != 64:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        key.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def test_the_arithmetic_signs_as_rfc_8032_does():
    """The second test of its section 7.1: one byte, 0x72."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = EdKey(seed)
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex().startswith("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da")


def small_order_points() -> list[bytes]:
    """All eight, and each in every spelling of 32 bytes that means it."""
    points = [number * ed_torsion() for number in range(8)]
    assert len({point.encode() for point in points}) == 8
    spelt = set()
    for point in points:
        for y in (point.y, point.y + ED_P):
            if y < 2**255:
                spelt |= {(y | sign << 255).to_bytes(32, "little") for sign in (0, 1)}
    return sorted(spelt)


@pytest.mark.parametrize("point", small_order_points(), ids=bytes.hex)
def test_a_public_key_of_small_order_is_refused_in_every_spelling(point: bytes):
    with pytest.raises(KeyRejected):
        parse_public_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64(point)})


def test_with_the_neutral_point_for_a_key_anybody_signs():
    """Why such keys are refused: the library takes a signature that nobody made, for any message."""
    neutral = Ed25519PublicKey.from_public_bytes(ED_NEUTRAL.encode())
    for message in (b"one", b"two"):
        neutral.verify(ED_NEUTRAL.encode() + bytes(32), message)


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param({"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))}, id="infinity"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": b64(bytes(31) + b"\5"), "y": b64(bytes(31) + b"\1")}, id="off"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": b64(bytes([255]) * 32), "y": b64(bytes([255]) * 32)}, id="p"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": b64(b"\1"), "y": b64(b"\1")}, id="short"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": b64(b"\1" * 32)}, id="compressed"),
        pytest.param({"kty": "EC", "crv": "P-384", "x": b64(b"\1" * 48), "y": b64(b"\1" * 48)}, id="P-384"),
        pytest.param({"kty": "EC", "crv": "secp256k1", "x": b64(b"\1" * 32), "y": b64(b"\1" * 32)}, id="secp256k1"),
        pytest.param({"kty": "OKP", "crv": "Ed448", "x": b64(b"\1" * 57)}, id="Ed448"),
        pytest.param({"kty": "OKP", "crv": "X25519", "x": b64(b"\1" * 32)}, id="X25519"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": b64(b"\1" * 31)}, id="31 bytes"),
        pytest.param({"kty": "RSA", "n": b64(b"\1" * 256), "e": "AQAB"}, id="RSA"),
        pytest.param({"kty": "oct", "k": b64(b"\1" * 32)}, id="oct"),
    ],
)
def test_what_is_no_key_of_ours_is_refused(jwk: dict[str, str]):
    with pytest.raises(KeyRejected):
        parse_public_jwk(jwk)
