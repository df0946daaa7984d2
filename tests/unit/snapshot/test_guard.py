from __future__ import annotations

import datetime as dt
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.base64url import sha256_b64u
from service.errors import SnapshotRefused
from service.jws import sign_general
from service.rights.model import Guarantee, OnUnknown
from service.snapshot.guard import (
    MAX_FIRST,
    Finding,
    Floor,
    check_floor,
    check_guard,
    floor_of,
    higher_floor,
    open_share,
)
from service.snapshot.manifest import MANIFEST_TYP, AmcEntry, BaseRef, Counts, encode_manifest
from service.snapshot.steps import Step
from service.snapshot.terms import loosened
from service.snapshot.verify import Examination
from tests.unit.snapshot.snapshot_maker import ALICE, AMC, BOB, NOW, POLICY, amc_entry, conditions, floor
from tests.unit.snapshot.test_manifest import manifest, policies

GRANT = Guarantee("convention 2019", dt.date(2024, 3, 1), 10_000)


def findings(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = check_guard(manifest(amcs=(amc_entry(**after),)), floor(amcs=(amc_entry(**before),)))
    return [finding.rule for finding in found]


def test_the_same_counts_raise_no_finding():
    assert check_guard(manifest(), floor()) == ()


def test_a_first_load_has_nothing_to_be_judged_by():
    check_floor(MAX_FIRST, sha256_b64u(b""), None)
    assert check_guard(manifest(), None) == ()


def test_a_first_load_leaves_room_for_all_that_follow():
    with pytest.raises(SnapshotRefused, match="a first sequence of 1000000000000 or below; found 1000000000001"):
        check_floor(MAX_FIRST + 1, sha256_b64u(b""), None)


@pytest.mark.parametrize("known", [None, floor()])
def test_an_operator_can_say_what_a_node_that_knows_nothing_must_not_go_below(known: Floor | None):
    check_floor(5, sha256_b64u(b""), known, at_least=5)
    with pytest.raises(SnapshotRefused, match="expected sequence 6 or above, as asked for; found 5"):
        check_floor(5, sha256_b64u(b""), known, at_least=6)


def test_what_a_pin_put_in_quarantine_does_not_come_back():
    known = floor_of(manifest(sequence=4), sha256_b64u(b"it"))
    with pytest.raises(SnapshotRefused, match="expected sequence 5 or above; found 4: put in quarantine by a pin"):
        check_floor(4, known.digest, known, quarantine="put in quarantine by a pin")
    check_floor(5, sha256_b64u(b"the next"), known, quarantine="put in quarantine by a pin")


@pytest.mark.parametrize(("known", "before"), [(None, "no snapshot"), (floor(), "10000 people")])
def test_an_empty_snapshot_is_a_finding_also_on_a_first_load(known: Floor | None, before: str):
    nobody = manifest(counts=Counts(0, 0, 0, 0, 0))
    assert check_guard(nobody, known) == (Finding("a snapshot may not be empty", "*", before, "0 people"),)
    assert str(check_guard(nobody, known)[0]) == f"a snapshot may not be empty (in all: {before} → 0 people)"


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


def test_of_two_memories_of_one_snapshot_the_larger_counts_hold_by_amc():
    """The control store says 12,000 people and the node 10,000: one was altered, and nothing may hide behind that."""
    wider = msgspec.structs.replace(POLICY, max_age_days=300)
    store = floor(amcs=(amc_entry(people=12_000, open=8_000, stand_in=wider), amc_entry(amc="0000000001")))
    node = floor(amcs=(amc_entry(extracted_at=NOW), amc_entry(amc="0000000002")))
    merged = higher_floor(store, node)
    assert merged is not None
    assert merged == higher_floor(node, store)
    assert (merged.sequence, merged.digest) == (store.sequence, store.digest)
    assert [entry.amc for entry in merged.amcs] == ["0000000001", "0000000002", "0775671993"]
    assert merged.amcs[-1] == amc_entry(people=12_000, extracted_at=NOW)


entries = st.builds(
    amc_entry,
    amc=st.sampled_from(["0000000001", "0000000002", "0000000003"]),
    extracted_at=st.integers(0, 3).map(lambda days: NOW - dt.timedelta(days=days)),
    people=st.sampled_from([0, 400, 10_000, 10_400, 11_001, 12_000]),
    contracts=st.sampled_from([0, 10, 10_000, 12_000]),
    open=st.sampled_from([0, 9, 10, 9_000, 9_300, 10_000]),
    stand_in=policies,
)
memories = st.lists(entries, max_size=3, unique_by=lambda entry: entry.amc).map(tuple)


def judged(after: tuple[AmcEntry, ...], before: tuple[AmcEntry, ...]) -> tuple[Finding, ...]:
    return check_guard(manifest(amcs=after), floor(amcs=before))


@given(memories)
def test_a_snapshot_raises_no_finding_against_itself(amcs: tuple[AmcEntry, ...]):
    assert judged(amcs, amcs) == ()


@given(memories, memories, st.randoms(use_true_random=False))
def test_the_order_of_amcs_does_not_matter(after: tuple[AmcEntry, ...], before: tuple[AmcEntry, ...], chance: Random):
    found = judged(after, before)
    assert judged(shuffled(after, chance), shuffled(before, chance)) == found
    assert [finding.amc for finding in found] == sorted(finding.amc for finding in found)


def shuffled(amcs: tuple[AmcEntry, ...], chance: Random) -> tuple[AmcEntry, ...]:
    return tuple(chance.sample(amcs, len(amcs)))


@given(memories, memories)
def test_an_amc_is_judged_alike_whoever_else_is_there(after: tuple[AmcEntry, ...], before: tuple[AmcEntry, ...]):
    """No finding hides another: what is said of one AMC alone is said of it among all."""
    following = {entry.amc: entry for entry in after}
    alone = [
        finding
        for entry in sorted(before, key=lambda entry: entry.amc)
        for finding in judged((following[entry.amc],) if entry.amc in following else (), (entry,))
    ]
    assert list(judged(after, before)) == alone


@given(memories, memories)
def test_merged_memories_ask_no_less_than_either_except_that_more_people_may_come(
    one: tuple[AmcEntry, ...], other: tuple[AmcEntry, ...]
):
    merged = higher_floor(floor(amcs=one), floor(amcs=other))
    assert merged is not None
    assert merged == higher_floor(floor(amcs=other), floor(amcs=one))
    for memory in (one, other):
        stays = {entry.amc: entry for entry in memory}
        for entry in merged.amcs:
            known = stays.get(entry.amc, entry)
            assert entry.people >= known.people
            assert open_share(entry) >= open_share(known)
            assert entry.extracted_at >= known.extracted_at
            assert loosened(known.stand_in, entry.stand_in) == ()
        assert {entry.amc for entry in memory} <= {entry.amc for entry in merged.amcs}


def test_a_finding_of_each_kind_is_reported_though_others_are():
    wider = msgspec.structs.replace(POLICY, renewal_grace_days=61, closed_trust_days=4)
    changed = amc_entry(people=1, contracts=10, open=1, extracted_at=NOW - dt.timedelta(days=1), stand_in=wider)
    found = check_guard(
        manifest(amcs=(changed,), counts=Counts(0, 0, 0, 0, 0)), floor(amcs=(amc_entry(), amc_entry(amc="0000000001")))
    )
    assert [(finding.amc, finding.rule) for finding in found] == [
        ("*", "a snapshot may not be empty"),
        ("0000000001", "an AMC may not vanish"),
        (AMC, "people may not change by more than 10 %"),
        (AMC, "the open share may not fall by more than 3 points"),
        (AMC, "extracted_at may not go back"),
        (AMC, "the policy may not loosen: renewal_grace_days"),
        (AMC, "the policy may not loosen: closed_trust_days"),
    ]


@given(st.integers(1, 4_000), st.booleans(), memories)
def test_accepting_lets_findings_pass_and_never_the_floor(sequence: int, same: bool, amcs: tuple[AmcEntry, ...]):  # noqa: FBT001
    """A reason to accept changes nothing about which sequences and digests pass."""
    candidate = manifest(sequence=sequence)
    known = floor(sequence=2_000, digest=sha256_b64u(encode_manifest(candidate)) if same else floor().digest, amcs=amcs)
    document = sign_general(encode_manifest(candidate), MANIFEST_TYP, [ALICE, BOB])
    refused = []
    for accept in (None, "the AMC wrote to us"):
        try:
            Examination(conditions(floor=known, accept=accept)).read_manifest(document)
        except SnapshotRefused as error:
            refused.append((error.step, error.expected, error.found))
        else:
            refused.append(None)
    assert refused[0] == refused[1]
    passes = (sequence == 2_000 and same) or 2_000 < sequence <= 3_000
    assert (refused[1] is None) == passes
    assert refused[1] is None or refused[1][0] == Step.SEQUENCE


def test_a_delta_is_judged_by_the_whole_it_describes():
    """Its counts and AMCs are those of base and delta together, so nothing else is compared and nothing else kept."""
    empty = manifest(kind="delta", base=BaseRef(1, sha256_b64u(b"base")), files=(), salt=None, sequence=5)
    assert check_guard(empty, floor()) == ()
    assert floor_of(empty, sha256_b64u(b"delta")).amcs == empty.amcs
    fewer = msgspec.structs.replace(empty, amcs=(amc_entry(people=8_000),))
    assert [finding.rule for finding in check_guard(fewer, floor())] == ["people may not change by more than 10 %"]
