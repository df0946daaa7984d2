from __future__ import annotations

from typing import Any

import pytest

from service.upstream.breaker import SPREAD, Breaker, Outcome, Permit, Phase
from tests.unit.upstream.rules import rules

GOOD, FAILED = Outcome.GOOD, Outcome.FAILED


def middle() -> float:
    return 0.5


def closed(now: float = 0.0, chance: Any = middle, **changes: Any) -> Breaker:
    breaker = Breaker(rules(**changes), chance)
    breaker.release(now, now - 1000)
    assert breaker.phase(now) is Phase.CLOSED
    return breaker


def permit(breaker: Breaker, now: float) -> Permit:
    given = breaker.admit(now)
    assert given is not None
    return given


def call(breaker: Breaker, now: float, outcome: Outcome = GOOD, seconds: float = 0.1) -> None:
    breaker.record(permit(breaker, now), outcome, seconds, now)


def trip(breaker: Breaker, now: float) -> None:
    while breaker.phase(now) is not Phase.OPEN:
        call(breaker, now, FAILED)


def half_open(now: float = 100.0, **changes: Any) -> Breaker:
    """Half open from `now` on."""
    breaker = closed(**changes)
    trip(breaker, now - 5)
    assert breaker.phase(now) is Phase.HALF_OPEN
    return breaker


def test_nobody_is_asked_before_an_order_was_seen():
    breaker = Breaker(rules(), middle)
    assert breaker.admit(0) is None
    assert breaker.status(0).phase is Phase.FORCED


def test_closed_lets_everything_through():
    breaker = closed()
    assert all(breaker.admit(0) for _ in range(1000))


@pytest.mark.parametrize(("failures", "phase"), [(4, Phase.CLOSED), (5, Phase.OPEN)])
def test_trips_at_the_rate_and_not_below(failures: int, phase: Phase):
    breaker = closed()
    for _ in range(10 - failures):
        call(breaker, 1)
    for _ in range(failures):
        call(breaker, 1, FAILED)
    assert breaker.phase(1) is phase


@pytest.mark.parametrize(("calls", "phase"), [(9, Phase.CLOSED), (10, Phase.OPEN)])
def test_few_calls_say_nothing(calls: int, phase: Phase):
    breaker = closed()
    for _ in range(calls):
        call(breaker, 1, FAILED)
    assert breaker.phase(1) is phase


def test_failures_older_than_the_window_say_nothing():
    breaker = closed()
    for _ in range(9):
        call(breaker, 1, FAILED)
    call(breaker, 12, FAILED)
    assert breaker.phase(12) is Phase.CLOSED


@pytest.mark.parametrize(("slow", "phase"), [(7, Phase.CLOSED), (8, Phase.OPEN)])
def test_trips_where_it_answers_too_slowly(slow: int, phase: Phase):
    breaker = closed()
    for _ in range(10 - slow):
        call(breaker, 1)
    for _ in range(slow):
        call(breaker, 1, GOOD, 0.51)
    assert breaker.phase(1) is phase
    assert breaker.status(1).trips == (phase is Phase.OPEN)


def test_open_leaves_it_alone_until_the_time_is_over():
    breaker = closed()
    trip(breaker, 10)
    assert breaker.admit(10) is None
    assert breaker.admit(14.99) is None
    assert breaker.status(12).retry_in == pytest.approx(3)
    assert breaker.admit(15) is not None


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_the_time_open_is_spread_by_a_fifth(chance: float):
    breaker = closed(chance=lambda: chance)
    trip(breaker, 0)
    wait = breaker.status(0).retry_in
    assert wait == pytest.approx(5 * (1 - SPREAD + 2 * SPREAD * chance))


def test_the_time_open_doubles_at_each_failure_in_a_row_up_to_the_most():
    breaker, now, waits = closed(chance=lambda: 0.999999), 0.0, []
    trip(breaker, now)
    for _ in range(8):
        wait = breaker.status(now).retry_in
        assert wait is not None
        waits.append(wait)
        now += wait
        call(breaker, now, FAILED)
    assert waits[:4] == [pytest.approx(5 * 1.2 * 2**n, rel=1e-3) for n in range(4)]
    assert waits[4:] == [pytest.approx(60, rel=1e-3)] * 4
    assert max(waits) <= 60


def test_tripping_again_soon_after_the_return_goes_on_doubling():
    breaker = half_open(100)
    for _ in range(3):
        call(breaker, 100)
    assert breaker.phase(110) is Phase.CLOSED
    trip(breaker, 115)
    assert breaker.status(115).retry_in == pytest.approx(10)


def test_after_a_window_in_good_health_it_begins_anew():
    breaker = half_open(100)
    for _ in range(3):
        call(breaker, 100)
    assert breaker.phase(110) is Phase.CLOSED
    trip(breaker, 120)
    assert breaker.status(120).retry_in == pytest.approx(5)


def test_half_open_lets_a_few_through_at_once_and_no_more():
    breaker = half_open(100)
    permits = [breaker.admit(100) for _ in range(50)]
    assert [given is not None for given in permits] == [True] * 3 + [False] * 47
    assert breaker.status(100).share == 0


def test_half_open_lets_so_many_through_in_all():
    breaker = half_open(100)
    call(breaker, 100)
    call(breaker, 100)
    assert [breaker.admit(100) is not None for _ in range(3)] == [True, False, False]


def test_probes_under_way_when_one_fails_take_no_place_of_the_next_ones():
    breaker = half_open(100)
    failing, *late = [permit(breaker, 100) for _ in range(3)]
    breaker.record(failing, FAILED, 0.1, 100)
    for old in late:
        breaker.give_back(old)
    assert [breaker.admit(110) is not None for _ in range(4)] == [True, True, True, False]


def test_failures_from_before_the_trip_do_not_count_on_the_way_back():
    breaker = Breaker(rules(window_seconds=60), lambda: 0.0)
    breaker.release(0, -1000)
    trip(breaker, 95)
    for _ in range(3):
        call(breaker, 100)
    call(breaker, 100, FAILED)
    assert breaker.phase(100) is Phase.RAMP
    assert breaker.status(100).calls == 1


def test_probes_that_succeed_begin_the_way_back():
    breaker = half_open(100)
    for _ in range(3):
        assert breaker.phase(100) is Phase.HALF_OPEN
        call(breaker, 100)
    assert breaker.phase(100) is Phase.RAMP


def test_probes_may_come_further_apart_than_the_window_is_long():
    breaker = half_open(100)
    for n in range(3):
        call(breaker, 100 + 60 * n)
    assert breaker.phase(220) is Phase.RAMP


def test_one_probe_that_fails_is_enough():
    breaker = half_open(100)
    call(breaker, 100)
    call(breaker, 100, FAILED)
    assert breaker.phase(100) is Phase.OPEN
    assert breaker.status(100).retry_in == pytest.approx(10)


def test_probes_that_all_crawl_are_no_return():
    breaker = half_open(100)
    for _ in range(3):
        call(breaker, 100, GOOD, 0.6)
    assert breaker.phase(100) is Phase.OPEN


def test_one_slow_probe_among_quick_ones_is_forgiven():
    breaker = half_open(100)
    call(breaker, 100, GOOD, 0.6)
    call(breaker, 100)
    call(breaker, 100)
    assert breaker.phase(100) is Phase.RAMP


def test_a_probe_given_back_can_be_given_again():
    breaker = half_open(100)
    permits = [permit(breaker, 100) for _ in range(3)]
    assert breaker.admit(100) is None
    breaker.give_back(permits[0])
    assert breaker.admit(100) is not None
    assert breaker.admit(100) is None


def test_the_way_back_takes_its_steps():
    draws = iter([n / 100 for n in range(100)] * 3)
    breaker = Breaker(rules(), lambda: next(draws))
    breaker.release(0, 0)
    shares = [sum(breaker.admit(now) is not None for _ in range(100)) for now in (0, 4.99, 5)]
    assert shares == [10, 10, 50]
    assert breaker.status(9.99).share == 50
    assert (breaker.status(10).phase, breaker.status(10).share) == (Phase.CLOSED, 100)


def test_success_does_not_skip_steps():
    breaker = Breaker(rules(), lambda: 0.0)
    breaker.release(0, 0)
    for _ in range(1000):
        call(breaker, 4.9)
    assert (breaker.phase(4.9), breaker.status(4.9).share) == (Phase.RAMP, 10)


def test_failures_during_the_way_back_trip_by_the_same_rule():
    breaker = Breaker(rules(), lambda: 0.0)
    breaker.release(0, 0)
    for _ in range(9):
        call(breaker, 1, FAILED)
    assert breaker.phase(1) is Phase.RAMP
    call(breaker, 1, FAILED)
    assert breaker.phase(1) is Phase.OPEN


def test_failures_of_the_way_back_count_on_when_it_is_complete():
    breaker = Breaker(rules(), lambda: 0.0)
    breaker.release(0, 0)
    for _ in range(9):
        call(breaker, 9.5, FAILED)
    call(breaker, 10.5, FAILED)
    assert breaker.phase(10.5) is Phase.OPEN


def test_without_steps_it_is_back_at_once():
    breaker = Breaker(rules(step_seconds=0), middle)
    breaker.release(7, 7)
    assert breaker.status(7).phase is Phase.CLOSED
    assert breaker.admit(7) is not None


def test_an_order_of_an_hour_ago_needs_no_steps():
    breaker = Breaker(rules(), middle)
    breaker.release(3600, 0)
    assert breaker.status(3600).phase is Phase.CLOSED


def test_an_order_of_seven_seconds_ago_is_in_its_second_step():
    breaker = Breaker(rules(), middle)
    breaker.release(107, 100)
    assert breaker.status(107).share == 50
    assert breaker.phase(110) is Phase.CLOSED


def test_an_order_from_the_future_begins_now():
    breaker = Breaker(rules(), middle)
    breaker.release(100, 5000)
    assert breaker.status(100).share == 10
    assert breaker.phase(110) is Phase.CLOSED


def test_an_order_ends_what_ran_and_only_an_order_ends_that():
    breaker = closed()
    breaker.force(50)
    for now in (50, 60, 1e9):
        assert breaker.admit(now) is None
        assert breaker.phase(now) is Phase.FORCED
    breaker.ramp(1e9, 1e9)
    assert breaker.phase(1e9) is Phase.FORCED
    breaker.release(1e9, 1e9)
    assert breaker.phase(1e9) is Phase.RAMP


def test_after_an_order_the_time_open_begins_anew():
    breaker = Breaker(rules(), lambda: 0.0)
    breaker.release(0, -1000)
    trip(breaker, 95)
    call(breaker, 100, FAILED)
    breaker.force(101)
    breaker.release(102, 102)
    trip(breaker, 103)
    assert breaker.status(103).retry_in == pytest.approx(4)


def test_closed_is_dated_from_the_end_of_the_steps_also_when_nobody_looked():
    breaker = Breaker(rules(), middle)
    breaker.release(100, 100)
    assert breaker.status(500).since == 110


def test_forcing_twice_keeps_the_first_instant():
    breaker = closed()
    breaker.force(50)
    breaker.force(60)
    assert breaker.status(70).since == 50


def test_release_is_for_the_forced_alone():
    breaker = closed()
    trip(breaker, 10)
    breaker.release(11, 11)
    assert breaker.phase(11) is Phase.OPEN


def test_more_queries_by_order_take_the_steps_but_do_not_mend_what_tripped():
    breaker = closed()
    breaker.ramp(50, 50)
    assert breaker.phase(50) is Phase.RAMP
    trip(breaker, 100)
    breaker.ramp(101, 101)
    assert breaker.phase(101) is Phase.OPEN
    breaker = half_open(200)
    breaker.ramp(200, 200)
    assert breaker.phase(200) is Phase.HALF_OPEN


def test_what_was_let_through_before_the_trip_says_nothing_about_the_probes():
    breaker = closed()
    late = [permit(breaker, 90) for _ in range(20)]
    trip(breaker, 95)
    assert breaker.phase(100) is Phase.HALF_OPEN
    for old in late:
        breaker.record(old, GOOD, 0.1, 100)
    assert breaker.phase(100) is Phase.HALF_OPEN
    for old in late:
        breaker.record(old, FAILED, 0.1, 100)
        breaker.give_back(old)
    assert breaker.phase(100) is Phase.HALF_OPEN
    assert [breaker.admit(100) is not None for _ in range(4)] == [True, True, True, False]


def test_what_was_let_through_before_an_order_says_nothing_after_it():
    breaker = closed()
    late = [permit(breaker, 1) for _ in range(20)]
    breaker.force(2)
    for old in late:
        breaker.record(old, FAILED, 0.1, 2)
    assert breaker.status(2).calls == 0
    assert breaker.status(2).trips == 0


def test_the_rates_are_those_of_the_window():
    breaker = closed()
    assert breaker.status(0).failure_percent is None
    call(breaker, 1, FAILED, 0.9)
    for _ in range(3):
        call(breaker, 1)
    status = breaker.status(1)
    assert (status.calls, status.failure_percent, status.slow_percent) == (4, 25.0, 25.0)


def test_doubt_begins_beyond_half_of_what_trips():
    breaker = closed()
    for _ in range(12):
        call(breaker, 1)
    assert not breaker.is_doubtful(1)
    for _ in range(4):
        call(breaker, 1, FAILED)
    assert not breaker.is_doubtful(1)  # a quarter, where half trips
    call(breaker, 1, FAILED)
    assert breaker.is_doubtful(1)
    assert not breaker.is_doubtful(12)


def test_a_tripped_probed_or_returning_upstream_is_doubtful():
    breaker = closed()
    trip(breaker, 95)
    assert breaker.is_doubtful(95)
    assert breaker.is_doubtful(100)
    for _ in range(3):
        call(breaker, 100)
    assert breaker.phase(100) is Phase.RAMP
    assert breaker.is_doubtful(109.9)
    assert not breaker.is_doubtful(110)


def test_an_upstream_that_flaps_every_second_does_not_take_us_along():
    """Up one second, down the next, asked 50 times a second: seldom asked, and few changes of phase."""
    breaker, changes, last, asked = closed(), 0, Phase.CLOSED, 0
    for tick in range(50 * 300):
        now = tick / 50
        given = breaker.admit(now)
        if given is not None:
            asked += 1
            breaker.record(given, FAILED if int(now) % 2 else GOOD, 0.1, now)
        phase = breaker.phase(now)
        changes, last = changes + (phase is not last), phase
    assert breaker.status(300).trips <= 12
    assert changes <= 40
    assert asked < 50 * 300 / 4
