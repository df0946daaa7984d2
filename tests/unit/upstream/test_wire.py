from __future__ import annotations

import datetime as dt
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.base64url import b64u
from service.errors import InvalidField, UpstreamMalformed
from service.rights.heard import Heard
from service.rights.model import Query, Status
from service.rights.question import normalised
from service.rights.reasons import Reason
from service.upstream.wire import MAX_CONTRACTS, parse_answer, question_bytes
from service.web.decoding import decode_rights, normalise
from tests.unit.upstream.answers import (
    AMC,
    BY_CARD,
    CARD,
    CLOSED,
    OF_AMC,
    OPEN,
    QUERY,
    UNKNOWN,
    another,
    answer,
    asked,
    envelope,
    no,
    yes,
)


def changed(contract: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**contract, **members}


def without(contract: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in contract.items() if name not in names}


def refusal(body: bytes, query: Query = QUERY) -> str:
    with pytest.raises(UpstreamMalformed) as caught:
        parse_answer(body, query)
    return caught.value.detail


@pytest.mark.parametrize("query", [QUERY, BY_CARD, OF_AMC, msgspec.structs.replace(QUERY, benefits=())])
def test_the_question_is_read_by_our_own_rights_api_as_it_was_meant(query: Query):
    body = decode_rights(question_bytes(query))
    assert isinstance(body.finess, str)
    assert normalise(body, body.finess, query.service_date, 90, 1) == query


def test_a_fictitious_nir_is_never_sent():
    with pytest.raises(InvalidField):
        question_bytes(msgspec.structs.replace(QUERY, nir="2555555000030"))


def test_an_open_contract():
    heard = parse_answer(yes(QUERY), QUERY)
    assert (heard.status, heard.reasons, heard.valid_until) == (Status.OPEN, (), None)
    (told,) = heard.contracts
    assert (told.status, told.amc_name) == (Status.OPEN, "Mutuelle fictive")
    assert told.extracted_at == dt.datetime(2024, 2, 4, 23, tzinfo=dt.UTC)
    contract = told.contract
    assert (contract.amc, contract.member, contract.csr, contract.convention) == (AMC, "A-12/3", "123", "SP")
    assert (contract.payer_rank, contract.responsible, contract.domains) == (1, True, ("PHAR", "LABO"))
    assert (contract.valid_from, contract.valid_to) == (dt.date(2024, 1, 1), dt.date(2024, 12, 31))
    assert (contract.card_valid_to, contract.closed_on, contract.suspended) == (None, None, ())
    assert contract.rate_base == "TM"


def test_only_the_rates_asked_for_and_none_where_there_is_none():
    (told,) = parse_answer(yes(QUERY), QUERY).contracts
    assert told.rates == {"PH4": 35, "PH7": None}
    assert told.contract.rates == {"PH4": 35}


def test_a_rate_asked_for_that_is_not_told_is_none():
    (told,) = parse_answer(answer(QUERY, changed(OPEN, rates={})), QUERY).contracts
    assert told.rates == {"PH4": None, "PH7": None}


def test_all_rates_where_none_was_asked_for():
    query = msgspec.structs.replace(QUERY, benefits=())
    (told,) = parse_answer(yes(query), query).contracts
    assert told.rates == told.contract.rates == {"PH4": 35, "PH2": 100}


def test_an_unknown_contract_shows_its_card():
    (told,) = parse_answer(answer(QUERY, UNKNOWN, status="unknown"), QUERY).contracts
    assert (told.status, told.reasons) == (Status.UNKNOWN, (Reason.DOMAIN_NOT_LISTED,))
    assert (told.contract.member, told.rates) == ("A-12/3", None)


def test_an_excluded_contract_shows_nothing_but_its_amc():
    shown = {"amc": AMC, "status": "unknown", "reasons": ["amc_excluded"]}
    (told,) = parse_answer(answer(QUERY, shown, status="unknown"), QUERY).contracts
    assert (told.contract.amc, told.contract.member, told.amc_name) == (AMC, "", "")
    assert told.extracted_at == dt.datetime(2024, 2, 5, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize("closed_on", [None, "2024-01-31", "2024-02-05"])
def test_a_closed_contract(closed_on: str | None):
    body = answer(OF_AMC, changed(CLOSED, closed_on=closed_on), status="closed")
    heard = parse_answer(body, OF_AMC)
    (told,) = heard.contracts
    assert (heard.status, told.status, told.reasons) == (Status.CLOSED, Status.CLOSED, (Reason.TERMINATED,))
    assert told.contract.closed_on == (None if closed_on is None else dt.date.fromisoformat(closed_on))
    assert (told.contract.payer_rank, told.contract.valid_from) == (9, dt.date.min)


def test_a_closed_contract_without_an_amc_asked_leaves_the_answer_unknown():
    heard = parse_answer(answer(QUERY, CLOSED, status="unknown", reasons=["other_cover_possible"]), QUERY)
    assert (heard.status, heard.reasons) == (Status.UNKNOWN, (Reason.OTHER_COVER_POSSIBLE,))
    assert heard.contracts[0].status is Status.CLOSED


def test_nobody_known():
    heard = parse_answer(no(QUERY), QUERY)
    assert (heard.status, heard.reasons, heard.contracts) == (Status.UNKNOWN, (Reason.BENEFICIARY_UNKNOWN,), ())


def test_when_the_answer_ends():
    source = {"extracted_at": None, "valid_until": "2024-02-05T10:00:00+01:00"}
    heard = parse_answer(answer(QUERY, OPEN, source=source), QUERY)
    assert heard.valid_until == dt.datetime(2024, 2, 5, 9, tzinfo=dt.UTC)


def test_reasons_that_are_none_of_ours_are_dropped_and_so_is_what_the_upstream_says_of_its_own_source():
    of_its_source = ["upstream_disabled", "upstream_unavailable", "upstream_answer_kept", "snapshot_pinned"]
    reasons = ["moon_phase", *of_its_source, "clock_suspect"]
    told = changed(OPEN, reasons=["benefit_not_listed", "moon_phase", "benefit_not_listed"])
    heard = parse_answer(answer(QUERY, told, reasons=[*reasons, "benefit_not_listed"]), QUERY)
    assert heard.reasons == (Reason.BENEFIT_NOT_LISTED,)
    assert heard.contracts[0].reasons == (Reason.BENEFIT_NOT_LISTED,)


def test_an_amc_number_without_its_zeros_is_the_same_amc():
    heard = parse_answer(answer(OF_AMC, changed(OPEN, amc="990000011")), OF_AMC)
    assert heard.contracts[0].contract.amc == AMC


def test_somebody_else_is_refused():
    assert refusal(yes(another(QUERY)), QUERY) == "it answers another question"


@pytest.mark.parametrize("field", ["finess", "domain", "benefits", "nir", "birth_date", "amc", "service_date"])
def test_any_other_question_is_refused(field: str):
    others = {"benefits": (), "amc": AMC, "birth_date": "1985-05-13", "service_date": dt.date(2024, 2, 6)}
    other = msgspec.structs.replace(QUERY, **{field: others.get(field, "1850575116002")})
    body = answer(other, OPEN, service_date=QUERY.service_date.isoformat())
    assert refusal(body, QUERY) == "it answers another question"


def test_another_day_is_refused():
    assert refusal(answer(QUERY, OPEN, service_date="2024-02-06")) == "it answers for another day"


@pytest.mark.parametrize("opening", ["", "A", "AAAAAAAAAAAAAAAAAAAAAA==", "é" * 22, b64u(bytes(15)), b64u(bytes(32))])
def test_an_opening_that_opens_nothing(opening: str):
    assert "opening" in refusal(json.dumps({**envelope(QUERY, OPEN), "opening": opening}).encode())


@pytest.mark.parametrize("commitment", ["", "é", "\ud800", asked(QUERY)[:-1], asked(QUERY) + "="])
def test_a_commitment_of_another_spelling(commitment: str):
    assert refusal(answer(QUERY, OPEN, asked=commitment)) == "it answers another question"


CONTRADICTIONS = {
    "open without an open contract": (QUERY, answer(QUERY, UNKNOWN)),
    "open without any contract": (QUERY, answer(QUERY)),
    "unknown beside an open contract": (QUERY, answer(QUERY, OPEN, status="unknown")),
    "closed beside an open contract": (OF_AMC, answer(OF_AMC, OPEN, CLOSED, status="closed")),
    "closed beside an unknown contract": (OF_AMC, answer(OF_AMC, CLOSED, UNKNOWN, status="closed")),
    "closed without a contract": (OF_AMC, answer(OF_AMC, status="closed")),
    "closed though no AMC was asked for": (QUERY, answer(QUERY, CLOSED, status="closed")),
    "unknown though all is closed at the AMC asked for": (OF_AMC, answer(OF_AMC, CLOSED, CLOSED, status="unknown")),
    "open though excluded": (QUERY, answer(QUERY, changed(OPEN, reasons=["amc_excluded"]))),
    "closed though excluded": (OF_AMC, answer(OF_AMC, changed(CLOSED, reasons=["amc_excluded"]), status="closed")),
    "closed before the last day": (OF_AMC, answer(OF_AMC, changed(CLOSED, closed_on="2024-02-06"), status="closed")),
    "another AMC than the one asked for": (OF_AMC, answer(OF_AMC, changed(OPEN, amc="0990000012"))),
    "over before it begins": (QUERY, answer(QUERY, changed(OPEN, valid_to="2023-12-31"))),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_itself_is_no_answer(name: str):
    query, body = CONTRADICTIONS[name]
    assert refusal(body, query)


BAD_CONTRACTS = [
    changed(OPEN, status="maybe"),
    changed(OPEN, extracted_at="0001-01-01T00:00:00+14:00"),
    changed(UNKNOWN, extracted_at="9999-12-31T23:59:59-14:00"),
    changed(OPEN, status=None),
    without(OPEN, "status"),
    without(OPEN, "amc"),
    without(OPEN, "rates"),
    without(OPEN, "rate_base"),
    without(OPEN, "member"),
    without(OPEN, "valid_to"),
    without(OPEN, "domains"),
    without(OPEN, "reasons"),
    changed(OPEN, amc=990000011),
    changed(OPEN, amc="99000001x"),
    changed(OPEN, amc="\u0660990000011"),
    changed(OPEN, amc="1" * 21),
    changed(OPEN, amc_name="x" * 129),
    changed(OPEN, amc_name="two\nlines"),
    changed(OPEN, amc_name="\ud800"),
    changed(OPEN, member=""),
    changed(OPEN, member="x" * 21),
    changed(OPEN, member="<b>"),
    changed(OPEN, csr="1" * 10),
    changed(OPEN, csr="1\x00"),
    changed(OPEN, convention="S\u0130"),
    changed(OPEN, payer_rank=0),
    changed(OPEN, payer_rank=100),
    changed(OPEN, payer_rank=1.0),
    changed(OPEN, payer_rank="1"),
    changed(OPEN, payer_rank=True),
    changed(OPEN, responsible=1),
    changed(OPEN, valid_from="2024-02-30"),
    changed(OPEN, valid_from="20240201"),
    changed(OPEN, valid_from=20240201),
    changed(OPEN, valid_from=None),
    changed(OPEN, extracted_at="2024-02-04T23:00:00"),
    changed(OPEN, domains="PHAR"),
    changed(OPEN, domains=["PH AR"]),
    changed(OPEN, domains=["PHAR"] * 65),
    changed(OPEN, rate_base="TX"),
    changed(OPEN, rate_base="TM\n"),
    changed(OPEN, rates={"PH4": -1}),
    changed(OPEN, rates={"PH4": 1001}),
    changed(OPEN, rates={"PH4": 35.0}),
    changed(OPEN, rates={"PH4": "35"}),
    changed(OPEN, rates={"P\n4": 35}),
    changed(OPEN, rates={f"P{n}": 35 for n in range(257)}),
    changed(OPEN, rates=[["PH4", 35]]),
    changed(OPEN, reasons="terminated"),
    changed(OPEN, reasons=["x" * 65]),
    changed(OPEN, reasons=["x"] * 65),
    without(UNKNOWN, "csr"),
    changed(UNKNOWN, member=None),
    without(CLOSED, "closed_on"),
    changed(CLOSED, closed_on="soon"),
    [],
    None,
    "open",
]


@pytest.mark.parametrize("contract", BAD_CONTRACTS, ids=range(len(BAD_CONTRACTS)))
def test_a_bad_contract_spoils_the_answer(contract: Any):
    others = (OPEN,) if isinstance(contract, dict) and contract.get("status") != "open" else ()
    assert refusal(answer(QUERY, *others, contract))


def test_the_good_contracts_these_are_made_of_are_good():
    parse_answer(answer(QUERY, OPEN, UNKNOWN, CLOSED), QUERY)


def test_no_person_has_more_contracts_than_the_most():
    parse_answer(answer(QUERY, *[OPEN] * MAX_CONTRACTS), QUERY)
    assert refusal(answer(QUERY, *[OPEN] * (MAX_CONTRACTS + 1)))


BAD_ANSWERS: list[dict[str, Any]] = [
    {"status": "yes"},
    {"status": None},
    {"reasons": None},
    {"reasons": [1]},
    {"contracts": None},
    {"contracts": {}},
    {"source": None},
    {"source": {}},
    {"source": {"extracted_at": None}},
    {"source": {"extracted_at": None, "valid_until": 1707123600}},
    {"source": {"extracted_at": None, "valid_until": "2024-02-05T09:00:00"}},
    {"source": {"extracted_at": "0001-01-01T00:00:00+14:00", "valid_until": None}},
    {"source": {"extracted_at": None, "valid_until": "9999-12-31T23:59:59-14:00"}},
    {"asked": None},
    {"asked": "x" * 65},
    {"service_date": None},
    {"service_date": "05/02/2024"},
]


@pytest.mark.parametrize("members", BAD_ANSWERS, ids=range(len(BAD_ANSWERS)))
def test_a_bad_member_spoils_the_answer(members: dict[str, Any]):
    assert refusal(answer(QUERY, OPEN, **members))


GARBAGE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"<html>",
    b"\xff\xfe",
    b"{}",
    yes(QUERY) + b"{}",
    b"\xef\xbb\xbf" + yes(QUERY),
    b"[" * 50_000,
    b'{"answer":' * 10_000,
    yes(QUERY).replace(b'"receipt": null', b'"receipt": ' + b"9" * 5_000),
    yes(QUERY).replace(b'"receipt": null', b'"receipt": NaN'),
    yes(QUERY).decode().encode("utf-16"),
]


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage(body: bytes):
    assert refusal(body)


@pytest.mark.parametrize("member", [b'"status": "open"', b'"opening": "x"', b'"counter_text": ""', b'"csr": "1"'])
def test_a_member_told_twice_has_two_readings(member: bytes):
    name = member.split(b":")[0] + b":"
    body = yes(QUERY)
    assert name in body
    assert "distinct" in refusal(body.replace(name, member + b", " + name, 1))


def test_members_that_we_do_not_know_are_ignored():
    body = envelope(QUERY, changed(OPEN, guarantee={"basis": "x"}, colour="blue"), colour=["blue"])
    assert parse_answer(json.dumps({**body, "colour": {}}).encode(), QUERY) == parse_answer(yes(QUERY), QUERY)


def test_no_refusal_quotes_what_came():
    for contract in BAD_CONTRACTS:
        detail = refusal(answer(QUERY, OPEN, contract))
        assert "A-12/3" not in detail
        assert str(QUERY.nir) not in detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(OPEN)), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(OPEN)), JSON)
def test_any_value_in_any_place_of_a_contract_is_read_or_refused(name: str, value: Any):
    body = answer(QUERY, changed(OPEN, **{name: value}), CARD | {"status": "unknown"})
    try:
        heard = parse_answer(body, QUERY)
    except UpstreamMalformed:
        return
    assert isinstance(heard, Heard)
    # What passed can be written into an answer and a journal.
    msgspec.json.encode(heard)


@given(st.integers(0, 4000), st.integers(0, 255))
def test_one_flipped_byte_is_read_or_refused(place: int, byte: int):
    body = bytearray(yes(QUERY))
    body[place % len(body)] = byte
    try:
        parse_answer(bytes(body), QUERY)
    except UpstreamMalformed:
        return


def test_the_commitment_is_the_one_of_the_documents():
    assert normalised(QUERY) == (
        b'{"amc":null,"beneficiary":{"birth_date":"1985-05-12","birth_rank":1,"nir":"1850575116001"},'
        b'"benefits":["PH4","PH7"],"domain":"PHAR","finess":"750012346","service_date":"2024-02-05"}'
    )
