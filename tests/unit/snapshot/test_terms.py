"""Which policy allows less: an order, with the laws of one."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given

from service.rights.model import Guarantee, OnUnknown, StandIn
from service.snapshot.terms import loosened, member_text, tighter
from tests.unit.snapshot.snapshot_maker import POLICY
from tests.unit.snapshot.test_manifest import policies

MEMBERS = StandIn.__struct_fields__


@given(policies)
def test_no_policy_is_looser_than_itself(policy: StandIn):
    assert loosened(policy, policy) == ()
    assert tighter(policy, policy) == policy


@given(policies, policies)
def test_the_tighter_of_two_loosens_neither_and_is_the_same_either_way(one: StandIn, other: StandIn):
    both = tighter(one, other)
    assert both == tighter(other, one)
    assert loosened(one, both) == loosened(other, both) == ()


@given(policies, policies, policies)
def test_three_policies_are_tightened_in_any_order(one: StandIn, two: StandIn, three: StandIn):
    assert tighter(tighter(one, two), three) == tighter(one, tighter(two, three))


@given(policies, policies)
def test_a_member_that_changed_was_loosened_or_tightened(one: StandIn, other: StandIn):
    changed = {name for name in MEMBERS if getattr(one, name) != getattr(other, name)}
    assert {*loosened(one, other), *loosened(other, one)} == changed


@pytest.mark.parametrize(
    ("member", "tight", "loose"),
    [
        ("allowed", False, True),
        ("renewal_grace_days", 0, 1),
        ("closed_trust_days", 3659, 3660),
        ("max_age_days", 29, 30),
        ("history_days", 0, 1),
        ("on_unknown", OnUnknown.PATIENT_PAYS, OnUnknown.CHECK_CARD),
        ("guarantee", None, Guarantee("convention")),
        ("guarantee", Guarantee("convention", dt.date(2024, 3, 1)), Guarantee("convention", dt.date(2024, 3, 2))),
        ("guarantee", Guarantee("convention", dt.date(9999, 12, 31)), Guarantee("convention")),
        ("guarantee", Guarantee("convention", None, 0), Guarantee("convention", None, 1)),
        ("guarantee", Guarantee("convention", None, 10**9), Guarantee("convention")),
    ],
)
def test_each_member_loosens_one_way(member: str, tight: object, loose: object):
    old, new = (msgspec.structs.replace(POLICY, **{member: value}) for value in (tight, loose))
    assert loosened(old, new) == (member,)
    assert loosened(new, old) == ()


def test_a_guarantee_on_another_basis_is_looser_whichever_way():
    old, new = (msgspec.structs.replace(POLICY, guarantee=Guarantee(basis)) for basis in ("law", "convention"))
    assert loosened(old, new) == loosened(new, old) == ("guarantee",)


@pytest.mark.parametrize(
    ("member", "value", "text"),
    [
        ("allowed", True, "yes"),
        ("max_age_days", 0, "0"),
        ("on_unknown", OnUnknown.CHECK_CARD, "check_card"),
        ("guarantee", None, "none"),
        ("guarantee", Guarantee("convention"), "convention, until open end, ceiling none"),
        ("guarantee", Guarantee("a\nb\x1b[2J", dt.date(2024, 3, 1), 0), "a?b?[2J, until 2024-03-01, ceiling 0 cents"),
    ],
)
def test_a_member_is_told_in_one_line_that_cannot_steer_a_terminal(member: str, value: object, text: str):
    assert member_text(msgspec.structs.replace(POLICY, **{member: value}), member) == text
