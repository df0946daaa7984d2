from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CallerError
from service.identifiers import check_finess, is_fictitious
from service.rights.question import normalised
from service.web.decoding import UNSET, decode_rights, normalise
from service.web.problems import CATALOGUE
from stubs import problems
from stubs.question import SANDBOX_FINESS, RefusedError, parse_question

TODAY = dt.date(2024, 2, 5)
GOOD: dict[str, Any] = {"beneficiary": {"nir": "185057511600159", "birth_date": "1985-05-12"}}
CARD: dict[str, Any] = {"beneficiary": {"amc": "990000011", "member": "ex 1/a", "birth_date": "1985-05-12"}}


def theirs(body: bytes) -> tuple[str, bytes | str]:
    """The service's own reading: its normalised bytes, or code and pointer of its refusal."""
    try:
        read = decode_rights(body)
        finess = SANDBOX_FINESS if read.finess is UNSET else check_finess(read.finess)
        return "", normalised(normalise(read, finess, TODAY, 10**6, 10**6))
    except CallerError as error:
        return error.code, error.pointer


def ours(body: bytes) -> tuple[str, bytes | str]:
    try:
        return "", parse_question(body, TODAY.isoformat()).normalised()
    except RefusedError as error:
        return error.code, error.pointer


TEXTS = st.sampled_from([
    "", "185057511600159", "1850575116001", "1 85 05 75 116 001 59", "185.05.75.116.001", "185057511600158",
    "1\u0668505751160015",
    "185052a11600175", "185052A116001", "2555555123030", "7250575116001", "725057511600199", "555555123456789",
    "0990000011", "990000011", "99000001", "9900000", "EX000001", "ex 000001", "\u017f1", "EX.1/A-2",
    "E" * 21, "E" * 65,
    "1985-05-12", "1985-13-41", "1985-5-12", "2024-02-29", "2023-02-29", "2024-02-05", "PHAR", "phar", "PH7", "P" * 11,
    "P" * 17, "750012346", "2a0012346", "75001234", "\ud800", "\u00a0", "\x00",
])  # fmt: skip
VALUES = st.one_of(
    TEXTS, st.integers(-1, 12), st.just(10**4000), st.booleans(), st.none(), st.floats(), st.lists(TEXTS, max_size=3)
)
MEMBERS = st.sampled_from(["nir", "amc", "member", "birth_date", "birth_rank", "finess", "domain", "benefits", "x"])
QUERIES = st.builds(
    lambda base, top, person: {**base, **top, "beneficiary": {**base["beneficiary"], **person}},
    st.sampled_from([GOOD, CARD]),
    st.dictionaries(st.one_of(MEMBERS, st.just("service_date")), VALUES, max_size=2),
    st.dictionaries(MEMBERS, VALUES, max_size=2),
)


@given(query=QUERIES)
def test_a_body_means_to_it_what_it_means_to_the_service(query: dict[str, Any]):
    body = json.dumps(query).encode()
    mine, other = ours(body), theirs(body)
    # Of two faults either may be the one that is named.
    assert mine[0] == other[0], (mine, other)
    assert mine[0] or mine[1] == other[1]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"beneficiary": 1}', b"\xff", b'{"beneficiary": {"nir": "\xff"}}',
        b"[" * 100_000,
        b'{"amc": "0990000011", "amc": "0990000011"}', json.dumps(GOOD).encode() + b" x", b'{"domain": NaN}',
        b'\xef\xbb\xbf{"beneficiary": {}}', json.dumps({**GOOD, "benefits": ["PH7"] * 51}).encode(),
    ],
)  # fmt: skip
def test_a_body_that_is_no_question_is_refused_as_the_service_refuses_it(body: bytes):
    assert ours(body)[0] == theirs(body)[0] != ""


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"beneficiary": {"nir": "185057511600158", "birth_date": "1985-05-12"}}, "/beneficiary/nir"),
        ({"beneficiary": {"birth_date": "1985-05-12"}}, "/beneficiary"),
        ({"beneficiary": {**GOOD["beneficiary"], "birth_rank": 10}}, "/beneficiary/birth_rank"),
        ({"benefits": ["PH7", "ph4"]}, "/benefits/1"),
        ({"amc": "1"}, "/amc"),
        ({"service_date": "2024-02-30"}, "/service_date"),
        ({"domain": ""}, "/domain"),
    ],
)
def test_the_field_at_fault_is_named_as_the_service_names_it(change: dict[str, Any], pointer: str):
    body = json.dumps({**GOOD, **change}).encode()
    assert ours(body) == theirs(body) == ("invalid_field", pointer)


@pytest.mark.parametrize("nir", ["2555555123030", "2555555123042", "5555551234567", "2555555123031", "1850575116001"])
def test_numbers_given_for_secrecy_are_known(nir: str):
    body = json.dumps({"beneficiary": {"nir": nir, "birth_date": "2000-01-01"}}).encode()
    assert parse_question(body, "2024-02-05").fictitious == is_fictitious(nir)


def test_any_day_can_be_asked_for():
    body = json.dumps({**GOOD, "service_date": "1999-01-31"}).encode()
    assert parse_question(body, "2024-02-05").service_date == "1999-01-31"


def test_refusals_have_the_words_of_the_catalogue():
    for code, entry in problems.CATALOGUE.items():
        assert tuple(entry) == (
            CATALOGUE[code].status,
            CATALOGUE[code].title,
            CATALOGUE[code].action,
            CATALOGUE[code].counter_text,
        )
