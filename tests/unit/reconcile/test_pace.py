from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.reconcile.pace import FIRST_PAUSE_SECONDS, STOP_AFTER, Pace


def test_the_first_question_waits_for_nothing():
    assert Pace(20).wait(1000.0) == 0


def test_the_next_one_waits_for_its_share_of_a_second():
    pace = Pace(4)
    pace.take(10.0)
    assert pace.wait(10.0) == pytest.approx(0.25)
    assert pace.wait(11.0) == 0


def test_pauses_double_while_it_fails_and_an_answer_ends_that():
    pace, now, pauses = Pace(1000), 100.0, []
    for _ in range(STOP_AFTER - 1):
        pace.failed(now, now + 0.5)
        pauses.append(pace.wait(now + 0.5))
        now += 100
    assert pauses == pytest.approx([FIRST_PAUSE_SECONDS * factor for factor in (1, 2, 4, 8)])
    assert not pace.exhausted
    pace.answered()
    pace.failed(now, now)
    assert pace.wait(now) == pytest.approx(FIRST_PAUSE_SECONDS)


def test_it_is_exhausted_after_enough_failures_in_a_row():
    pace = Pace(1)
    for number in range(STOP_AFTER):
        assert not pace.exhausted
        pace.failed(number * 100.0, number * 100.0 + 1)
    assert pace.exhausted


def test_failures_of_one_outage_count_once():
    pace = Pace(1000)
    for number in range(64):
        pace.failed(1.0, 1.8 + number / 1000)
    assert pace.failures == 1


@given(st.floats(0.1, 10_000), st.lists(st.floats(0, 5), min_size=1, max_size=50))
def test_no_more_are_asked_than_the_rate_allows(rate: float, delays: list[float]):
    """Whoever waits as told never asks more than rate x seconds, the first one excepted."""
    pace, now = Pace(rate), 0.0
    for number, delay in enumerate(delays):
        now += delay
        now += pace.wait(now)
        assert number <= now * rate * 1.000001 + 1e-6
        pace.take(now)
