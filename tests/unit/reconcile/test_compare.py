from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.reconcile.compare import NO_AMC, Outcome, Said, Shown, Verdict, compare, said_by
from service.rights.heard import Heard
from service.rights.model import Status
from tests.unit.reconcile.recording import FIRST, SECOND, told

OPEN, UNKNOWN, CLOSED = Status.OPEN, Status.UNKNOWN, Status.CLOSED


def shown(status: Status, amc: str = FIRST, member: str = "A1", rate: int = 100) -> Shown:
    """As answers show them: a closed contract hides its member."""
    if status is CLOSED:
        return Shown(amc, status)
    return Shown(amc, status, member, {"PH7": rate}, "TR") if status is OPEN else Shown(amc, status, member)


def verdicts(ours: Sequence[Shown], theirs: Sequence[Shown], amc: str | None = None) -> list[tuple[str, str]]:
    outcomes = compare(Said(UNKNOWN, tuple(ours)), Said(UNKNOWN, tuple(theirs)), amc)
    return sorted((outcome.amc, outcome.verdict.value) for outcome in outcomes)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (OPEN, OPEN, "confirmed"),
        (CLOSED, CLOSED, "confirmed"),
        (OPEN, CLOSED, "wrongly_open"),
        (CLOSED, OPEN, "wrongly_closed"),
        (UNKNOWN, OPEN, "unknown_now_open"),
        (UNKNOWN, CLOSED, "unknown_now_closed"),
        (UNKNOWN, UNKNOWN, "still_unknown"),
        (OPEN, UNKNOWN, "open_now_unknown"),
        (CLOSED, UNKNOWN, "closed_now_unknown"),
    ],
)
def test_every_pair_of_statuses_has_its_verdict(ours: Status, theirs: Status, verdict: str):
    assert verdicts([shown(ours)], [shown(theirs)]) == [(FIRST, verdict)]


def test_what_one_side_does_not_show_is_unknown_there():
    assert verdicts([shown(OPEN)], []) == [(FIRST, "open_now_unknown")]
    assert verdicts([], [shown(OPEN)]) == [(FIRST, "unknown_now_open")]
    assert verdicts([shown(CLOSED)], []) == [(FIRST, "closed_now_unknown")]
    moved = verdicts([shown(OPEN)], [shown(OPEN, SECOND)])
    assert moved == [(FIRST, "open_now_unknown"), (SECOND, "unknown_now_open")]


def test_nobody_known_on_either_side_counts_for_the_amc_asked_for_or_for_none():
    assert verdicts([], []) == [(NO_AMC, "still_unknown")]
    assert verdicts([], [], FIRST) == [(FIRST, "still_unknown")]


def test_a_no_to_an_amc_asked_for_without_a_contract_closes_what_we_held_open():
    outcomes = compare(Said(OPEN, (shown(OPEN),)), Said(CLOSED, ()), FIRST)
    assert outcomes == (Outcome(FIRST, Verdict.WRONGLY_OPEN),)
    assert compare(Said(UNKNOWN, ()), Said(CLOSED, ()), FIRST) == (Outcome(FIRST, Verdict.UNKNOWN_NOW_CLOSED),)


def test_contracts_of_one_amc_are_told_apart_by_their_member():
    ours = [shown(OPEN, member="A1"), shown(UNKNOWN, member="A2")]
    theirs = [shown(UNKNOWN, member="A1"), shown(OPEN, member="A2")]
    assert verdicts(ours, theirs) == [(FIRST, "open_now_unknown"), (FIRST, "unknown_now_open")]


def test_a_member_that_changed_is_another_contract():
    changed = verdicts([shown(OPEN, member="A1")], [shown(OPEN, member="A2")])
    assert changed == [(FIRST, "open_now_unknown"), (FIRST, "unknown_now_open")]


def test_a_former_contract_that_both_call_closed_does_not_take_the_place_of_the_one_that_ended():
    ours = [shown(OPEN), shown(CLOSED)]
    assert verdicts(ours, [shown(CLOSED), shown(CLOSED)]) == [(FIRST, "confirmed"), (FIRST, "wrongly_open")]
    assert verdicts(ours, [shown(OPEN), shown(CLOSED)]) == [(FIRST, "confirmed"), (FIRST, "confirmed")]


def test_a_closure_is_wrong_only_where_no_closed_contract_explains_it():
    renewed = verdicts([shown(CLOSED)], [shown(CLOSED), shown(OPEN, member="A2")])
    assert renewed == [(FIRST, "confirmed"), (FIRST, "unknown_now_open")]
    assert verdicts([shown(CLOSED)], [shown(OPEN)]) == [(FIRST, "wrongly_closed")]


def test_an_excluded_contract_which_hides_its_member_meets_the_one_of_its_amc():
    assert verdicts([Shown(FIRST, UNKNOWN)], [shown(OPEN)]) == [(FIRST, "unknown_now_open")]


@pytest.mark.parametrize(
    ("ours", "theirs", "other"),
    [
        (shown(OPEN), shown(OPEN), False),
        (shown(OPEN), shown(OPEN, rate=95), True),
        (Shown(FIRST, OPEN, "A1", {"PH7": 100}, "TR"), Shown(FIRST, OPEN, "A1", {"PH7": 100}, "TM"), True),
        (Shown(FIRST, OPEN, "A1", {"PH7": None}, "TR"), shown(OPEN), True),
        (shown(OPEN), Shown(FIRST, OPEN, "A1"), False),
        (shown(OPEN), shown(UNKNOWN), False),
    ],
)
def test_rates_are_compared_where_both_tell_them(ours: Shown, theirs: Shown, *, other: bool):
    (outcome,) = compare(Said(OPEN, (ours,)), Said(OPEN, (theirs,)), None)
    assert outcome.other_rates is other


def test_what_the_upstream_says_becomes_a_side():
    said = said_by(Heard(OPEN, contracts=(told(OPEN, rate=70), told(CLOSED, SECOND), told(UNKNOWN, SECOND, "B"))))
    assert said == Said(OPEN, (shown(OPEN, rate=70), shown(CLOSED, SECOND), Shown(SECOND, UNKNOWN, "B", None, "TR")))


CONTRACTS = st.lists(
    st.builds(
        shown,
        st.sampled_from(Status),
        st.sampled_from([FIRST, SECOND]),
        st.sampled_from(["A1", "A2"]),
        st.sampled_from([70, 100]),
    ),
    max_size=5,
)


@given(CONTRACTS, CONTRACTS, st.randoms(use_true_random=False))
def test_the_order_of_contracts_makes_no_difference(ours: list[Shown], theirs: list[Shown], chance: Random):
    before = compare(Said(UNKNOWN, tuple(ours)), Said(UNKNOWN, tuple(theirs)), None)
    chance.shuffle(ours)
    chance.shuffle(theirs)
    assert Counter(compare(Said(UNKNOWN, tuple(ours)), Said(UNKNOWN, tuple(theirs)), None)) == Counter(before)


@given(CONTRACTS)
def test_a_side_confirms_itself(contracts: list[Shown]):
    said = Said(UNKNOWN, tuple(contracts))
    for outcome in compare(said, said, None):
        assert outcome.verdict in (Verdict.CONFIRMED, Verdict.STILL_UNKNOWN)
        assert not outcome.other_rates


@given(CONTRACTS, CONTRACTS)
def test_every_contract_of_each_side_counts_once(ours: list[Shown], theirs: list[Shown]):
    """By status: how many of ours were open, closed, unknown, or missing, and of theirs."""
    outcomes = compare(Said(UNKNOWN, tuple(ours)), Said(UNKNOWN, tuple(theirs)), None)
    counted = Counter(outcome.verdict for outcome in outcomes)
    wrong_open, lost = counted[Verdict.WRONGLY_OPEN], counted[Verdict.OPEN_NOW_UNKNOWN]
    agreed = counted[Verdict.CONFIRMED]
    mine, told_so = Counter(one.status for one in ours), Counter(one.status for one in theirs)
    ours_closed = counted[Verdict.WRONGLY_CLOSED] + counted[Verdict.CLOSED_NOW_UNKNOWN]
    assert agreed + wrong_open + lost + ours_closed == mine[OPEN] + mine[CLOSED]
    theirs_open = counted[Verdict.WRONGLY_CLOSED] + counted[Verdict.UNKNOWN_NOW_OPEN]
    theirs_closed = wrong_open + counted[Verdict.UNKNOWN_NOW_CLOSED]
    assert agreed + theirs_open + theirs_closed == told_so[OPEN] + told_so[CLOSED]
