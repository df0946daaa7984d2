"""The oracle itself, row by row, on cases worked out by hand: it must not be wrong in the way of what it checks."""

from __future__ import annotations

import pytest

from tests.oracles import table
from tests.oracles.cases import FIRST, OLD, RECENT, SECOND, Json, ask, contract, knowledge


def outcome(answer: Json) -> tuple[str, list[str]]:
    (only,) = answer["contracts"]
    return only["status"], only["reasons"]


@pytest.mark.parametrize(
    ("changed", "day", "extracted_at", "expected"),
    [
        # closed_on is the first day without rights
        ({"closed_on": "2024-02-04"}, "2024-02-03", RECENT, ("open", [])),
        ({"closed_on": "2024-02-04"}, "2024-02-04", RECENT, ("closed", ["terminated"])),
        # E = 4 February, 60 days before is 6 December
        ({"closed_on": "2023-12-01"}, "2023-12-06", RECENT, ("closed", ["terminated"])),
        ({"closed_on": "2023-12-01"}, "2023-12-05", RECENT, ("unknown", ["history_not_kept"])),
        # after E only a young extract says closed
        ({"closed_on": "2024-01-15"}, "2024-02-01", OLD, ("unknown", ["closed_untrusted"])),
        ({"closed_on": "2024-01-15"}, "2024-01-31", OLD, ("closed", ["terminated"])),
        # suspensions: both ends inclusive; without end, only as far as the extract sees
        ({"suspended": [["2024-02-01", "2024-02-05"]]}, "2024-02-05", RECENT, ("closed", ["rights_suspended"])),
        ({"suspended": [["2024-02-01", "2024-02-05"]]}, "2024-02-06", RECENT, ("open", [])),
        ({"suspended": [["2024-02-01", None]]}, "2024-02-04", RECENT, ("closed", ["rights_suspended"])),
        ({"suspended": [["2024-02-01", None]]}, "2024-02-05", RECENT, ("unknown", ["suspension_may_have_ended"])),
        (
            {"suspended": [["2024-02-01", "2024-03-01"], ["2024-02-02", None]]},
            "2024-02-05",
            RECENT,
            ("unknown", ["suspension_may_have_ended"]),
        ),
        # not started: earlier periods are kept for history_days = 0 days only
        ({"valid_from": "2024-02-06"}, "2024-02-05", RECENT, ("closed", ["not_started"])),
        ({"valid_from": "2024-02-06"}, "2024-02-03", RECENT, ("unknown", ["history_not_kept"])),
        ({"valid_from": "2024-02-06"}, "2024-02-05", OLD, ("unknown", ["closed_untrusted"])),
        ({"domains": ["HOSP"]}, "2024-02-05", RECENT, ("unknown", ["domain_not_listed"])),
        ({"domains": []}, "2024-02-05", RECENT, ("open", [])),
        ({"valid_to": None}, "2024-02-05", RECENT, ("open", [])),
        # the grace is 10 days: over on 24 January, 25 January + 10 = E is not "long over"
        ({"valid_to": "2024-01-24"}, "2024-02-05", RECENT, ("closed", ["lapsed"])),
        ({"valid_to": "2024-01-25"}, "2024-02-04", RECENT, ("unknown", ["renewal_unknown"])),
        # ending on E or later, the renewal is presumed for 10 days
        ({"valid_to": "2024-01-31"}, "2024-02-05", OLD, ("open", ["presumed_renewed"])),
        ({"valid_to": "2024-01-30"}, "2024-02-05", OLD, ("unknown", ["renewal_unknown"])),
        # an online end before the printed one is a termination
        ({"valid_to": "2024-02-04", "card_valid_to": "2024-02-04"}, "2024-02-05", OLD, ("open", ["presumed_renewed"])),
        (
            {"valid_to": "2024-02-04", "card_valid_to": "2024-02-05"},
            "2024-02-05",
            OLD,
            ("unknown", ["renewal_unknown"]),
        ),
    ],
)
def test_one_contract(changed: Json, day: str, extracted_at: str, expected: tuple[str, list[str]]) -> None:
    assert outcome(ask(contract(**changed), known=knowledge(extracted_at), service_date=day)) == expected


def test_the_grace_ends_with_its_last_day() -> None:
    known = knowledge(OLD, renewal_grace_days=4)
    assert outcome(ask(contract(valid_to="2024-01-31"), known=known, service_date="2024-02-04"))[0] == "open"
    assert outcome(ask(contract(valid_to="2024-01-31"), known=known, service_date="2024-02-05"))[0] == "unknown"


def test_days_of_the_extract_are_those_of_paris() -> None:
    known = knowledge("2024-02-04T23:30:00Z")  # already the 5th in Paris
    assert outcome(ask(contract(suspended=[["2024-02-01", None]]), known=known))[0] == "closed"


@pytest.mark.parametrize(
    ("extracted_at", "reason"),
    [("2024-01-05T09:30:13Z", []), ("2024-01-05T09:30:12Z", ["too_old"])],  # 31 days, short of 877 ms; and full
)
def test_an_extract_is_too_old_a_whole_day_after_its_maximum(extracted_at: str, reason: list[str]) -> None:
    answer = ask(contract(), known=knowledge(extracted_at))
    assert answer["contracts"][0]["reasons"] == reason


def test_no_renewal_is_presumed_when_another_insurer_took_over() -> None:
    former = contract(valid_to="2024-01-31")
    for begins, status in [("2024-01-31", "open"), ("2024-02-01", "unknown")]:
        new = contract(amc=SECOND, valid_from=begins)
        answer = ask(former, new, known=knowledge(OLD), amc=FIRST)
        assert outcome(answer)[0] == status


def test_twins_told_apart_by_nothing_are_both_unknown() -> None:
    answer = ask(contract(), contract(closed_on="2024-02-01"), amc=FIRST)
    assert [(one["status"], one["reasons"]) for one in answer["contracts"]] == [
        ("unknown", ["identity_ambiguous"]),
        ("unknown", ["identity_ambiguous"]),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"member": "M2"},
        {"payer_rank": 2},
        {"amc": SECOND},
        {
            "valid_from": "2022-01-01",
            "valid_to": "2022-12-31",
            "closed_on": "2022-06-01",
        },  # over before
        {"closed_on": "2023-01-01"},  # closed on its first day: no period at all
    ],
)
def test_other_neighbours_are_not_twins(other: Json) -> None:
    answer = ask(contract(), contract(**({"closed_on": "2024-02-01"} | other)))
    assert "identity_ambiguous" not in answer["reasons"]
    assert answer["status"] == "open"


def test_all_pairs_of_twins_are_judged_at_once() -> None:
    # closed overlaps open, open overlaps unknown: all three, whatever the order
    rows = [
        contract(closed_on="2024-02-01"),
        contract(valid_from="2023-06-01"),
        contract(valid_from="2024-01-15", domains=["HOSP"]),
    ]
    for order in (rows, rows[::-1]):
        assert [one["reasons"] for one in ask(*order)["contracts"]] == [["identity_ambiguous"]] * 3


def test_a_suspect_clock_closes_nothing() -> None:
    answer = ask(contract(closed_on="2024-02-01"), amc=FIRST, clock_suspect=True)
    assert outcome(answer) == ("unknown", ["clock_suspect"])
    assert ask(contract(), clock_suspect=True)["reasons"] == ["clock_suspect", "upstream_disabled"]


def test_a_day_is_24_hours_even_when_the_hour_changes() -> None:
    assert table.whole_days("2024-03-30T12:00:00Z", "2024-03-31T11:59:59Z") == 0
    assert table.whole_days("2024-03-30T12:00:00Z", "2024-03-31T12:00:00Z") == 1
