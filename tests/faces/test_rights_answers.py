"""What an answer holds, for both shapes of identity, and that it proves itself."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
import re
import time
import uuid
from typing import Any

import pytest

from stubs.proof import ReceiptError, verify_asked, verify_receipt
from tests.faces.desk import (
    COUNTER,
    COUNTER_FINESS,
    FICTITIOUS,
    NOBODY,
    PARIS,
    Counter,
    canonical,
    commitment,
    holder,
    person,
)

ANSWER = {
    "advice",
    "asked",
    "at",
    "contracts",
    "degraded",
    "for",
    "id",
    "mode",
    "mode_order",
    "notices",
    "reasons",
    "service_date",
    "source",
    "status",
}
SOURCE = {"kind", "snapshot", "extracted_at", "signed_at", "valid_until", "freshness"}
OPEN_CONTRACT = {
    "amc",
    "amc_name",
    "convention",
    "csr",
    "member",
    "payer_rank",
    "responsible",
    "status",
    "reasons",
    "valid_from",
    "valid_to",
    "card_valid_to",
    "domains",
    "extracted_at",
    "freshness",
    "rate_base",
    "rates",
}
SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


def facts(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what is new each time."""
    return {name: value for name, value in answer.items() if name not in {"asked", "at", "id"}}


# The three examples


def test_the_open_example_is_open_degraded_and_guaranteed(counter: Counter):
    answer = counter.ask(counter.served.example("open"))
    assert answer["status"] == "open"
    assert answer["advice"] == "apply"
    assert answer["degraded"] is True
    assert answer["mode"] == "degraded"
    assert answer["reasons"] == ["upstream_disabled"]
    (contract,) = answer["contracts"]
    assert set(contract) == OPEN_CONTRACT | {"guarantee"}
    assert set(contract["guarantee"]) == {"basis", "until", "ceiling_cents"}


def test_the_closed_example_shows_no_more_than_that_it_ended(counter: Counter):
    query = counter.served.example("closed")
    answer = counter.ask(query)
    assert (answer["status"], answer["advice"]) == ("closed", "do_not_apply")
    (contract,) = answer["contracts"]
    assert set(contract) == {"amc", "amc_name", "status", "reasons", "closed_on"}
    assert (contract["amc"], contract["status"]) == (query["amc"], "closed")
    assert set(answer["reasons"]) == {"upstream_disabled", *contract["reasons"]}


def test_the_unknown_example_is_never_a_no(counter: Counter):
    response = counter.response(counter.served.example("unknown"))
    answer = response["answer"]
    assert (answer["status"], answer["advice"]) == ("unknown", "check_card")
    assert answer["reasons"] == ["upstream_disabled", "beneficiary_unknown"]
    assert answer["contracts"] == []
    assert answer["source"]["extracted_at"] is None
    assert answer["source"]["freshness"] is None
    for hint in ("date de naissance", "rang", "autre parent", "carte"):
        assert hint in response["counter_text"]


# Form


def test_an_answer_has_every_member_and_no_other(counter: Counter):
    response = counter.response({"beneficiary": person(counter.an_open_row())})
    assert set(response) == {"answer", "counter_text", "receipt", "opening"}
    assert set(response["receipt"]) == {"head", "index", "path"}
    answer = response["answer"]
    assert set(answer) == ANSWER
    assert set(answer["source"]) == SOURCE
    assert answer["for"] == {"client": COUNTER, "finess": COUNTER_FINESS}
    assert answer["source"]["kind"] == "snapshot"
    assert answer["source"]["snapshot"] == 1
    assert MILLISECONDS.fullmatch(answer["at"])
    assert all(SECONDS.fullmatch(answer["source"][name]) for name in ("extracted_at", "signed_at", "valid_until"))
    assert isinstance(answer["notices"], list)


@pytest.mark.parametrize("example", ["open", "closed", "unknown"])
def test_an_answers_bytes_are_their_own_canonical_form(counter: Counter, example: Any):
    raw = counter.post(counter.served.example(example)).body
    answer = json.loads(raw, parse_float=pytest.fail)["answer"]
    # An AMC's name has accents: the form must hold beyond ASCII.
    assert raw.startswith(b'{"answer":' + canonical(answer) + b',"counter_text":')


def test_an_id_is_a_uuid7_of_the_answers_own_instant_and_never_comes_twice(counter: Counter):
    query = counter.served.example("open")
    answers = [counter.ask(query) for _ in range(20)]
    assert len({answer["id"] for answer in answers}) == 20
    for answer in answers:
        made = uuid.UUID(answer["id"])
        assert str(made) == answer["id"]
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        at = dt.datetime.fromisoformat(answer["at"])
        assert abs((made.int >> 80) - at.timestamp() * 1000) <= 1
        assert abs(at.timestamp() - time.time()) < 60


def test_what_the_contract_says_is_what_the_source_row_said(counter: Counter):
    row = counter.an_open_row()
    (contract,) = counter.ask({"beneficiary": person(row)})["contracts"]
    for name in OPEN_CONTRACT - {"amc_name", "status", "reasons", "extracted_at", "freshness", "domains"}:
        assert contract[name] == row[name], name
    assert contract["domains"] == sorted(row["domains"])


# Identity


def as_printed(nir: str) -> str:
    cuts = (0, 1, 3, 5, 7, 10, 13, 15)
    return " ".join(nir[start:end] for start, end in itertools.pairwise(cuts))


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(lambda nir: nir, id="15 with key"),
        pytest.param(lambda nir: nir[:13], id="13 without key"),
        pytest.param(lambda nir: nir.lower(), id="small letters"),
        pytest.param(lambda nir: nir[:13].lower(), id="small letters without key"),
        pytest.param(as_printed, id="as printed"),
        pytest.param(".".join, id="dots"),
        pytest.param(lambda nir: f" {nir} ", id="spaces around"),
    ],
)
def test_a_nir_is_one_number_however_it_is_written(counter: Counter, spelling: Any):
    row = counter.an_open_row(lambda row: row["nir"][5:7] in {"2A", "2B"})
    beneficiary = person(row)
    spelt = counter.ask({"beneficiary": {**beneficiary, "nir": spelling(row["nir"])}})
    assert facts(spelt) == facts(counter.ask({"beneficiary": beneficiary}))
    assert spelt["status"] == "open"


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(lambda card: card, id="as on the card"),
        pytest.param(lambda card: {**card, "amc": card["amc"].lstrip("0")}, id="AMC without its zeros"),
        pytest.param(lambda card: {**card, "member": card["member"].lower()}, id="small letters"),
        pytest.param(lambda card: {**card, "member": " ".join(card["member"])}, id="spaces"),
    ],
)
def test_amc_and_member_number_find_the_same_contract_as_the_nir(counter: Counter, spelling: Any):
    row = counter.an_open_row()
    by_nir = counter.ask({"beneficiary": person(row)})
    by_card = counter.ask({"beneficiary": spelling(holder(row))})
    assert facts(by_card) == facts(by_nir)
    assert by_card["status"] == "open"


def test_amc_and_member_show_nothing_of_another_amc(counter: Counter):
    rows = next(
        rows
        for rows in counter.people.values()
        if len(rows) == 2 and {row["payer_rank"] for row in rows} == {1, 2} and rows[0]["amc"] != rows[1]["amc"]
    )
    for row in rows:
        answer = counter.ask({"beneficiary": holder(row)})
        assert {contract["amc"] for contract in answer["contracts"]} == {row["amc"]}


def test_an_unknown_nir_and_a_wrong_birth_date_cannot_be_told_apart(counter: Counter):
    wrong_date = counter.response({"beneficiary": {**person(counter.an_open_row()), "birth_date": "1901-01-01"}})
    wrong_rank = counter.response({"beneficiary": {**person(counter.an_open_row()), "birth_rank": 9}})
    nobody = counter.response({"beneficiary": NOBODY})
    assert facts(wrong_date["answer"]) == facts(nobody["answer"]) == facts(wrong_rank["answer"])
    assert wrong_date["counter_text"] == nobody["counter_text"]
    assert nobody["answer"]["reasons"] == ["upstream_disabled", "beneficiary_unknown"]


@pytest.mark.parametrize("date", ["1985-00-00", "1985-02-31", "1985-13-45", "0000-99-99"])
def test_a_lunar_birth_date_is_a_birth_date(counter: Counter, date: str):
    assert counter.ask({"beneficiary": {**NOBODY, "birth_date": date}})["status"] == "unknown"


@pytest.mark.parametrize("nir", [FICTITIOUS, f"{FICTITIOUS}58", "2555555999042", "5555550000000"])
def test_a_fictitious_nir_is_not_searched(counter: Counter, nir: str):
    answer = counter.ask({"beneficiary": {"nir": nir, "birth_date": "2008-05-12"}})
    assert (answer["status"], answer["advice"], answer["contracts"]) == ("unknown", "check_card", [])
    assert "identity_not_searchable" in answer["reasons"]
    assert "beneficiary_unknown" not in answer["reasons"]


# The AMC asked for


def test_naming_its_amc_keeps_a_contract_and_naming_another_says_so(counter: Counter):
    row = counter.an_open_row()
    other = "0990000033"
    kept = counter.ask({"beneficiary": person(row), "amc": row["amc"].lstrip("0")})
    assert [contract["amc"] for contract in kept["contracts"]] == [row["amc"]]
    elsewhere = counter.ask({"beneficiary": person(row), "amc": other})
    assert (elsewhere["status"], elsewhere["contracts"]) == ("unknown", [])
    assert elsewhere["reasons"] == ["upstream_disabled", "beneficiary_unknown", "other_amc_open"]


@pytest.mark.parametrize(
    ("amc", "reason"),
    [
        ("0123456789", "amc_not_covered"),
        ("12345678", "amc_not_covered"),
        ("99999997", "amc_out_of_scope"),
        ("0088888888", "amc_out_of_scope"),
        ("075500017", "amc_out_of_scope"),
    ],
)
def test_an_amc_that_is_not_ours_is_unknown_and_named_so(counter: Counter, amc: str, reason: str):
    answer = counter.ask({"beneficiary": person(counter.an_open_row()), "amc": amc})
    assert (answer["status"], answer["advice"], answer["contracts"]) == ("unknown", "check_card", [])
    assert reason in answer["reasons"]


def test_an_amc_that_allows_no_stand_in_shows_only_that(counter: Counter):
    answer = counter.ask({"beneficiary": person(counter.row(lambda row: row["amc"] == "0990000077"))})
    (contract,) = answer["contracts"]
    assert set(contract) == {"amc", "amc_name", "status", "reasons"}
    assert (contract["status"], contract["reasons"]) == ("unknown", ["amc_excluded"])


def test_the_amc_of_the_card_and_the_amc_asked_for_may_be_spelt_differently(counter: Counter):
    row = counter.an_open_row()
    assert counter.ask({"beneficiary": holder(row), "amc": row["amc"].lstrip("0")})["status"] == "open"


# Optional members and their defaults


def test_what_is_left_out_is_its_default(counter: Counter):
    row = counter.an_open_row(lambda row: row["birth_rank"] == 1)
    short = {name: row[name] for name in ("nir", "birth_date")}
    response = counter.response({"beneficiary": short})
    answer = response["answer"]
    assert answer["service_date"] == dt.datetime.fromisoformat(answer["at"]).astimezone(PARIS).date().isoformat()
    normalised = {
        "beneficiary": {"nir": row["nir"][:13], "birth_date": row["birth_date"], "birth_rank": 1},
        "finess": COUNTER_FINESS,
        "service_date": answer["service_date"],
        "domain": "PHAR",
        "benefits": [],
        "amc": None,
    }
    assert answer["asked"] == commitment(response["opening"], normalised)


def test_asked_commits_to_every_member_as_normalised(counter: Counter):
    row = counter.an_open_row()
    today = counter.ask({"beneficiary": person(row)})["service_date"]
    query = {
        "beneficiary": {**holder(row), "member": row["member"].lower(), "amc": row["amc"].lstrip("0")},
        "amc": row["amc"],
        "service_date": today,
        "domain": "LARA",
        "benefits": ["PH7", "PH4", "PH1"],
        "finess": COUNTER_FINESS,
    }
    response = counter.response(query)
    normalised = {
        "beneficiary": holder(row),
        "finess": COUNTER_FINESS,
        "service_date": today,
        "domain": "LARA",
        "benefits": ["PH1", "PH4", "PH7"],
        "amc": row["amc"],
    }
    assert response["answer"]["asked"] == commitment(response["opening"], normalised)
    for name, other in [("finess", "750012346"), ("domain", "PHAR"), ("benefits", []), ("amc", None)]:
        assert response["answer"]["asked"] != commitment(response["opening"], {**normalised, name: other})


def test_openings_are_never_used_twice(counter: Counter):
    query = counter.served.example("open")
    responses = [counter.response(query) for _ in range(10)]
    assert len({response["opening"] for response in responses}) == 10
    assert len({response["answer"]["asked"] for response in responses}) == 10


def test_only_the_benefits_asked_for_are_told(counter: Counter):
    row = counter.an_open_row(lambda row: "PH2" not in row["rates"])
    asked = counter.ask({"beneficiary": person(row), "benefits": ["PH7", "PH2"]})
    (contract,) = asked["contracts"]
    assert contract["rates"] == {"PH7": row["rates"]["PH7"], "PH2": None}
    assert "benefit_not_listed" in asked["reasons"]
    (everything,) = counter.ask({"beneficiary": person(row)})["contracts"]
    assert everything["rates"] == row["rates"]


def test_a_domain_the_contract_does_not_list_is_unknown_not_closed(counter: Counter):
    row = counter.row(lambda row: row["domains"] == ["HOSP"] and row["amc"] == "0990000011")
    answer = counter.ask({"beneficiary": person(row)})
    assert (answer["status"], answer["contracts"][0]["reasons"]) == ("unknown", ["domain_not_listed"])
    assert "rates" not in answer["contracts"][0]
    assert counter.ask({"beneficiary": person(row), "domain": "HOSP"})["status"] == "open"


@pytest.mark.parametrize("days", [-90, -1, 0, 1])
def test_a_day_of_dispensing_within_the_limits_is_answered_and_echoed(counter: Counter, days: int):
    row = counter.an_open_row()
    day = (dt.date.fromisoformat(counter.ask({"beneficiary": NOBODY})["service_date"]) + dt.timedelta(days)).isoformat()
    answer = counter.ask({"beneficiary": person(row), "service_date": day})
    assert answer["service_date"] == day
    assert answer["status"] == "open"


@pytest.mark.parametrize("days", [-91, 2, -100_000, 100_000])
def test_a_day_of_dispensing_beyond_the_limits_is_refused(counter: Counter, days: int):
    day = dt.date.fromisoformat(counter.ask({"beneficiary": NOBODY})["service_date"]) + dt.timedelta(days)
    reply = counter.post({"beneficiary": NOBODY, "service_date": day.isoformat()})
    assert (reply.status, reply.code, reply.json()["pointer"]) == (422, "invalid_field", "/service_date")


# Proof


def test_one_changed_character_of_an_answer_breaks_its_proof(counter: Counter):
    response = counter.response(counter.served.example("open"))
    for name, other in [("status", "closed"), ("at", "2024-01-01T00:00:00.000Z"), ("degraded", False), ("more", 1)]:
        with pytest.raises(ReceiptError):
            verify_receipt({**response["answer"], name: other}, response["receipt"], counter.keys)


def test_an_answer_does_not_pass_for_the_answer_to_another_question(counter: Counter):
    query = counter.served.example("open")
    response = counter.response(query)
    other = {**query, "beneficiary": {**query["beneficiary"], "birth_date": "1901-01-01"}}
    verify_asked(query, response["answer"], response["opening"])
    with pytest.raises(ReceiptError):
        verify_asked(other, response["answer"], response["opening"])


def test_a_receipt_is_signed_by_a_key_whose_kid_is_its_thumbprint(counter: Counter):
    response = counter.response(counter.served.example("open"))
    header = json.loads(base64.urlsafe_b64decode(response["receipt"]["head"].split(".")[0] + "=="))
    assert header["typ"] == "relais-head+jws"
    assert header["kid"] in counter.keys
