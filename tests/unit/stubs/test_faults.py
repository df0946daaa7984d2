from __future__ import annotations

import math
from typing import Any

import pytest

from stubs.board import OUTCOMES, Board
from stubs.faults import Faults


def test_a_change_leaves_the_others_as_they_are():
    faults = Faults().merged({"hang": True}).merged({"latency_ms": 20})
    assert (faults.hang, faults.latency_ms) == (True, 20)
    assert faults.merged({"hang": False}) == Faults(latency_ms=20)


@pytest.mark.parametrize(
    "change",
    [
        {"hangs": True}, {"hang": 1}, {"hang": None}, {"latency_ms": -1}, {"latency_ms": True}, {"latency_ms": "1"},
        {"error_percent": 101}, {"error_status": 399}, {"error_status": 503.0}, {"flap_seconds": math.nan}, [], None, 1,
        {"hang": True, "x": 0},
    ],
)  # fmt: skip
def test_a_change_that_is_none_is_refused_whole(change: Any):
    with pytest.raises(ValueError, match=r"."):
        Faults().merged(change)


@pytest.mark.parametrize(("seconds", "broken"), [(0, True), (1.9, True), (2, False), (3.9, False), (4.1, True)])
def test_what_flaps_comes_first_and_goes(seconds: float, broken: bool):  # noqa: FBT001
    assert Faults(hang=True, flap_seconds=2).at(seconds).hang is broken
    assert bool(Faults(flap_seconds=2).at(seconds).error_percent) is broken
    assert Faults(flap_seconds=2, drop=True).at(seconds).error_percent == 0


def test_old_data_do_not_get_young_by_flapping():
    assert [Faults(flap_seconds=1, behind_hours=5).at(second).behind_hours for second in (0, 1)] == [5, 5]


def test_a_board_counts_what_each_process_counted():
    board = Board(workers=3)
    for number, outcome in enumerate(OUTCOMES):
        board.take(number % 3)
        board.count_asked()
        board.count(outcome)
    assert board.counts() == {"asked": len(OUTCOMES), **dict.fromkeys(OUTCOMES, 1)}


def test_a_refused_change_leaves_the_board_as_it_was():
    board = Board()
    board.change({"drop": True})
    with pytest.raises(ValueError, match="hang is true or false"):
        board.change({"hang": 3})
    assert board.faults() == Faults(drop=True)
    board.set_faults(Faults())
    assert board.now() == Faults()
