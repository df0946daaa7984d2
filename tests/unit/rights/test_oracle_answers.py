"""The oracle itself, on whole answers worked out by hand: what is concluded, advised and shown."""

from __future__ import annotations

import pytest

from tests.oracles.cases import FIRST, POLICY, RECENT, SECOND, Json, ask, contract, knowledge


def test_a_plain_open_contract_word_for_word() -> None:
    assert ask(contract(), benefits=["LPP", "PH7"]) == {
        "status": "open",
        "advice": "apply_unguaranteed",
        "degraded": True,
        "reasons": ["benefit_not_listed", "upstream_disabled"],
        "source": {
            "kind": "snapshot",
            "snapshot": 42,
            "extracted_at": RECENT,
            "signed_at": "2024-02-04T23:00:00Z",
            "valid_until": "2024-02-11T23:00:00Z",
            "freshness": "fresh",
        },
        "contracts": [
            {
                "amc": FIRST,
                "amc_name": "Mutuelle",
                "convention": "RO",
                "csr": "A12",
                "member": "M1",
                "payer_rank": 1,
                "responsible": True,
                "status": "open",
                "reasons": ["benefit_not_listed"],
                "valid_from": "2023-01-01",
                "valid_to": "2024-12-31",
                "card_valid_to": None,
                "domains": ["PHAR"],
                "extracted_at": RECENT,
                "freshness": "fresh",
                "rate_base": "TR",
                "rates": {"LPP": None, "PH7": 100},
            }
        ],
    }


def test_an_excluded_contract_is_named_and_nothing_more() -> None:
    told = {"amc": FIRST, "amc_name": "Mutuelle", "status": "unknown", "reasons": ["amc_excluded"]}
    assert ask(contract(), excluded=[FIRST], amc=FIRST)["contracts"] == [told]
    assert ask(contract(), known=knowledge(allowed=False))["contracts"] == [told]


def test_what_is_shown_of_a_closed_contract() -> None:
    told = {"amc": FIRST, "amc_name": "Mutuelle", "status": "closed"}
    terminated = ask(contract(closed_on="2024-02-01"))["contracts"]
    lapsed = ask(contract(valid_to="2024-01-10"))["contracts"]
    suspended = ask(contract(suspended=[["2024-02-01", "2024-03-01"]]))["contracts"]
    assert terminated == [told | {"reasons": ["terminated"], "closed_on": "2024-02-01"}]
    assert lapsed == [told | {"reasons": ["lapsed"], "closed_on": "2024-01-11"}]
    assert suspended == [told | {"reasons": ["rights_suspended"], "closed_on": None}]


def test_an_unknown_contract_shows_its_card_block_but_no_rates() -> None:
    (told,) = ask(contract(domains=["HOSP"]))["contracts"]
    assert {"member", "csr", "valid_from", "valid_to", "extracted_at"} <= told.keys()
    assert not {"rates", "rate_base", "guarantee", "closed_on"} & told.keys()


def test_nothing_is_shown_once_the_snapshot_has_expired() -> None:
    at_the_end = ask(contract(), known=knowledge(max_age_days=90), now="2024-02-11T23:00:00Z")
    past = ask(contract(), known=knowledge(max_age_days=90), now="2024-02-11T23:00:00.001Z")
    assert at_the_end["status"] == "open"
    assert (past["status"], past["advice"], past["contracts"]) == ("unknown", "check_card", [])
    assert past["reasons"] == ["snapshot_expired", "upstream_disabled"]
    assert (past["source"]["extracted_at"], past["source"]["freshness"]) == (None, None)


def test_closed_is_said_only_of_the_amc_asked_for() -> None:
    gone = contract(closed_on="2024-02-01")
    named, unnamed = ask(gone, amc=FIRST), ask(gone)
    assert (named["status"], named["advice"]) == ("closed", "do_not_apply")
    assert (unnamed["status"], unnamed["advice"]) == ("unknown", "check_card")
    assert unnamed["reasons"] == ["other_cover_possible", "terminated", "upstream_disabled"]
    assert unnamed["contracts"][0]["status"] == "closed"


@pytest.mark.parametrize(
    ("record", "amc", "reasons"),
    [
        ("no_record", None, ["beneficiary_unknown"]),
        ("no_record", SECOND, ["beneficiary_unknown"]),
        ("no_record", "0000000103", ["amc_not_covered"]),
        ("no_record", "0075500017", ["amc_out_of_scope"]),
        ("unreadable", None, ["record_unreadable"]),
        ("not_searchable", FIRST, ["identity_not_searchable"]),
    ],
)
def test_without_a_record_the_answer_is_unknown(record: str, amc: str | None, reasons: list[str]) -> None:
    answer = ask(record=record, amc=amc)
    assert (answer["status"], answer["advice"], answer["contracts"]) == ("unknown", "check_card", [])
    assert answer["reasons"] == sorted([*reasons, "upstream_disabled"])


def test_another_amc_is_hinted_at_only_if_open() -> None:
    assert "other_amc_open" in ask(contract(), amc=SECOND)["reasons"]
    assert "other_amc_open" not in ask(contract(closed_on="2024-02-01"), amc=SECOND)["reasons"]
    assert ask(contract(), amc=SECOND)["contracts"] == []


def test_a_second_payer_alone_sends_to_the_card() -> None:
    first = contract(closed_on="2024-02-01")
    second = contract(amc=SECOND, payer_rank=2)
    answer = ask(second, first)
    assert (answer["status"], answer["advice"]) == ("open", "check_card")
    assert [one["amc"] for one in answer["contracts"]] == [SECOND, FIRST]
    assert "first_payer_not_open" in answer["reasons"]
    assert "first_payer_not_open" not in ask(second, first, amc=SECOND)["reasons"]


@pytest.mark.parametrize(
    ("until", "advice"), [(None, "apply"), ("2024-02-05", "apply"), ("2024-02-04", "apply_unguaranteed")]
)
def test_a_guarantee_lasts_until_its_day(until: str | None, advice: str) -> None:
    granted = {"basis": "Convention 12", "until": until, "ceiling_cents": 5000}
    answer = ask(contract(), known=knowledge(guarantee=granted))
    assert answer["advice"] == advice
    assert ("guarantee" in answer["contracts"][0]) == (advice == "apply")


def test_what_upstream_says_is_applied_and_not_degraded() -> None:
    answer = ask(contract(), known=knowledge(kind="upstream"), mode="live")
    assert (answer["advice"], answer["degraded"], answer["reasons"]) == ("apply", False, [])


def test_the_amc_says_what_to_do_about_its_unknowns() -> None:
    assert ask(contract(domains=["HOSP"]))["advice"] == "patient_pays"
    differing = knowledge()
    differing["amcs"][SECOND] = differing["amcs"][FIRST] | {"stand_in": POLICY | {"on_unknown": "check_card"}}
    unsure = [contract(domains=["HOSP"]), contract(amc=SECOND, domains=["HOSP"])]
    assert ask(*unsure, known=differing)["advice"] == "check_card"


@pytest.mark.parametrize(
    ("stance", "reasons"),
    [
        ({"mode": "degraded"}, ["upstream_disabled"]),
        ({"mode": "live", "upstream_failed": True}, ["upstream_unavailable"]),
        ({"mode": "live"}, []),
        ({"mode": "degraded", "pinned": True}, ["snapshot_pinned", "upstream_disabled"]),
    ],
)
def test_the_stance_is_told(stance: Json, reasons: list[str]) -> None:
    assert ask(contract(), **stance)["reasons"] == reasons


def test_freshness_follows_the_oldest_extract_shown() -> None:
    known = knowledge("2024-02-04T09:30:12.123Z", max_age_days=4)  # to the millisecond 24 h
    known["amcs"][SECOND] = known["amcs"][FIRST] | {"extracted_at": "2024-02-02T09:30:12.122Z"}  # 72 h and 1 ms
    answer = ask(contract(), contract(amc=SECOND), known=known)
    assert [one["freshness"] for one in answer["contracts"]] == ["fresh", "stale"]
    assert (answer["source"]["extracted_at"], answer["source"]["freshness"]) == ("2024-02-02T09:30:12.122Z", "stale")


def test_contracts_are_sorted_by_status_then_rank_amc_and_member() -> None:
    rows = [
        contract(member="M3", domains=["HOSP"]),
        contract(member="M9", amc=SECOND),
        contract(member="M2"),
        contract(member="M10"),
        contract(member="M1", payer_rank=2),
    ]
    assert [one["member"] for one in ask(*rows)["contracts"]] == ["M10", "M2", "M9", "M1", "M3"]
