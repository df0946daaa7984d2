"""`POST /v1/receipts/verify`: a bad receipt is a good question."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faces.desk import Counter
from tests.fleet import Reply


def verify(counter: Counter, body: Any) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return counter.served.request("POST", "/v1/receipts/verify", raw, {"Content-Type": "application/json"})


def verdict(counter: Counter, answer: Any, receipt: Any) -> dict[str, Any]:
    reply = verify(counter, {"answer": answer, "receipt": receipt})
    assert reply.status == 200, reply.body
    told: dict[str, Any] = reply.json()
    assert set(told) == {"valid", "reason", "head"}
    assert told["valid"] is (told["reason"] is None)
    return told


@pytest.fixture(scope="module")
def response(counter: Counter) -> dict[str, Any]:
    return counter.response(counter.served.example("open"))


def test_a_true_receipt_is_valid_without_a_token(counter: Counter, response: dict[str, Any]):
    told = verdict(counter, response["answer"], response["receipt"])
    assert (told["valid"], told["reason"]) == (True, None)
    assert set(told["head"]) == {"journal", "first", "size", "root", "entries", "previous", "at"}


def test_the_order_of_members_does_not_matter(counter: Counter, response: dict[str, Any]):
    answer = dict(reversed(response["answer"].items()))
    assert verdict(counter, answer, response["receipt"])["valid"] is True


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": "closed"}, id="another status"),
        pytest.param({"degraded": False}, id="not degraded"),
        pytest.param({"more": None}, id="a member more"),
        pytest.param({"reasons": []}, id="no reasons"),
        pytest.param({"mode_order": 1}, id="another order"),
    ],
)
def test_a_changed_answer_is_not_valid(counter: Counter, response: dict[str, Any], change: dict[str, Any]):
    told = verdict(counter, {**response["answer"], **change}, response["receipt"])
    assert (told["valid"], told["reason"]) == (False, "root_mismatch")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head": "MARQUE"}, "malformed_head"),
        ({"head": "a.b.c"}, "malformed_head"),
        ({"head": 4711}, "malformed_receipt"),
        ({"index": 4711}, "index_outside_batch"),
        ({"index": -1}, "index_outside_batch"),
        ({"index": "0"}, "malformed_receipt"),
        ({"index": True}, "malformed_receipt"),
        ({"path": ["MARQUE!"]}, "malformed_path"),
        ({"path": ["A" * 43] * 65}, "malformed_path"),
        ({"path": None}, "malformed_receipt"),
        ({"MARQUE": 1}, "malformed_receipt"),
    ],
)
def test_a_bad_receipt_is_a_200_that_says_why(
    counter: Counter, response: dict[str, Any], change: dict[str, Any], reason: str
):
    told = verdict(counter, response["answer"], {**response["receipt"], **change})
    assert (told["valid"], told["reason"]) == (False, reason)
    assert "MARQUE" not in json.dumps(told)


def test_a_flipped_signature_is_not_valid(counter: Counter, response: dict[str, Any]):
    signed, _, signature = response["receipt"]["head"].rpartition(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    told = verdict(counter, response["answer"], {**response["receipt"], "head": f"{signed}.{flipped}"})
    assert (told["valid"], told["reason"], told["head"]) == (False, "bad_signature", None)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"x": 1.5},
        {"x": 10**400},
        {"é": "à"},
        {"x": [[[[]]]]},
        json.loads('{"x":' * 200 + "1" + "}" * 200),
    ],
)
def test_any_object_may_be_asked_about(counter: Counter, response: dict[str, Any], answer: dict[str, Any]):
    assert verdict(counter, answer, response["receipt"])["valid"] is False


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"answer": {}, "answer": {}, "receipt": {}}', "malformed_json"),
        (b'{"answer": {"x": 1, "\\u0078": 2}, "receipt": {}}', "malformed_json"),
        (b'{"answer": {"x": NaN}, "receipt": {}}', "malformed_json"),
        (b'{"answer": {"x": "\\ud800"}, "receipt": {}}', "malformed_json"),
        (b'{"answer": {"x": "\xff"}, "receipt": {}}', "malformed_json"),
        (b'{"answer": ' + b'{"x":' * 10_000 + b"1" + b"}" * 10_000 + b', "receipt": {}}', "malformed_json"),
        (b"{}", "invalid_field"),
        (b'{"answer": {}}', "invalid_field"),
        (b'{"answer": [], "receipt": {}}', "invalid_field"),
        (b'{"answer": {}, "receipt": "MARQUE"}', "invalid_field"),
        (b'{"answer": {}, "receipt": {}, "MARQUE": 1}', "invalid_field"),
    ],
)
def test_a_question_that_is_none_is_refused(counter: Counter, body: bytes, code: str):
    reply = verify(counter, body)
    assert reply.code == code
    assert "MARQUE" not in reply.body.decode()


def test_the_published_keys_are_public(counter: Counter):
    reply = counter.served.request("GET", "/.well-known/jwks.json")
    (key,) = reply.json()["keys"]
    assert set(key) == {"alg", "crv", "kid", "kty", "use", "x"}
    assert (key["alg"], key["use"]) == ("EdDSA", "sig")
    assert key["kid"] in counter.keys
