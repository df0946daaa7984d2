import random
from itertools import islice, pairwise

import pytest

from service.identifiers import parse_birth_date, parse_nir
from stubs.month import DAY, Month
from stubs.thieves import LIMITS, STRATEGIES, Strategy

MONTH = Month(60, seed=3)
ALL = [*STRATEGIES, *LIMITS]


def questions(strategy: Strategy, days: int = 12):
    victims = MONTH.pharmacies[: strategy.victims]
    chance = random.Random(1)  # noqa: S311 - reproducible
    return strategy.questions(victims, 9, days, chance)


def test_the_list_has_each_way_once():
    assert len(STRATEGIES) >= 10
    assert len({strategy.name for strategy in ALL}) == len(ALL)


@pytest.mark.parametrize("strategy", ALL, ids=lambda strategy: strategy.name)
def test_a_thief_asks_in_order_within_the_days_and_for_its_victims_only(strategy: Strategy):
    asks = list(questions(strategy, 11))
    assert len(asks) > 10
    assert all(first.second <= second.second for first, second in pairwise(asks))
    assert min(ask.second for ask in asks) >= 9 * DAY
    assert max(ask.second for ask in asks) < 11 * DAY
    assert {ask.finess for ask in asks} == {pharmacy.finess for pharmacy in MONTH.pharmacies[: strategy.victims]}


@pytest.mark.parametrize("strategy", ALL, ids=lambda strategy: strategy.name)
def test_whom_a_thief_asks_for_could_be_somebody(strategy: Strategy):
    for ask in islice(questions(strategy), 500):
        assert parse_nir(ask.nir) == ask.nir
        assert parse_birth_date(ask.birth_date) == ask.birth_date


def by_name(name: str) -> Strategy:
    return next(strategy for strategy in ALL if strategy.name == name)


def test_a_stolen_list_names_nobody_twice():
    asks = [(ask.nir, ask.birth_date) for ask in questions(by_name("slow"))]
    assert len(set(asks)) == len(asks)


def test_the_night_thief_asks_at_night_and_the_spread_one_under_four_names():
    assert {ask.second // 3_600 % 24 for ask in questions(by_name("night"))} == set(range(6))
    assert len({ask.client for ask in questions(by_name("spread"))}) == 4


def test_only_the_list_of_an_amc_holds_canaries():
    with_canaries = [s.name for s in STRATEGIES if any(ask.canary for ask in questions(s, 30))]
    assert with_canaries == ["canary"]
