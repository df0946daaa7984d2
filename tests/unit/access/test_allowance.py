from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.access.allowance import Allowance, Charge
from service.access.budget import Limits, grantable
from service.errors import TooFast

BURST = 1000


def lent(*sizes: int) -> Allowance:
    allowance = Allowance(0.0)
    for number, size in enumerate(sizes, 1):
        allowance.add(number, size)
    return allowance


def taken(allowance: Allowance) -> Charge:
    charge = allowance.take(BURST, 0.0)
    assert charge is not None
    return charge


def test_leases_are_used_oldest_first_and_no_further():
    allowance = lent(2, 1)
    assert [taken(allowance).lease for _ in range(3)] == [1, 1, 2]
    assert allowance.take(BURST, 0.0) is None
    assert allowance.left == 0


def test_what_was_not_recorded_is_used_by_another():
    allowance = lent(1)
    charge = taken(allowance)
    charge.release()
    charge.release()
    assert allowance.left == 1
    taken(allowance).recorded(unknown=False)
    assert allowance.take(BURST, 0.0) is None


def test_an_end_is_one_end():
    allowance = lent(1)
    charge = taken(allowance)
    charge.recorded(unknown=True)
    charge.release()
    assert allowance.left == 0
    (held,) = allowance.settled()
    assert held.spent == (1, 1)


def test_a_lease_is_settled_once_its_answers_are_there():
    allowance = lent(2)
    charges = [taken(allowance), taken(allowance)]
    charges[0].recorded(unknown=False)
    assert allowance.settled() == []
    assert allowance.given_up() == []
    charges[1].recorded(unknown=True)
    assert [held.spent for held in allowance.settled()] == [(2, 1)]
    assert allowance.empty
    assert allowance.settled() == []


def test_what_lies_idle_is_given_up_but_for_what_is_under_way():
    allowance = lent(3, 2)
    charge = taken(allowance)
    assert [held.id for held in allowance.given_up()] == [2]
    charge.recorded(unknown=False)
    assert [held.spent for held in allowance.given_up()] == [(1, 0)]


def test_too_fast_costs_nothing_and_says_how_long():
    allowance = lent(10)
    for _ in range(2):
        assert allowance.take(2, 0.0) is not None
    with pytest.raises(TooFast) as refused:
        allowance.take(2, 0.0)
    assert 0 < refused.value.seconds <= 1
    assert allowance.left == 8
    assert allowance.burst_left(2) == 0


class Workers(RuleBasedStateMachine):
    """Workers that draw, answer, fail, give back and die in any order share one budget, as a store would keep it."""

    LIMITS = Limits(daily=60, unknown=25)

    def __init__(self) -> None:
        super().__init__()
        self.spent = (0, 0)
        self.workers = [Allowance(0.0) for _ in range(3)]
        self.charges: list[list[Charge]] = [[] for _ in range(3)]
        self.granted: dict[int, int] = {}
        self.owner: dict[int, int] = {}
        self.journal: dict[int, list[bool]] = {}

    def settle(self, lease: int, used: int, unknown: int) -> None:
        granted = self.granted.pop(lease)
        self.spent = self.spent[0] + used - granted, self.spent[1] + unknown - granted

    @rule(worker=st.integers(0, 2), wanted=st.integers(1, 30))
    def draw(self, worker: int, wanted: int) -> None:
        granted = grantable(self.LIMITS, wanted, self.spent, (0, 0))
        if granted:
            lease = len(self.owner) + 1
            self.granted[lease], self.owner[lease], self.journal[lease] = granted, worker, []
            self.spent = self.spent[0] + granted, self.spent[1] + granted
            self.workers[worker].add(lease, granted)

    @rule(worker=st.integers(0, 2), count=st.integers(1, 12))
    def ask(self, worker: int, count: int) -> None:
        for _ in range(count):
            charge = self.workers[worker].take(10_000, 0.0)
            if charge is not None:
                self.charges[worker].append(charge)

    @rule(worker=st.integers(0, 2), outcomes=st.lists(st.sampled_from(["known", "unknown", "failed"]), max_size=12))
    def answer(self, worker: int, outcomes: list[str]) -> None:
        for outcome in outcomes:
            if not self.charges[worker]:
                return
            charge = self.charges[worker].pop(0)
            if outcome == "failed":
                charge.release()
            else:
                self.journal[charge.lease].append(outcome == "unknown")
                charge.recorded(unknown=outcome == "unknown")

    @rule(worker=st.integers(0, 2), idle=st.booleans())
    def give_back(self, worker: int, *, idle: bool) -> None:
        allowance = self.workers[worker]
        for held in allowance.given_up() if idle else allowance.settled():
            assert held.spent == (len(self.journal[held.id]), sum(self.journal[held.id]))
            self.settle(held.id, *held.spent)

    @rule(worker=st.integers(0, 2))
    def die(self, worker: int) -> None:
        self.workers[worker], self.charges[worker] = Allowance(0.0), []
        for lease in [lease for lease in self.granted if self.owner[lease] == worker]:
            self.settle(lease, len(self.journal[lease]), sum(self.journal[lease]))

    @invariant()
    def never_more_than_the_budget(self) -> None:
        answers: list[Any] = [entry for entries in self.journal.values() for entry in entries]
        assert len(answers) <= self.spent[0] <= self.LIMITS.daily
        assert sum(answers) <= self.spent[1] <= self.LIMITS.unknown


TestWorkers = Workers.TestCase
