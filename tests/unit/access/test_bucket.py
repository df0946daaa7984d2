from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.bucket import REFILL_PER_SECOND, Bucket


def taken(bucket: Bucket, burst: int, now: float) -> bool:
    if bucket.seconds_until_one(burst, now) > 0:
        return False
    bucket.take()
    return True


def test_a_burst_passes_and_then_the_pace():
    bucket = Bucket(0.0)
    assert [taken(bucket, 3, 0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.seconds_until_one(3, 0.0) == pytest.approx(1 / REFILL_PER_SECOND)
    assert bucket.left(3) == 0
    assert taken(bucket, 3, 0.25)
    assert not taken(bucket, 3, 0.25)


def test_it_is_never_fuller_than_its_burst():
    bucket = Bucket(0.0)
    assert sum(taken(bucket, 3, 1000.0) for _ in range(10)) == 3


def test_a_burst_of_none_lets_nothing_pass():
    assert Bucket(0.0).seconds_until_one(0, 100.0) == math.inf


def test_a_clock_that_goes_back_gives_nothing():
    bucket = Bucket(100.0)
    assert [taken(bucket, 1, now) for now in (100.0, 0.0, 50.0, 100.0)] == [True, False, False, False]


def test_a_larger_burst_holds_at_once():
    bucket = Bucket(0.0)
    assert taken(bucket, 1, 0.0)
    assert not taken(bucket, 1, 0.0)
    assert taken(bucket, 2, 0.0)


@given(st.integers(1, 60), st.lists(st.floats(0, 20), max_size=200))
def test_no_more_than_the_burst_and_the_pace(burst: int, pauses: list[float]):
    bucket, now, passed = Bucket(0.0), 0.0, 0
    for pause in pauses:
        now += pause
        passed += taken(bucket, burst, now)
    assert passed <= burst + now * REFILL_PER_SECOND + 1e-6
