from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from stubs.proof import ReceiptError, normalised, parse_jwks, verify_receipt, verify_response
from tests.unit.stubs.counterpart import FINESS, Office, b64u, leaf, path, respond, tree

QUERY: dict[str, Any] = {
    "beneficiary": {"nir": "1 85 05 75 116 001 59", "birth_date": "1985-05-12"},
    "benefits": ["PH7", "PH4"],
}
NORMALISED = {
    "beneficiary": {"nir": "1850575116001", "birth_date": "1985-05-12", "birth_rank": 1},
    "finess": FINESS,
    "service_date": "2024-02-05",
    "domain": "PHAR",
    "benefits": ["PH4", "PH7"],
    "amc": None,
}


@pytest.fixture
def office() -> Office:
    return Office()


def test_an_honest_response_verifies_and_tells_its_entry(office: Office):
    head = verify_response(QUERY, respond(office, NORMALISED), office.keys)
    assert head == ("j-1", 103, "2024-02-05T09:30:12.123Z")


@pytest.mark.parametrize("size", range(1, 34))
def test_every_answer_of_every_batch_leads_to_its_root_and_to_no_other_place(office: Office, size: int):
    answers = [{"n": number} for number in range(size)]
    leaves = [leaf(answer) for answer in answers]
    head = office.head(leaves)
    for index, answer in enumerate(answers):
        receipt = {"head": head, "index": index, "path": [b64u(step) for step in path(index, leaves)]}
        assert verify_receipt(answer, receipt, office.keys).entry == index
        with pytest.raises(ReceiptError):
            verify_receipt({"n": size}, receipt, office.keys)
        if size > 1:
            with pytest.raises(ReceiptError):
                verify_receipt(answer, {**receipt, "index": (index + 1) % size}, office.keys)


def test_the_tree_is_that_of_published_vectors():
    # Reference vectors of Certificate Transparency, whose tree RFC 9162 keeps: 1 and 3 leaves of known bytes.
    leaves = [hashlib.sha256(b"\x00" + data).digest() for data in (b"", b"\x00", b"\x10")]
    assert tree(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tree(leaves).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"


def member(*names: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def bend(response: dict[str, Any]) -> None:
        for name in names[:-1]:
            response = response[name]
        response[names[-1]] = to(response[names[-1]]) if callable(to) else to

    return bend


def flip(text: str) -> str:
    return ("B" if text[0] == "A" else "A") + text[1:]


def flip_signature(head: str) -> str:
    body, _, signature = head.rpartition(".")
    return f"{body}.{flip(signature)}"


BENT = {
    "one character of the answer": (member("answer", "status", to="opem"), "path"),
    "a float": (member("answer", "notices", to=[1.0]), "float"),
    "a name beyond ASCII": (member("answer", "for", to={"é": 1}), "ASCII"),
    "another index": (member("receipt", "index", to=2), "path"),
    "an index outside the batch": (member("receipt", "index", to=6), "index"),
    "an index that is a truth value": (member("receipt", "index", to=True), "index"),
    "a negative index": (member("receipt", "index", to=-3), "index"),
    "a step too few": (member("receipt", "path", to=lambda steps: steps[:-1]), "path"),
    "a step too many": (member("receipt", "path", to=lambda steps: [*steps, steps[0]]), "path"),
    "a bent step": (member("receipt", "path", to=lambda steps: [flip(steps[0]), *steps[1:]]), "path"),
    "a step that is no digest": (member("receipt", "path", to=["AAAA"]), "path"),
    "a path that is no list": (member("receipt", "path", to="x"), "path"),
    "a bent signature": (member("receipt", "head", to=flip_signature), "signature"),
    "a padded signature": (member("receipt", "head", to=lambda head: head + "=="), "base64url"),
    "a signature beyond ASCII": (member("receipt", "head", to=lambda head: head + "é"), "base64url"),
    "a head of two parts": (member("receipt", "head", to="a.b"), "compact"),
    "a head that is no text": (member("receipt", "head", to=7), "compact"),
    "a header that is no JSON": (member("receipt", "head", to="YQ.YQ.YQ"), "JSON"),
    "a header that is no object": (member("receipt", "head", to="W10.W10.W10"), "object"),
    "another opening": (member("opening", to=flip), "asked"),
    "a short opening": (member("opening", to="AAAA"), "opening"),
    "no receipt": (member("receipt", to=None), "form"),
}


@pytest.mark.parametrize("attack", BENT)
def test_a_bent_response_is_refused(office: Office, attack: str):
    response = respond(office, NORMALISED)
    bend, why = BENT[attack]
    bend(response)
    with pytest.raises(ReceiptError, match=why):
        verify_response(QUERY, response, office.keys)


HEADS = {
    "alg none": Office(header={"alg": "none"}),
    "another typ": Office(header={"typ": "relais-order+jws"}),
    "a key in the header": Office(header={"jwk": {}}),
    "an unknown kid": Office(header={"kid": "x"}),
    "a further member": Office(payload={"also": 1}),
    "a size that is text": Office(payload={"size": "6"}),
    "a size that is a truth value": Office(payload={"first": True}),
    "a root that is null": Office(payload={"root": None}),
    "another root": Office(payload={"root": b64u(bytes(32))}),
    "an empty batch": Office(payload={"size": 0}),
}


@pytest.mark.parametrize("attack", HEADS)
def test_a_head_that_is_signed_but_not_a_head_is_refused(attack: str):
    bent = HEADS[attack]
    with pytest.raises(ReceiptError):
        verify_response(QUERY, respond(bent, NORMALISED), bent.keys)


def test_a_head_by_a_key_that_is_not_published_is_refused(office: Office):
    with pytest.raises(ReceiptError, match="not published"):
        verify_response(QUERY, respond(office, NORMALISED), Office().keys)


OTHER_QUESTIONS: dict[str, dict[str, Any]] = {
    "another person": {"beneficiary": {**QUERY["beneficiary"], "birth_date": "1985-05-13"}},
    "another rank": {"beneficiary": {**QUERY["beneficiary"], "birth_rank": 2}},
    "an AMC named": {"amc": "0990000011"},
    "another day": {"service_date": "2024-02-04"},
    "another domain": {"domain": "HOSP"},
    "other benefits": {"benefits": []},
    "another pharmacy": {"finess": "750012353"},
}


@pytest.mark.parametrize("other", OTHER_QUESTIONS)
def test_an_answer_to_another_question_is_refused(office: Office, other: str):
    with pytest.raises(ReceiptError, match="another question"):
        verify_response({**QUERY, **OTHER_QUESTIONS[other]}, respond(office, NORMALISED), office.keys)


def test_the_second_shape_of_identity_is_normalised():
    beneficiary = {"amc": "99000001", "member": "ex 000123", "birth_date": "1985-00-00", "birth_rank": 2}
    answer = {"for": {"finess": FINESS}, "service_date": "2024-02-05"}
    told = normalised({"beneficiary": beneficiary}, answer)
    person = {"amc": "0099000001", "member": "EX000123", "birth_date": "1985-00-00", "birth_rank": 2}
    assert told["beneficiary"] == person
    assert told["amc"] == "0099000001"


def test_a_key_set_without_keys_is_refused():
    with pytest.raises(ReceiptError, match="no keys"):
        parse_jwks({})
