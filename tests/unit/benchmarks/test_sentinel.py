"""A small month through the sentinel: what docs/threat_model.md tells of the large one."""

import random

from benchmarks.sentinel import Simulation, Thief, named
from service.access.sentinel import Policy
from service.access.suspicion import Step
from stubs.month import Month
from stubs.thieves import STRATEGIES

FAST = ("burst", "neighbours", "random", "sawtooth")


def test_quick_thieves_are_suspended_within_their_first_day_and_nobody_else_is_touched():
    month = Month(80, days=6, seed=5)
    thieves, stolen = [], []
    for number, strategy in enumerate(strategy for strategy in STRATEGIES if strategy.name in FAST):
        victim = month.pharmacies[4 + number]
        thieves.append(Thief(strategy.name, strategy.text, [victim], 4))
        chance = random.Random(number)  # noqa: S311 - reproducible
        stolen.append(named(strategy.questions([victim], 4, month.days, chance), strategy.name))
    simulation = Simulation(month, thieves, Policy())
    simulation.run(stolen)
    rows = {row["strategy"]: row for row in (thief.row() for thief in thieves)}
    assert rows.keys() == set(FAST)
    assert all(row["caught"] and row["hours"] < 24 for row in rows.values()), rows
    assert all(row["people_read"] < 150 for row in rows.values()), rows
    assert [action for action in simulation.ordinary if action.step > Step.NOTE] == []
