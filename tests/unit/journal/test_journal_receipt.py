from __future__ import annotations

import copy

import msgspec
import pytest

from service.journal.batch import HeadSigner, Sealer
from service.journal.entries import HEAD_TYP
from service.journal.receipt import ReceiptFault, verify_receipt
from service.jws import sign_compact
from service.strictjson import canonical
from tests.unit.journal.journal_node import NOW, answer, pending, signing_key

KEY = signing_key()
KEYS = {KEY.kid: KEY.public}
SEALER = Sealer("018d7892-0000-7000-8000-000000000000", bytes(32), HeadSigner(KEY), "h" * 43)
RECEIPTS = [msgspec.to_builtins(receipt) for receipt in SEALER.batch([pending(i) for i in range(7)], NOW).receipts]


@pytest.mark.parametrize("index", range(7))
def test_a_receipt_holds_for_its_answer_as_object_and_as_bytes(index: int):
    verdict = verify_receipt(answer(index), RECEIPTS[index], KEYS)
    assert (verdict.valid, verdict.reason) == (True, None)
    assert verdict.head is not None
    assert (verdict.head.first, verdict.head.size) == (0, 7)
    assert verify_receipt(canonical(answer(index)), RECEIPTS[index], KEYS).valid


def test_every_changed_member_of_an_answer_is_found():
    for name in answer():
        changed = answer(3) | {name: "other"}
        assert verify_receipt(changed, RECEIPTS[3], KEYS).reason is ReceiptFault.ROOT_MISMATCH
    assert not verify_receipt(answer(3) | {"more": 1}, RECEIPTS[3], KEYS).valid


def test_a_receipt_does_not_hold_for_another_answer_of_its_batch():
    assert verify_receipt(answer(2), RECEIPTS[3], KEYS).reason is ReceiptFault.ROOT_MISMATCH


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head": "x"}, "malformed_head"),
        ({"head": 1}, "malformed_receipt"),
        ({"head": sign_compact(b"{}", "JWT", KEY)}, "malformed_head"),
        ({"head": sign_compact(b"{}", HEAD_TYP, KEY)}, "malformed_head"),
        ({"head": sign_compact(b"{}", HEAD_TYP, signing_key(2))}, "unknown_key"),
        ({"head": RECEIPTS[3]["head"][:-4] + "AAAA"}, "bad_signature"),
        ({"index": -1}, "index_outside_batch"),
        ({"index": 7}, "index_outside_batch"),
        ({"index": True}, "malformed_receipt"),
        ({"index": 3.0}, "malformed_receipt"),
        ({"path": []}, "malformed_path"),
        ({"path": ["A" * 43] * 3 + ["B" * 43] * 100}, "malformed_path"),
        ({"path": [*RECEIPTS[3]["path"][:2], "="]}, "malformed_path"),
        ({"path": list(reversed(RECEIPTS[3]["path"]))}, "root_mismatch"),
        ({"more": 1}, "malformed_receipt"),
    ],
)
def test_a_bent_receipt_is_refused_with_its_reason(change: dict[str, object], reason: str):
    verdict = verify_receipt(answer(3), RECEIPTS[3] | change, KEYS)
    assert (verdict.valid, verdict.reason) == (False, reason)


@pytest.mark.parametrize(
    "value", [None, [], "x", {"x": 1.0}, {"x": [{"y": float("nan")}]}, {"x": 2**70}, {"x": "\ud800"}]
)
def test_an_answer_that_has_no_canonical_form_is_refused(value: object):
    assert verify_receipt(value, RECEIPTS[3], KEYS).reason is ReceiptFault.MALFORMED_ANSWER


def test_an_answer_nested_beyond_reason_is_refused():
    nested: dict[str, object] = {}
    for _ in range(10_000):
        nested = {"x": nested}
    assert verify_receipt(nested, RECEIPTS[3], KEYS).reason is ReceiptFault.MALFORMED_ANSWER


def test_verification_leaves_its_input_alone():
    receipt, told = copy.deepcopy(RECEIPTS[3]), answer(3)
    verify_receipt(told, receipt, KEYS)
    assert (receipt, told) == (RECEIPTS[3], answer(3))
