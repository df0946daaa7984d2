"""Whether the upstream may be asked now. Pure: `now` is monotonic seconds, chance a function from 0 to 1.

Why this one is our own: docs/adr/0009-breaker.md. Five phases: `closed` (asked for everything), `open` (tripped: left
alone for a while), `half_open` (a few probes), `ramp` (10, then 50 % of the queries), `forced` (an order says that it
is not to be asked). Forced and tripped never pass for each other: an order alone ends what an order began.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from service.upstream.window import Tally, Window

#: Percent of the queries in each step of the way back, before all of them.
RAMP_SHARES: Final = (10, 50)
#: How far the time open is spread, as a share of it either way: workers that tripped together do not probe together.
SPREAD: Final = 0.2
#: Beyond it doubling changes nothing: the most has long been reached.
_DOUBLINGS: Final = 32


class Phase(StrEnum):
    """Where the breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RAMP = "ramp"
    FORCED = "forced"


class Outcome(StrEnum):
    """How a call ended. A `no` of the upstream is a good call."""

    GOOD = "good"
    FAILED = "failed"


class Rules(msgspec.Struct, frozen=True):
    """When it trips and how it comes back (docs/settings.md, `[upstream]`): seconds, percent, counts."""

    window_seconds: float
    minimum_calls: int
    failure_percent: int
    slow_percent: int
    slow_seconds: float
    open_seconds: float
    open_seconds_most: float
    probe_calls: int
    step_seconds: float


class Permit(msgspec.Struct, frozen=True, gc=False):
    """Leave for one call. What becomes of it counts only in the generation that gave it."""

    generation: int


class BreakerStatus(msgspec.Struct, frozen=True):
    """How the breaker stands at an instant.

    `share` is the percent of queries it lets through (0 while it probes), `since` the monotonic second its phase
    began. The rates are those of the `calls` in the window, None where there are none. `retry_in` seconds until the
    next probes, None unless open. `trips` counts since the start.
    """

    phase: Phase
    share: int
    since: float
    calls: int
    failure_percent: float | None
    slow_percent: float | None
    retry_in: float | None
    trips: int


class Breaker:
    """The state machine of one upstream. It begins forced: nobody is asked before an order was seen to allow it.

    Every permit must come back, by `record` or by `give_back`, or probes run out.
    """

    def __init__(self, rules: Rules, chance: Callable[[], float]) -> None:
        self._rules = rules
        self._chance = chance
        self._window = Window(rules.window_seconds)
        self._phase = Phase.FORCED
        self._since = 0.0
        self._generation = 0
        self._retry_at = 0.0
        self._probing = 0
        self._probed = Tally()
        self._trips = 0
        self._in_a_row = 0

    def admit(self, now: float) -> Permit | None:
        """Leave to ask the upstream now; None where the snapshot is to answer."""
        phase = self.phase(now)
        if phase in (Phase.FORCED, Phase.OPEN):
            return None
        if phase is Phase.RAMP and self._chance() * 100 >= self._share(now):
            return None
        if phase is Phase.HALF_OPEN:
            if self._probing + self._probed.calls >= self._rules.probe_calls:
                return None
            self._probing += 1
        return Permit(self._generation)

    def record(self, permit: Permit, outcome: Outcome, seconds: float, now: float) -> None:
        """How a call of so many seconds ended. One let through in an earlier generation says nothing any more."""
        phase = self.phase(now)
        if permit.generation != self._generation:
            return
        failed, slow = outcome is Outcome.FAILED, seconds > self._rules.slow_seconds
        self._window.add(now, failed=failed, slow=slow)
        if phase is Phase.HALF_OPEN:
            # Counted apart: at night the probes come further apart than the window is long.
            self._probing -= 1
            self._probed.count(failed=failed, slow=slow)
            self._judge_probes(now)
        elif self._is_failing(self._window.tally(now)):
            self._trip(now)

    def give_back(self, permit: Permit) -> None:
        """A call that was never made, or broken off by ourselves: it says nothing."""
        if permit.generation == self._generation and self._phase is Phase.HALF_OPEN:
            self._probing -= 1

    def force(self, now: float) -> None:
        """An order: the upstream is not asked, however well it does."""
        if self._phase is not Phase.FORCED:
            self._enter(Phase.FORCED, now)

    def release(self, now: float, since: float) -> None:
        """The order is over since that instant: from then on the steps of the way back run. Only forced is released."""
        if self._phase is Phase.FORCED:
            self._enter(Phase.RAMP, now, min(since, now))
            self._in_a_row = 0

    def ramp(self, now: float, since: float) -> None:
        """More queries may ask it, by an order of that instant: the steps run again. A tripped one stays tripped."""
        if self.phase(now) in (Phase.CLOSED, Phase.RAMP):
            self._enter(Phase.RAMP, now, min(since, now))

    def phase(self, now: float) -> Phase:
        """The phase, after what the passing of time alone has changed."""
        if self._phase is Phase.OPEN and now >= self._retry_at:
            self._enter(Phase.HALF_OPEN, now)
        elif self._phase is Phase.RAMP and now - self._since >= self._ramp_seconds:
            # The same calls go on: their generation and their window do too.
            self._phase, self._since = Phase.CLOSED, self._since + self._ramp_seconds
        return self._phase

    def is_doubtful(self, now: float) -> bool:
        """Whether a negative answer is to be mistrusted: not closed, or failures beyond half of what trips it."""
        if self.phase(now) is not Phase.CLOSED:
            return True
        tally = self._window.tally(now)
        return tally.failed * 200 > self._rules.failure_percent * tally.calls

    def status(self, now: float) -> BreakerStatus:
        """How it stands."""
        phase, tally = self.phase(now), self._window.tally(now)
        return BreakerStatus(
            phase=phase,
            share=self._share(now),
            since=self._since,
            calls=tally.calls,
            failure_percent=100 * tally.failed / tally.calls if tally.calls else None,
            slow_percent=100 * tally.slow / tally.calls if tally.calls else None,
            retry_in=max(0.0, self._retry_at - now) if phase is Phase.OPEN else None,
            trips=self._trips,
        )

    @property
    def _ramp_seconds(self) -> float:
        return len(RAMP_SHARES) * self._rules.step_seconds

    def _share(self, now: float) -> int:
        """Percent of the queries let through; called once the phase is up to date."""
        if self._phase is Phase.RAMP:
            step = int((now - self._since) / self._rules.step_seconds)
            return RAMP_SHARES[max(0, min(step, len(RAMP_SHARES) - 1))]
        return 100 if self._phase is Phase.CLOSED else 0

    def _judge_probes(self, now: float) -> None:
        """One that fails is enough to wait again; all of them decide whether it is quick enough to return to."""
        complete = self._probed.calls >= self._rules.probe_calls
        if self._probed.failed or (complete and self._is_slow(self._probed)):
            self._trip(now)
        elif complete:
            self._enter(Phase.RAMP, now)

    def _is_failing(self, tally: Tally) -> bool:
        if tally.calls < self._rules.minimum_calls:
            return False
        return tally.failed * 100 >= self._rules.failure_percent * tally.calls or self._is_slow(tally)

    def _is_slow(self, tally: Tally) -> bool:
        return tally.slow * 100 >= self._rules.slow_percent * tally.calls

    def _trip(self, now: float) -> None:
        """Leave it alone, twice as long as before unless it had been well for a whole window."""
        if self._phase is Phase.CLOSED and now - self._since >= self._rules.window_seconds:
            self._in_a_row = 0
        doubled = self._rules.open_seconds * 2 ** min(self._in_a_row, _DOUBLINGS)
        # The most holds with the spread: at the most, too, workers are to differ.
        seconds = min(doubled, self._rules.open_seconds_most / (1 + SPREAD))
        self._enter(Phase.OPEN, now)
        self._retry_at = now + seconds * (1 - SPREAD + 2 * SPREAD * self._chance())
        self._trips += 1
        self._in_a_row += 1

    def _enter(self, phase: Phase, now: float, since: float | None = None) -> None:
        self._phase, self._since = phase, now if since is None else since
        self._generation += 1
        self._probing = 0
        self._probed = Tally()
        self._window.clear()
