"""What holds of the breaker whatever happens, in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from service.upstream.breaker import SPREAD, Breaker, Outcome, Permit, Phase
from tests.unit.upstream.rules import rules

MOVES = {
    (Phase.CLOSED, Phase.OPEN),
    (Phase.CLOSED, Phase.RAMP),
    (Phase.OPEN, Phase.HALF_OPEN),
    (Phase.HALF_OPEN, Phase.OPEN),
    (Phase.HALF_OPEN, Phase.RAMP),
    (Phase.HALF_OPEN, Phase.CLOSED),  # where steps take no time
    (Phase.RAMP, Phase.OPEN),
    (Phase.RAMP, Phase.CLOSED),
    (Phase.FORCED, Phase.RAMP),
    (Phase.FORCED, Phase.CLOSED),  # released long after the order
    (Phase.CLOSED, Phase.FORCED),
    (Phase.OPEN, Phase.FORCED),
    (Phase.HALF_OPEN, Phase.FORCED),
    (Phase.RAMP, Phase.FORCED),
}


class BreakerLaws(RuleBasedStateMachine):
    """Calls that come, end late or never, orders, and time."""

    permits = Bundle("permits")

    @initialize(probes=st.integers(1, 4), step=st.sampled_from([0.0, 1.0, 5.0]), minimum=st.integers(1, 6))
    def begin(self, probes: int, step: float, minimum: int) -> None:
        self.rules = rules(probe_calls=probes, step_seconds=step, minimum_calls=minimum)
        self.now = 1000.0
        self.draw = 0.5
        self.breaker = Breaker(self.rules, lambda: self.draw)
        self.seen = Phase.FORCED
        self.ordered_live = False
        self.opened_at = 0.0
        self.probes_out: set[int] = set()
        self.trips = 0

    def look(self) -> Phase:
        """The phase now, having checked the move to it."""
        phase = self.breaker.phase(self.now)
        assert phase is self.seen or (self.seen, phase) in MOVES
        if phase is not self.seen and phase is Phase.OPEN:
            self.opened_at = self.now
        if phase is not Phase.HALF_OPEN or self.seen is not Phase.HALF_OPEN:
            self.probes_out = set()
        self.seen = phase
        return phase

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    @rule(target=permits, draw=st.floats(0, 1, exclude_max=True))
    def ask(self, draw: float) -> Any:
        self.draw = draw
        phase = self.look()
        share = self.breaker.status(self.now).share
        given = self.breaker.admit(self.now)
        if phase in (Phase.FORCED, Phase.OPEN):
            assert given is None
        elif phase in (Phase.CLOSED, Phase.RAMP):
            assert (given is not None) == (draw * 100 < share)
        elif given is not None:
            self.probes_out.add(id(given))
            assert len(self.probes_out) <= self.rules.probe_calls
        return given

    @rule(permit=consumes(permits), outcome=st.sampled_from(Outcome), seconds=st.sampled_from([0.1, 0.7]))
    def end(self, permit: Permit | None, outcome: Outcome, seconds: float) -> None:
        if permit is None:
            return
        before, trips = self.look(), self.breaker.status(self.now).trips
        stale = permit.generation != self.breaker._generation
        tally = self.breaker.status(self.now)
        self.breaker.record(permit, outcome, seconds, self.now)
        self.probes_out.discard(id(permit))
        after = self.look()
        status = self.breaker.status(self.now)
        if stale:
            assert (after, status) == (before, tally)
        if status.trips > trips:
            assert after is Phase.OPEN
        if before is Phase.HALF_OPEN and after is Phase.OPEN:
            assert outcome is Outcome.FAILED or seconds > self.rules.slow_seconds
        if before in (Phase.CLOSED, Phase.RAMP) and after is Phase.OPEN:
            assert tally.calls + 1 >= self.rules.minimum_calls

    @rule(permit=consumes(permits))
    def break_off(self, permit: Permit | None) -> None:
        if permit is None:
            return
        phase = self.look()
        self.breaker.give_back(permit)
        self.probes_out.discard(id(permit))
        assert self.look() is phase

    @rule()
    def order_degraded(self) -> None:
        self.breaker.force(self.now)
        self.ordered_live = False
        assert self.look() is Phase.FORCED

    @rule(ago=st.floats(0, 30))
    def order_live(self, ago: float) -> None:
        was = self.look()
        self.breaker.release(self.now, self.now - ago)
        self.ordered_live = True
        assert self.look() is not Phase.FORCED
        assert was is Phase.FORCED or self.seen is was

    @rule(ago=st.floats(0, 30))
    def order_more(self, ago: float) -> None:
        was = self.look()
        self.breaker.ramp(self.now, self.now - ago)
        assert (self.look() in (Phase.RAMP, Phase.CLOSED)) == (was in (Phase.RAMP, Phase.CLOSED))

    @precondition(lambda self: self.seen is Phase.OPEN)
    @rule()
    def wait_until_it_is_asked_again(self) -> None:
        retry_in = self.breaker.status(self.now).retry_in
        if self.look() is not Phase.OPEN or retry_in is None:
            return
        self.now += retry_in + 1e-6
        assert self.look() is Phase.HALF_OPEN

    @invariant()
    def is_forced_exactly_while_no_order_says_live(self) -> None:
        assert (self.look() is Phase.FORCED) == (not self.ordered_live)

    @invariant()
    def says_the_truth_of_itself(self) -> None:
        status = self.breaker.status(self.now)
        assert status.share in {Phase.CLOSED: {100}, Phase.RAMP: {10, 50}}.get(status.phase, {0})
        assert (status.retry_in is not None) == (status.phase is Phase.OPEN)
        assert status.trips >= self.trips
        self.trips = status.trips
        if status.retry_in is not None:
            waited = self.now - self.opened_at + status.retry_in
            assert self.rules.open_seconds * (1 - SPREAD) - 1e-6 <= waited <= self.rules.open_seconds_most + 1e-6


TestBreakerLaws = BreakerLaws.TestCase
