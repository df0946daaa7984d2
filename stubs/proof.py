"""Verification of a receipt as an outsider would write it, from the published format alone. Pure.

A receipt proves that the holder of a receipt key committed to this answer, for this question. Steps:
1 the head is a compact JWS (RFC 7515) by a published Ed25519 key whose thumbprint (RFC 7638) is its `kid`;
2 its payload has the members of a batch head; 3 the answer's leaf leads to the head's root along the path
(RFC 9162 §2.1.3.2); 4 `asked` commits to the query as normalised, under the opening.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HEAD_TYP: Final = "relais-head+jws"
_HEAD_TEXTS: Final = frozenset({"journal", "root", "entries", "previous", "at"})
_HEAD_NUMBERS: Final = frozenset({"first", "size"})
Json = Mapping[str, Any]
Keys = Mapping[str, Ed25519PublicKey]


class ReceiptError(Exception):
    """A receipt that proves nothing; the text names the step."""


class Head(NamedTuple):
    """Where an answer is recorded: journal, entry number, instant of its batch."""

    journal: str
    entry: int
    at: str


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of JSON with ASCII keys and no floats. Raises `ReceiptError` for anything else."""
    _refuse_floats(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def parse_jwks(document: Json) -> dict[str, Ed25519PublicKey]:
    """Receipt keys by thumbprint; keys of other types are passed over. Raises `ReceiptError`."""
    keys = document.get("keys")
    if not isinstance(keys, list):
        _refuse("the key set has no keys")
    found = {}
    for jwk in keys:
        if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519":
            members = {name: jwk[name] for name in ("crv", "kty", "x")}
            kid = _b64u(hashlib.sha256(canonical(members)).digest())
            found[kid] = Ed25519PublicKey.from_public_bytes(_bytes(jwk["x"], "key"))
    return found


def verify_receipt(answer: Json, receipt: Json, keys: Keys) -> Head:
    """The journal and entry that a receipt names. Raises `ReceiptError`."""
    head = _head(receipt.get("head"), keys)
    index, size = receipt.get("index"), head["size"]
    path = [_digest(step, "path") for step in _list(receipt.get("path"))]
    if type(index) is not int or not 0 <= index < size:
        _refuse("index: outside the batch")
    leaf = hashlib.sha256(b"\x00" + canonical(answer)).digest()
    if _root(leaf, index, size, path) != _digest(head["root"], "root"):
        _refuse("path: the answer does not lead to the signed root")
    return Head(head["journal"], head["first"] + index, head["at"])


def verify_asked(query: Json, answer: Json, opening: str) -> None:
    """The answer is for this query. Raises `ReceiptError`."""
    key = _bytes(opening, "opening")
    if len(key) != 16:
        _refuse("opening: not 16 bytes")
    commitment = hmac.digest(key, canonical(normalised(query, answer)), "sha256")
    if not hmac.compare_digest(_b64u(commitment), str(answer.get("asked"))):
        _refuse("asked: the answer is for another question")


def normalised(query: Json, answer: Json) -> dict[str, Any]:
    """A query with the defaults that its answer says were filled in: pharmacy and day of dispensing."""
    beneficiary, amc = query["beneficiary"], query.get("amc")
    person: dict[str, Any] = {"birth_date": beneficiary["birth_date"], "birth_rank": beneficiary.get("birth_rank", 1)}
    if "nir" in beneficiary:
        person["nir"] = beneficiary["nir"].replace(" ", "").replace(".", "").upper()[:13]
    else:
        amc = beneficiary["amc"]
        person["amc"], person["member"] = amc.zfill(10), beneficiary["member"].replace(" ", "").upper()
    return {
        "beneficiary": person,
        "finess": query.get("finess", answer["for"]["finess"]),
        "service_date": query.get("service_date", answer["service_date"]),
        "domain": query.get("domain", "PHAR"),
        "benefits": sorted(query.get("benefits", [])),
        "amc": amc.zfill(10) if amc else None,
    }


def verify_response(query: Json, response: Json, keys: Keys) -> Head:
    """All four steps on a whole response. Raises `ReceiptError`."""
    try:
        head = verify_receipt(response["answer"], response["receipt"], keys)
        verify_asked(query, response["answer"], response["opening"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ReceiptError("the response is not of the published form") from error
    return head


def _head(token: object, keys: Keys) -> dict[str, Any]:
    parts = token.split(".") if isinstance(token, str) else []
    if len(parts) != 3:
        _refuse("head: not a compact JWS")
    header = _object(parts[0])
    if set(header) != {"alg", "kid", "typ"} or header["alg"] != "EdDSA" or header["typ"] != HEAD_TYP:
        _refuse("head: not the header of a journal head")
    key = keys.get(header["kid"])
    if key is None:
        _refuse("head: signed by a key that is not published")
    try:
        key.verify(_bytes(parts[2], "signature"), f"{parts[0]}.{parts[1]}".encode("ascii"))
    except InvalidSignature as error:
        raise ReceiptError("head: the signature does not match") from error
    payload = _object(parts[1])
    if set(payload) != _HEAD_TEXTS | _HEAD_NUMBERS:
        _refuse("head: not the members of a journal head")
    texts = all(isinstance(payload[name], str) for name in _HEAD_TEXTS)
    if not texts or not all(type(payload[name]) is int and payload[name] >= 0 for name in _HEAD_NUMBERS):
        _refuse("head: a member is of the wrong type")
    return payload


def _root(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """RFC 9162 §2.1.3.2, with the RFC's names: fn and sn are the node's and the last node's number on a level."""
    fn, sn, node = index, size - 1, leaf
    for step in path:
        if sn == 0:
            _refuse("path: too long")
        if fn & 1 or fn == sn:
            node = hashlib.sha256(b"\x01" + step + node).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + step).digest()
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        _refuse("path: too short")
    return node


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        _refuse("answer: holds a float")
    if isinstance(value, Mapping):
        for name, member in value.items():
            if not name.isascii():
                _refuse("answer: a member's name is not ASCII")
            _refuse_floats(member)
    elif isinstance(value, list):
        for member in value:
            _refuse_floats(member)


def _object(segment: str) -> dict[str, Any]:
    try:
        value = orjson.loads(_bytes(segment, "head"))
    except orjson.JSONDecodeError as error:
        raise ReceiptError("head: not JSON") from error
    return value if isinstance(value, dict) else _refuse("head: not a JSON object")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else _refuse("path: not a list")


def _digest(text: object, name: str) -> bytes:
    data = _bytes(text, name)
    return data if len(data) == 32 else _refuse(f"{name}: not a SHA-256 digest")


def _bytes(text: object, name: str) -> bytes:
    try:
        data = base64.b64decode(str(text).encode("ascii") + b"=" * (-len(str(text)) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise ReceiptError(f"{name}: not base64url") from error
    return data if _b64u(data) == text else _refuse(f"{name}: not canonical base64url")


def _b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _refuse(why: str) -> NoReturn:
    raise ReceiptError(why)
