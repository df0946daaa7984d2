"""The port to the upstream: its answer where it has one that counts, None where the snapshot is to answer.

Nothing here waits longer than one question takes, and nothing raises because the upstream is in trouble. A negative
from an upstream in trouble is not an answer: a service that half works says "unknown" or "closed" of people it cannot
see, and a wrong "no" costs a patient more than an answer from the snapshot.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog

from service.clock import Clock
from service.errors import UpstreamError
from service.rights.heard import Consulted, Heard, Upstream
from service.rights.model import Query, SourceKind, Status
from service.rights.question import identity
from service.settings import UpstreamSettings
from service.upstream.breaker import Breaker, Outcome, Permit, Phase, Rules
from service.upstream.client import Client
from service.upstream.kept import Kept

_LOG: Final = structlog.get_logger(__name__)
_SECRET_BYTES: Final = 32
#: The code of a fault that is ours: whatever a call raised that is no `UpstreamError`.
_INTERNAL: Final = "internal"


class UpstreamStatus(msgspec.Struct, frozen=True):
    """How things stand with the upstream, for status, readiness and metrics. Counts are since the start.

    `phase` and `share` (percent of the queries let through) are the breaker's, `since` when its phase began; rates
    in percent of the `calls` in its window, None where there are none; `retry_in` seconds, None unless open. `asked`
    calls were made, `failures` of them by error code; `mistrusted` negatives were not taken; `crowded` questions
    found `in_flight` at its limit.
    """

    configured: bool
    phase: str
    share: int
    since: dt.datetime
    calls: int
    failure_percent: float | None
    slow_percent: float | None
    retry_in: float | None
    trips: int
    asked: int
    failures: Mapping[str, int]
    last_error: str | None
    last_error_at: dt.datetime | None
    mistrusted: int
    crowded: int
    kept: int
    in_flight: int


class Consultant:
    """Asks the upstream for one worker. `client` None: there is none. It begins forced, until `follow` says live."""

    def __init__(self, settings: UpstreamSettings, client: Upstream | None, clock: Clock, breaker: Breaker) -> None:
        self._most = settings.in_flight
        self._client = client
        self._clock = clock
        self._breaker = breaker
        self._kept = Kept(settings.cache_seconds, settings.cache_entries, os.urandom(_SECRET_BYTES))
        self._calls: dict[str, asyncio.Task[Heard | None]] = {}
        self._running: set[asyncio.Task[Heard | None]] = set()
        self._era = 0
        self._followed: tuple[dt.datetime | None, int | None] | None = None
        self._said = Phase.FORCED
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._last_error: tuple[str, dt.datetime] | None = None

    def is_silent(self) -> bool:
        """Whether `ask` would answer nothing now, whatever the question: it is left alone, and nothing is kept.

        So that while it is broken an answer costs no more than one of the snapshot alone.
        """
        resting = self._breaker.phase(self._clock.monotonic()) in (Phase.OPEN, Phase.FORCED)
        return resting and self._kept.is_empty(self._clock.now())

    async def ask(self, caller: str, query: Query) -> Consulted | None:
        """What the upstream says to a client's question, within `upstream.total_ms`; None: answer from the snapshot.

        `caller` is the client's id: an answer is kept for, and shared with, nobody else.
        """
        if self._client is None or identity(query) is None:
            return None
        key = self._kept.key(caller, query)
        known = await self._kept.get(key, self._clock.now())
        if known is not None:
            return Consulted(SourceKind.CACHE, known)
        call = self._calls.get(key) or self._call(self._client, key, query)
        if call is None:
            return None
        # Waited for from outside: a caller who hangs up takes the answer away neither from the others who asked the
        # same nor from the breaker, and a call that is broken off breaks off nobody.
        await asyncio.wait((call,))
        heard = None if call.cancelled() else call.result()
        return None if heard is None else Consulted(SourceKind.UPSTREAM, heard)

    def follow(self, mode_live_since: dt.datetime | None, order_version: int | None) -> None:
        """What the orders say: since when a scope has been `live` (the latest; None: none is), and their version.

        Without `live` it is forced. A worker that finds `live` when it starts counts the steps from the order, so that
        an hour later it takes none; one that sees `live` come takes them from now, also where an end uncovered an old
        order. Each change forgets what was kept.
        """
        if (mode_live_since, order_version) == self._followed:
            return
        before, self._followed = self._followed, (mode_live_since, order_version)
        self._kept.forget_all()
        self._calls.clear()
        self._era += 1
        now = self._clock.monotonic()
        if mode_live_since is None:
            self._breaker.force(now)
        elif before is None:
            self._breaker.release(now, now - (self._clock.now() - mode_live_since).total_seconds())
        elif before[0] is None:
            self._breaker.release(now, now)
        elif mode_live_since != before[0]:
            # Perhaps for more scopes: steps too many cost less than everybody at once.
            self._breaker.ramp(now, now)
        self._say(now)

    def status(self) -> UpstreamStatus:
        """How it stands."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        breaker = self._breaker.status(monotonic)
        error, error_at = self._last_error or (None, None)
        return UpstreamStatus(
            configured=self._client is not None,
            phase=breaker.phase.value,
            share=breaker.share,
            since=now - dt.timedelta(seconds=monotonic - breaker.since),
            calls=breaker.calls,
            failure_percent=breaker.failure_percent,
            slow_percent=breaker.slow_percent,
            retry_in=breaker.retry_in,
            trips=breaker.trips,
            asked=self._counts["asked"],
            failures=dict(self._failures),
            last_error=error,
            last_error_at=error_at,
            mistrusted=self._counts["mistrusted"],
            crowded=self._counts["crowded"],
            kept=self._kept.count(now),
            in_flight=len(self._running),
        )

    async def close(self) -> None:
        """Break off what is under way, and close the connections."""
        running = list(self._running)
        for call in running:
            call.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._kept.forget_all()
        if self._client is not None:
            await self._client.close()

    def _call(self, client: Upstream, key: str, query: Query) -> asyncio.Task[Heard | None] | None:
        """A new call that others with the same question join; None where none may be made now."""
        if len(self._running) >= self._most:
            self._counts["crowded"] += 1
            return None
        now = self._clock.monotonic()
        permit = self._breaker.admit(now)
        self._say(now)
        if permit is None:
            return None
        call = asyncio.create_task(self._ask(client, key, query, permit, self._era))
        self._calls[key] = call
        self._running.add(call)
        call.add_done_callback(lambda done: self._over(key, done))
        return call

    def _over(self, key: str, call: asyncio.Task[Heard | None]) -> None:
        self._running.discard(call)
        if self._calls.get(key) is call:
            del self._calls[key]

    async def _ask(self, client: Upstream, key: str, query: Query, permit: Permit, era: int) -> Heard | None:
        """One call, and what becomes of its permit. Never raises but when it is broken off."""
        started = self._clock.monotonic()
        self._counts["asked"] += 1
        heard = None
        try:
            heard = await client.ask(query)
        except asyncio.CancelledError:
            self._breaker.give_back(permit)
            raise
        except UpstreamError as error:
            self._note(error.code)
        except Exception as error:  # noqa: BLE001 - whoever asked is answered from the snapshot
            # Its type alone: its text might hold what was asked.
            _LOG.error("upstream_call_broke", error=type(error).__name__)
            self._note(_INTERNAL)
        now = self._clock.monotonic()
        self._breaker.record(permit, Outcome.FAILED if heard is None else Outcome.GOOD, now - started, now)
        self._say(now)
        return None if heard is None else await self._trusted(heard, key, now, era)

    async def _trusted(self, heard: Heard, key: str, now: float, era: int) -> Heard | None:
        """An answer that may be given, kept unless an order came in between; None for one not to be trusted."""
        if self._breaker.phase(now) is Phase.FORCED:
            return None
        if heard.status is not Status.OPEN and self._breaker.is_doubtful(now):
            self._counts["mistrusted"] += 1
            return None
        if era == self._era:
            await self._kept.keep(key, heard, self._clock.now())
        return heard

    def _note(self, code: str) -> None:
        self._failures[code] += 1
        self._last_error = code, self._clock.now()

    def _say(self, now: float) -> None:
        """One line in the log for each change of phase."""
        phase = self._breaker.phase(now)
        if phase is self._said:
            return
        status, before, self._said = self._breaker.status(now), self._said, phase
        say = _LOG.warning if phase is Phase.OPEN else _LOG.info
        say(
            "upstream_phase",
            phase=phase.value,
            before=before.value,
            trips=status.trips,
            retry_in=None if status.retry_in is None else round(status.retry_in, 1),
            last_error=None if self._last_error is None else self._last_error[0],
        )


def consultant(settings: UpstreamSettings, mint: Callable[[], str] | None, clock: Clock) -> Consultant:
    """The consultant of a worker, as its settings say; without `upstream.url` one that never has an answer.

    `mint` makes tokens to show the upstream, None where it takes none. Raises `SettingsError`.
    """
    client = Client(settings, mint) if settings.url else None
    return Consultant(settings, client, clock, Breaker(breaker_rules(settings), random.random))


def breaker_rules(settings: UpstreamSettings) -> Rules:
    """The breaker's rules as `[upstream]` says them."""
    return Rules(
        window_seconds=settings.window_seconds,
        minimum_calls=settings.minimum_calls,
        failure_percent=settings.failure_percent,
        slow_percent=settings.slow_percent,
        slow_seconds=settings.slow_ms / 1000,
        open_seconds=settings.open_seconds,
        open_seconds_most=settings.open_seconds_most,
        probe_calls=settings.probe_calls,
        step_seconds=settings.step_seconds,
    )
