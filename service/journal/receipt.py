"""Receipts: does this answer belong under a head that a known key signed? Pure.

It proves that the holder of the receipt key committed to this answer, to this client, for this question, in this
journal; not that the answer is true. Whether the head stands in the journal is for the reader to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
import orjson

from service.base64url import b64u, b64u_decode
from service.errors import ReceiptRejected, SignatureRejected
from service.journal.entries import HEAD_TYP, Head, Receipt, parse_head
from service.journal.merkle import leaf_hash, root_from_path
from service.jwk import PublicKey
from service.jws import peek_kid, verify_compact
from service.strictjson import canonical

#: log2 of the largest tree a head can stand for here; a longer path is refused before it is decoded.
MAX_PATH: Final = 64


class ReceiptFault(StrEnum):
    """Why a receipt does not hold (docs/journal_format.md)."""

    MALFORMED_ANSWER = "malformed_answer"
    MALFORMED_RECEIPT = "malformed_receipt"
    MALFORMED_HEAD = "malformed_head"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    INDEX_OUTSIDE_BATCH = "index_outside_batch"
    MALFORMED_PATH = "malformed_path"
    ROOT_MISMATCH = "root_mismatch"


class Verdict(msgspec.Struct, frozen=True):
    """Outcome of a verification: `reason` is None when valid; `head` is what a known key signed, if it did."""

    valid: bool
    reason: ReceiptFault | None
    head: Head | None


def verify_receipt(answer: object, receipt: object, keys: Mapping[str, PublicKey]) -> Verdict:
    """Whether `answer` (an object, or its RFC 8785 bytes) was recorded under a head signed by one of `keys`."""
    head = None
    try:
        leaf = leaf_hash(answer if isinstance(answer, bytes) else _answer_bytes(answer))
        proof = parse_receipt(receipt)
        head = _signed_head(proof.head, keys)
        root = root_from_path(leaf, proof.index, head.size, [_node(text) for text in proof.path])
    except ReceiptRejected as error:
        return Verdict(valid=False, reason=ReceiptFault(error.reason), head=head)
    if b64u(root) != head.root:
        return Verdict(valid=False, reason=ReceiptFault.ROOT_MISMATCH, head=head)
    return Verdict(valid=True, reason=None, head=head)


def parse_receipt(value: object) -> Receipt:
    """The receipt in a JSON value: exactly head, index and path. Raises `ReceiptRejected`."""
    if isinstance(value, Receipt):
        return value
    if not isinstance(value, dict) or set(value) != {"head", "index", "path"}:
        raise ReceiptRejected(ReceiptFault.MALFORMED_RECEIPT)
    try:
        receipt = msgspec.convert(value, Receipt)
    except msgspec.ValidationError as error:
        raise ReceiptRejected(ReceiptFault.MALFORMED_RECEIPT) from error
    if len(receipt.path) > MAX_PATH:
        raise ReceiptRejected(ReceiptFault.MALFORMED_PATH)
    return receipt


def _answer_bytes(answer: object) -> bytes:
    if not isinstance(answer, dict) or _has_float(answer):
        raise ReceiptRejected(ReceiptFault.MALFORMED_ANSWER)
    try:
        return canonical(answer)
    except orjson.JSONEncodeError as error:
        raise ReceiptRejected(ReceiptFault.MALFORMED_ANSWER) from error


def _has_float(value: dict[Any, Any]) -> bool:
    """An answer holds no floats; NaN in particular would be written as null and pass for it."""
    stack: list[object] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, float):
            return True
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


def _signed_head(token: str, keys: Mapping[str, PublicKey]) -> Head:
    try:
        if peek_kid(token, HEAD_TYP) not in keys:
            raise ReceiptRejected(ReceiptFault.UNKNOWN_KEY)
    except SignatureRejected as error:
        raise ReceiptRejected(ReceiptFault.MALFORMED_HEAD) from error
    try:
        payload = verify_compact(token, HEAD_TYP, keys)
    except SignatureRejected as error:
        raise ReceiptRejected(ReceiptFault.BAD_SIGNATURE) from error
    try:
        return parse_head(payload)
    except SignatureRejected as error:
        raise ReceiptRejected(ReceiptFault.MALFORMED_HEAD) from error


def _node(text: str) -> bytes:
    try:
        return b64u_decode(text)
    except SignatureRejected as error:
        raise ReceiptRejected(ReceiptFault.MALFORMED_PATH) from error
