from __future__ import annotations

import threading

import pytest

from service.snapshot.folder import Progress
from service.snapshot.parallel import at_once


def quiet(_done: int, _total: int) -> None: ...


def test_results_come_in_order_and_progress_is_the_sum():
    second_done = threading.Event()

    def first(progress: Progress) -> str:
        assert second_done.wait(30)
        progress(3, 3)
        return "first"

    def second(progress: Progress) -> str:
        progress(1, 2)
        progress(2, 2)
        second_done.set()
        return "second"

    steps: list[tuple[int, int]] = []
    assert at_once((first, second), lambda *step: steps.append(step)) == ["first", "second"]
    assert steps == [(1, 2), (2, 2), (5, 5)]


def test_the_first_in_order_that_fails_is_the_one_told_and_ends_the_others():
    def first(_: Progress) -> None:
        raise ValueError("first")

    def second(progress: Progress) -> None:
        while True:  # ends only because the first has failed
            progress(0, 1)

    with pytest.raises(ValueError, match="first"):
        at_once((first, second), quiet)


def test_a_later_failure_does_not_hide_an_earlier_one():
    failed = threading.Event()

    def first(progress: Progress) -> None:
        assert failed.wait(30)
        progress(0, 1)
        raise ValueError("first")

    def second(_: Progress) -> None:
        failed.set()
        raise ValueError("second")

    with pytest.raises(ValueError, match="first"):
        at_once((first, second), quiet)
    with pytest.raises(ValueError, match="second"):
        at_once((lambda _: None, second), quiet)
