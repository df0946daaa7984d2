"""Two snapshots side by side."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from service.base64url import sha256_b64u
from service.rights.model import Guarantee
from service.snapshot.compare import Comparison, PolicyChange, Side, compare, percent
from service.snapshot.guard import check_guard, floor_of
from service.snapshot.manifest import AmcEntry, encode_manifest
from tests.unit.snapshot.snapshot_maker import AMC, NOW, POLICY, amc_entry, floor
from tests.unit.snapshot.test_guard import memories
from tests.unit.snapshot.test_manifest import manifest

OTHER = "0000000001"


def side(**changes: Any) -> Side:
    made = manifest(**changes)
    return Side(made, sha256_b64u(encode_manifest(made)), ("alice", "bob"))


def beside(before: Side, after: Side) -> Comparison:
    return compare(before, after, floor_of(before.manifest, before.digest))


def test_a_snapshot_beside_itself_shows_no_difference():
    same = beside(side(), side())
    assert (same.added, same.vanished, same.rollback, same.findings) == ((), (), None, ())
    assert [amc.policy for amc in same.amcs] == [()]


def test_amcs_are_told_in_the_order_of_their_numbers_with_what_came_and_went():
    before, after = (
        side(amcs=(amc_entry(), amc_entry(amc=OTHER))),
        side(amcs=(amc_entry(amc="0000000002"), amc_entry())),
    )
    told = beside(before, after)
    assert [amc.amc for amc in told.amcs] == [OTHER, "0000000002", AMC]
    assert (told.added, told.vanished) == (("0000000002",), (OTHER,))
    assert [amc.sides for amc in told.amcs] == [
        (amc_entry(amc=OTHER), None),
        (None, amc_entry(amc="0000000002")),
        (amc_entry(), amc_entry()),
    ]


def test_each_member_of_a_policy_that_changed_is_told_with_its_direction():
    new = msgspec.structs.replace(
        POLICY, renewal_grace_days=90, max_age_days=7, allowed=False, guarantee=Guarantee("convention")
    )
    (amc,) = beside(side(), side(sequence=2, amcs=(amc_entry(stand_in=new),))).amcs
    assert amc.policy == (
        PolicyChange("renewal_grace_days", "60", "90", "loosened"),
        PolicyChange("guarantee", "none", "convention, until open end, ceiling none", "loosened"),
        PolicyChange("allowed", "yes", "no", "tightened"),
        PolicyChange("max_age_days", "30", "7", "tightened"),
    )


def test_a_guarantee_on_another_basis_is_told_once_as_loosened():
    old, new = (msgspec.structs.replace(POLICY, guarantee=Guarantee(basis)) for basis in ("law", "convention"))
    (amc,) = beside(side(amcs=(amc_entry(stand_in=old),)), side(amcs=(amc_entry(stand_in=new),))).amcs
    assert [(change.member, change.effect) for change in amc.policy] == [("guarantee", "loosened")]


def test_what_a_load_would_refuse_is_told_floor_and_findings_both():
    """The guard has not been asked where the floor refuses, and still somebody wants to know."""
    before = side(sequence=9)
    after = side(sequence=5, amcs=(amc_entry(people=5_000, extracted_at=NOW - dt.timedelta(days=1)),))
    told = beside(before, after)
    assert str(told.rollback) == (
        "refused at step 5 sequence against the floor: expected sequence 9 or above; found 5: a rollback"
    )
    assert [finding.rule for finding in told.findings] == [
        "people may not change by more than 10 %",
        "extracted_at may not go back",
    ]


def test_beside_nothing_all_amcs_are_new_and_the_floor_may_be_another():
    told = compare(None, side(amcs=(amc_entry(people=5_000),)), floor())
    assert (told.added, told.before) == ((AMC,), None)
    assert [finding.rule for finding in told.findings] == ["people may not change by more than 10 %"]


@given(memories, memories)
def test_the_findings_are_the_guards(before: tuple[AmcEntry, ...], after: tuple[AmcEntry, ...]):
    former, following = side(amcs=before), side(sequence=2, amcs=after)
    told = beside(former, following)
    assert told.findings == check_guard(following.manifest, floor_of(former.manifest, former.digest))
    loosened = sum(change.effect == "loosened" for amc in told.amcs for change in amc.policy)
    assert loosened == sum(finding.rule.startswith("the policy may not loosen") for finding in told.findings)
    assert len(told.vanished) == sum(finding.rule == "an AMC may not vanish" for finding in told.findings)


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_a_change_in_percent_has_a_tenth_and_none_from_nothing(before: int, after: int):
    change = percent(before, after)
    if not before:
        assert change is None
        return
    assert change is not None
    assert abs(change - 100 * (after - before) / before) <= 0.05 + 1e-6 * abs(change)
    assert (change > 0) <= (after > before)
