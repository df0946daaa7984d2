from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DepotTooSlow
from service.snapshot.pace import WINDOW_SECONDS, Pace

LEAST = 1000
SECONDS = st.lists(st.floats(0.01, 60), min_size=1, max_size=60)


def times(steps: list[float]) -> list[float]:
    return [sum(steps[: number + 1]) for number in range(len(steps))]


@given(steps=SECONDS)
def test_who_keeps_the_least_speed_is_never_too_slow(steps: list[float]):
    pace = Pace(LEAST, 0.0)
    for step, now in zip(steps, times(steps), strict=True):
        pace.note(int(LEAST * step) + 1, now)


@given(steps=SECONDS)
def test_who_brings_half_of_it_is_told_at_the_end_of_a_window_and_never_before(steps: list[float]):
    pace = Pace(LEAST, 0.0)
    for step, now in zip(steps, times(steps), strict=True):
        if now < WINDOW_SECONDS:
            pace.note(int(LEAST * step / 2), now)
            continue
        with pytest.raises(DepotTooSlow, match="slow retrieval"):
            pace.note(int(LEAST * step / 2), now)
        return


def test_a_fast_beginning_is_no_credit_for_later():
    pace = Pace(LEAST, 0.0)
    pace.note(10**9, WINDOW_SECONDS)
    with pytest.raises(DepotTooSlow):
        pace.note(1, 2 * WINDOW_SECONDS)
