from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.base64url import sha256_b64u
from service.errors import SnapshotRefused
from service.rights.model import Guarantee, OnUnknown, StandIn
from service.snapshot.guard import Finding, check_floor, check_guard, floor_of, higher_floor
from service.snapshot.steps import Step
from tests.unit.snapshot.snapshot_maker import NOW, POLICY, amc_entry, floor
from tests.unit.snapshot.test_manifest import manifest

GRANT = Guarantee("convention 2019", dt.date(2024, 3, 1), 10_000)


def findings(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = check_guard(manifest(amcs=(amc_entry(**after),)), floor(amcs=(amc_entry(**before),)))
    return [finding.rule for finding in found]


def test_the_same_counts_raise_no_finding():
    assert check_guard(manifest(), floor()) == ()


def test_a_first_load_has_nothing_to_be_judged_by():
    check_floor(2**50, sha256_b64u(b""), None)
    assert check_guard(manifest(), None) == ()


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        (10_000, 9_000, False),
        (10_000, 8_999, True),
        (10_000, 11_000, False),
        (10_000, 11_001, True),
        (600, 101, False),
        (600, 100, True),
        (0, 499, False),
        (0, 500, True),
        (10_000, 0, True),
    ],
)
def test_people_may_change_by_a_tenth_and_small_changes_are_ignored(before: int, after: int, broken: bool):  # noqa: FBT001
    quiet = {"contracts": 20_000, "open": 18_000}
    rules = findings({"people": before, **quiet}, {"people": after, **quiet})
    assert rules == (["people may not change by more than 10 %"] if broken else [])


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        ((9_000, 10_000), (8_700, 10_000), False),
        ((9_000, 10_000), (8_699, 10_000), True),
        ((9_000, 10_000), (10_000, 10_000), False),
        ((0, 0), (0, 10_000), False),
        ((9_000, 10_000), (0, 0), True),
        ((1, 3), (910, 3_000), False),
        ((1, 3), (909, 3_000), True),
    ],
)
def test_the_open_share_may_not_fall_by_more_than_three_points(
    before: tuple[int, int],
    after: tuple[int, int],
    broken: bool,  # noqa: FBT001
):
    rules = findings(
        {"open": before[0], "contracts": before[1], "people": 0}, {"open": after[0], "contracts": after[1], "people": 0}
    )
    assert rules == (["the open share may not fall by more than 3 points"] if broken else [])


def test_an_amc_may_not_vanish():
    found = check_guard(manifest(), floor(amcs=(amc_entry(), amc_entry(amc="0000000001"))))
    assert found == (Finding("an AMC may not vanish", "0000000001", "10000 people", "absent"),)


def test_a_new_amc_is_welcome():
    assert check_guard(manifest(amcs=(amc_entry(), amc_entry(amc="0000000001"))), floor()) == ()


def test_an_extract_may_not_go_back():
    assert findings({}, {"extracted_at": NOW - dt.timedelta(days=1)}) == ["extracted_at may not go back"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"allowed": False}, {"allowed": True}),
        ({}, {"renewal_grace_days": 61}),
        ({}, {"closed_trust_days": 4}),
        ({}, {"max_age_days": 31}),
        ({}, {"history_days": 1}),
        ({"on_unknown": OnUnknown.PATIENT_PAYS}, {"on_unknown": OnUnknown.CHECK_CARD}),
        ({}, {"guarantee": GRANT}),
        ({"guarantee": GRANT}, {"guarantee": msgspec.structs.replace(GRANT, basis="none")}),
        ({"guarantee": GRANT}, {"guarantee": msgspec.structs.replace(GRANT, until=None)}),
        ({"guarantee": GRANT}, {"guarantee": msgspec.structs.replace(GRANT, until=dt.date(2024, 3, 2))}),
        ({"guarantee": GRANT}, {"guarantee": msgspec.structs.replace(GRANT, ceiling_cents=None)}),
        ({"guarantee": GRANT}, {"guarantee": msgspec.structs.replace(GRANT, ceiling_cents=10_001)}),
    ],
)
def test_a_policy_may_tighten_but_not_loosen(before: dict[str, Any], after: dict[str, Any]):
    old, new = (msgspec.structs.replace(POLICY, **changes) for changes in (before, after))
    (rule,) = findings({"stand_in": old}, {"stand_in": new})
    assert rule == f"the policy may not loosen: {next(iter(after))}"
    assert findings({"stand_in": new}, {"stand_in": old}) in ([], [rule] if "guarantee" in before else [])


@given(st.builds(StandIn, *(st.just(True), *(st.integers(0, 99),) * 3, st.sampled_from(OnUnknown)), st.integers(0, 9)))
def test_no_policy_is_looser_than_itself(policy: StandIn):
    assert findings({"stand_in": policy}, {"stand_in": policy}) == []


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_only_the_floor_itself_and_up_to_a_thousand_above_pass(sequence: int, lowest: int):
    known = floor(sequence=lowest)
    if lowest < sequence <= lowest + 1_000:
        check_floor(sequence, sha256_b64u(b"new"), known)
        return
    with pytest.raises(SnapshotRefused) as caught:
        check_floor(sequence, sha256_b64u(b"new"), known)
    assert caught.value.step == Step.SEQUENCE


def test_the_floor_itself_passes_by_its_digest():
    known = floor_of(manifest(), sha256_b64u(b"it"))
    check_floor(1, sha256_b64u(b"it"), known)


def test_the_higher_of_two_floors_counts_and_a_missing_one_does_not():
    low, high = floor(), floor(sequence=9)
    assert higher_floor(low, high) == higher_floor(high, low) == high
    assert higher_floor(None, low) == higher_floor(low, None) == low
    assert higher_floor(None, None) is None


def test_two_floors_that_disagree_about_one_sequence_are_an_alarm():
    with pytest.raises(SnapshotRefused):
        higher_floor(floor(), floor(digest=sha256_b64u(b"another")))
