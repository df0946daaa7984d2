from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.snapshot.backoff import BASE_SECONDS, CAP_SECONDS, SPREAD, spread, waits

CHANCE = st.floats(0, 1)


@given(attempts=st.integers(1, 2000), chance=CHANCE)
def test_there_is_one_pause_fewer_than_tries_and_none_is_longer_than_the_cap(attempts: int, chance: float):
    pauses = list(waits(attempts, lambda: chance))
    assert len(pauses) == attempts - 1
    assert all(0 <= pause <= CAP_SECONDS for pause in pauses)


def test_the_longest_a_pause_may_be_doubles_up_to_the_cap():
    assert list(waits(9, lambda: 1.0)) == [BASE_SECONDS * 2**number for number in range(6)] + [CAP_SECONDS] * 2


def test_chance_is_asked_for_each_pause():
    chances = iter((0.0, 1.0, 0.5))
    assert list(waits(4, lambda: next(chances))) == [0.0, 2 * BASE_SECONDS, 0.5 * 4 * BASE_SECONDS]


@given(seconds=st.floats(0.1, 1e6), chance=CHANCE)
def test_an_interval_is_spread_either_way(seconds: float, chance: float):
    assert seconds * (1 - SPREAD) <= spread(seconds, lambda: chance) <= seconds * (1 + SPREAD) * (1 + 1e-9)
    assert spread(seconds, lambda: 0.5) == seconds
