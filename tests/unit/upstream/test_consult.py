from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from service.errors import UpstreamMalformed, UpstreamUnavailable
from service.rights.heard import Consulted, Heard
from service.rights.model import Query, SourceKind, Status
from service.settings import UpstreamSettings
from service.upstream.breaker import Breaker
from service.upstream.client import Client
from service.upstream.consult import Consultant, breaker_rules, consultant
from tests.unit.upstream.answers import QUERY, another, yes
from tests.unit.upstream.servers import hangs, http, says, until, upstream

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
LONG_AGO = NOW - dt.timedelta(hours=1)
OPEN = Heard(Status.OPEN)
NO = Heard(Status.UNKNOWN)
CLOSED = Heard(Status.CLOSED)


class HandClock:
    """Both clocks go on together, by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.wall = NOW

    def now(self) -> dt.datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += dt.timedelta(seconds=seconds)


class Upstream:
    """Says what it is told to; where `gate` is closed, everybody waits."""

    def __init__(self) -> None:
        self.says: Heard | BaseException = OPEN
        self.asked: list[Query] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.closed = False

    async def ask(self, query: Query) -> Heard:
        self.asked.append(query)
        await self.gate.wait()
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says

    async def close(self) -> None:
        self.closed = True


class Desk:
    """A consultant, its clock and its upstream."""

    def __init__(self, chance: Callable[[], float] = lambda: 0.0, **settings: Any) -> None:
        self.settings = UpstreamSettings(url="http://127.0.0.1", **{"minimum_calls": 10, **settings})
        self.clock, self.upstream = HandClock(), Upstream()
        breaker = Breaker(breaker_rules(self.settings), chance)
        self.consultant = Consultant(self.settings, self.upstream, self.clock, breaker)
        self.people = 0

    def live(self) -> Desk:
        self.consultant.follow(LONG_AGO, 1)
        return self

    async def ask(self, query: Query = QUERY, caller: str = "pharmacy-1") -> Consulted | None:
        return await self.consultant.ask(caller, query)

    async def ask_anew(self) -> Consulted | None:
        """Ask about somebody nobody asked about."""
        self.people += 1
        return await self.ask(msgspec.structs.replace(QUERY, member=str(self.people), amc="0990000011", nir=None))

    async def fail(self, times: int) -> None:
        said, self.upstream.says = self.upstream.says, UpstreamUnavailable("no")
        for _ in range(times):
            assert await self.ask_anew() is None
        self.upstream.says = said

    @property
    def phase(self) -> str:
        return self.consultant.status().phase


async def test_an_answer_of_the_upstream():
    assert await Desk().live().ask() == Consulted(SourceKind.UPSTREAM, OPEN)


async def test_the_same_again_is_kept_for_the_one_who_asked():
    desk = Desk().live()
    await desk.ask()
    assert await desk.ask() == Consulted(SourceKind.CACHE, OPEN)
    assert await desk.ask(caller="pharmacy-2") == Consulted(SourceKind.UPSTREAM, OPEN)
    assert len(desk.upstream.asked) == 2
    assert desk.consultant.status().kept == 2


async def test_before_any_order_nobody_is_asked():
    desk = Desk()
    assert await desk.ask() is None
    desk.consultant.follow(None, None)
    assert await desk.ask() is None
    assert (desk.upstream.asked, desk.phase) == ([], "forced")


async def test_a_fictitious_nir_is_never_asked_about():
    desk = Desk().live()
    assert await desk.ask(msgspec.structs.replace(QUERY, nir="2555555000030")) is None
    assert desk.upstream.asked == []


@pytest.mark.parametrize("error", [UpstreamUnavailable("x"), UpstreamMalformed("x"), RuntimeError(QUERY.nir)])
async def test_whatever_fails_is_answered_from_the_snapshot_and_counted(error: Exception):
    desk = Desk().live()
    desk.upstream.says = error
    with capture_logs() as logs:
        assert await desk.ask() is None
    code = getattr(error, "code", "internal")
    status = desk.consultant.status()
    assert (status.failures, status.last_error, status.last_error_at) == ({code: 1}, code, NOW)
    assert (status.asked, status.calls, status.failure_percent) == (1, 1, 100.0)
    assert str(QUERY.nir) not in str(logs)


async def test_a_failure_is_not_kept():
    desk = Desk().live()
    desk.upstream.says = UpstreamUnavailable("no")
    assert await desk.ask() is None
    desk.upstream.says = OPEN
    assert await desk.ask() == Consulted(SourceKind.UPSTREAM, OPEN)


async def test_a_tripped_upstream_is_left_alone_but_what_was_kept_is_given():
    desk = Desk().live()
    await desk.ask()
    await desk.fail(10)
    assert desk.phase == "open"
    asked = len(desk.upstream.asked)
    assert await desk.ask_anew() is None
    assert len(desk.upstream.asked) == asked
    assert await desk.ask() == Consulted(SourceKind.CACHE, OPEN)


async def test_it_returns_in_steps():
    draws = iter([0.5] + [n / 100 for n in range(100)] * 9)
    desk = Desk(chance=lambda: next(draws)).live()
    await desk.fail(10)
    desk.clock.wait(4.9)
    assert await desk.ask_anew() is None
    desk.clock.wait(0.2)
    for _ in range(3):
        assert await desk.ask_anew() is not None
    shares = []
    for pause in (0, 5, 5):
        desk.clock.wait(pause)
        shares.append(sum([await desk.ask_anew() is not None for _ in range(100)]))
    assert shares == [10, 50, 100]
    assert desk.phase == "closed"


async def test_two_identical_questions_at_once_share_one_call():
    desk = Desk().live()
    desk.upstream.gate.clear()
    calls = [asyncio.create_task(desk.ask()) for _ in range(5)]
    other = asyncio.create_task(desk.ask(caller="pharmacy-2"))
    await until(lambda: len(desk.upstream.asked) == 2)
    assert desk.consultant.status().in_flight == 2
    desk.upstream.gate.set()
    assert await asyncio.gather(*calls, other) == [Consulted(SourceKind.UPSTREAM, OPEN)] * 6
    assert (len(desk.upstream.asked), desk.consultant.status().in_flight) == (2, 0)


async def test_a_caller_who_hangs_up_takes_nothing_from_the_others():
    desk = Desk().live()
    desk.upstream.gate.clear()
    first, second = asyncio.create_task(desk.ask()), asyncio.create_task(desk.ask())
    await until(lambda: bool(desk.upstream.asked))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    desk.upstream.gate.set()
    assert await second == Consulted(SourceKind.UPSTREAM, OPEN)


async def test_callers_who_hang_up_during_the_probes_leave_no_permit_behind():
    desk = Desk().live()
    await desk.fail(10)
    desk.clock.wait(6)
    desk.upstream.gate.clear()
    calls = [asyncio.create_task(desk.ask_anew()) for _ in range(3)]
    await until(lambda: len(desk.upstream.asked) == 13)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    desk.upstream.gate.set()
    await until(lambda: desk.consultant.status().in_flight == 0)
    assert desk.phase == "ramp"


async def test_beyond_so_many_at_once_the_snapshot_answers_at_once():
    desk = Desk(in_flight=3).live()
    desk.upstream.gate.clear()
    calls = [asyncio.create_task(desk.ask_anew()) for _ in range(3)]
    await until(lambda: len(desk.upstream.asked) == 3)
    assert [await desk.ask_anew() for _ in range(50)] == [None] * 50
    assert desk.consultant.status().crowded == 50
    desk.upstream.gate.set()
    assert None not in await asyncio.gather(*calls)
    assert await desk.ask_anew() is not None


@pytest.mark.parametrize("heard", [NO, CLOSED])
async def test_a_negative_of_a_sound_upstream_is_an_answer_and_kept(heard: Heard):
    desk = Desk().live()
    desk.upstream.says = heard
    assert await desk.ask() == Consulted(SourceKind.UPSTREAM, heard)
    assert await desk.ask() == Consulted(SourceKind.CACHE, heard)


@pytest.mark.parametrize("heard", [NO, CLOSED])
async def test_a_negative_of_a_failing_upstream_is_no_answer_and_not_kept(heard: Heard):
    desk = Desk().live()
    desk.upstream.says = heard
    await desk.fail(3)  # of five: beyond half of what trips it, and too few to trip it
    await desk.ask_anew()
    assert desk.phase == "closed"
    assert await desk.ask() is None
    assert desk.consultant.status().mistrusted == 2
    desk.clock.wait(11)
    assert await desk.ask() == Consulted(SourceKind.UPSTREAM, heard)


async def test_a_positive_of_a_failing_upstream_is_an_answer():
    desk = Desk().live()
    await desk.fail(3)
    assert await desk.ask() == Consulted(SourceKind.UPSTREAM, OPEN)


async def test_negatives_of_probes_and_of_the_way_back_are_no_answers():
    desk = Desk().live()
    desk.upstream.says = NO
    await desk.fail(10)
    desk.clock.wait(6)
    for phase in ("half_open", "half_open", "half_open", "ramp", "ramp"):
        assert desk.phase == phase
        assert await desk.ask_anew() is None
    desk.clock.wait(11)
    assert await desk.ask_anew() is not None


async def test_an_order_that_ends_live_forgets_what_was_kept_and_asks_nobody():
    desk = Desk().live()
    await desk.ask()
    desk.consultant.follow(None, 2)
    assert desk.phase == "forced"
    assert await desk.ask() is None
    assert desk.consultant.status().kept == 0


async def test_what_comes_back_after_the_order_is_no_answer_and_not_kept():
    desk = Desk().live()
    desk.upstream.gate.clear()
    call = asyncio.create_task(desk.ask())
    await until(lambda: bool(desk.upstream.asked))
    desk.consultant.follow(None, 2)
    desk.upstream.gate.set()
    assert await call is None
    assert desk.consultant.status().kept == 0


async def test_what_was_asked_before_another_order_is_an_answer_and_not_kept():
    desk = Desk().live()
    desk.upstream.gate.clear()
    call = asyncio.create_task(desk.ask())
    await until(lambda: bool(desk.upstream.asked))
    desk.consultant.follow(LONG_AGO, 2)
    desk.upstream.gate.set()
    assert await call == Consulted(SourceKind.UPSTREAM, OPEN)
    assert desk.consultant.status().kept == 0


async def test_what_was_asked_before_another_order_is_not_shared_after_it():
    desk = Desk().live()
    desk.upstream.gate.clear()
    call = asyncio.create_task(desk.ask())
    await until(lambda: bool(desk.upstream.asked))
    desk.consultant.follow(LONG_AGO, 2)
    later = asyncio.create_task(desk.ask())
    await until(lambda: len(desk.upstream.asked) == 2)
    desk.upstream.gate.set()
    assert await call == await later == Consulted(SourceKind.UPSTREAM, OPEN)
    assert desk.consultant.status().kept == 1


async def test_live_newly_ordered_takes_its_steps_from_the_order_on():
    desk = Desk()
    desk.consultant.follow(None, None)
    desk.consultant.follow(NOW, 1)
    assert (desk.phase, desk.consultant.status().share) == ("ramp", 10)
    desk.clock.wait(5)
    assert desk.consultant.status().share == 50
    desk.clock.wait(5)
    assert desk.phase == "closed"


async def test_a_worker_that_starts_later_joins_the_steps_where_they_are():
    desk = Desk()
    desk.consultant.follow(NOW - dt.timedelta(seconds=7), 1)
    assert desk.consultant.status().share == 50
    assert desk.consultant.status().since == NOW - dt.timedelta(seconds=7)
    desk = Desk()
    desk.consultant.follow(LONG_AGO, 1)
    assert desk.phase == "closed"


async def test_a_live_that_an_end_uncovers_takes_its_steps_though_it_was_ordered_long_ago():
    desk = Desk().live()
    desk.consultant.follow(None, 2)
    desk.consultant.follow(LONG_AGO, 1)
    assert (desk.phase, desk.consultant.status().share) == ("ramp", 10)


async def test_a_clock_that_steps_back_makes_the_steps_no_longer():
    desk = Desk()
    desk.consultant.follow(NOW + dt.timedelta(hours=1), 1)
    assert desk.phase == "ramp"
    desk.clock.wait(10)
    assert desk.phase == "closed"


@pytest.mark.parametrize("since", [NOW, LONG_AGO - dt.timedelta(hours=1)], ids=["ordered", "uncovered by an end"])
async def test_live_for_other_scopes_takes_the_steps_again(since: dt.datetime):
    desk = Desk().live()
    desk.consultant.follow(since, 2)
    assert (desk.phase, desk.consultant.status().share) == ("ramp", 10)


async def test_the_same_order_seen_again_changes_nothing():
    desk = Desk().live()
    await desk.ask()
    desk.live()
    assert (desk.phase, desk.consultant.status().kept) == ("closed", 1)


async def test_an_order_about_another_scope_forgets_and_takes_no_steps():
    desk = Desk().live()
    await desk.ask()
    desk.consultant.follow(LONG_AGO, 9)
    assert (desk.phase, desk.consultant.status().kept) == ("closed", 0)


async def test_it_is_silent_while_it_is_left_alone_and_nothing_is_kept():
    desk = Desk()
    assert desk.consultant.is_silent()
    desk.live()
    assert not desk.consultant.is_silent()
    await desk.ask()
    await desk.fail(10)
    assert desk.phase == "open"
    assert not desk.consultant.is_silent()  # what was kept may still be given
    desk.clock.wait(desk.settings.cache_seconds)
    while desk.phase != "half_open":
        desk.clock.wait(1)
    assert not desk.consultant.is_silent()
    await desk.fail(1)
    assert (desk.phase, desk.consultant.is_silent()) == ("open", True)


async def test_an_order_does_not_mend_what_tripped():
    desk = Desk().live()
    await desk.fail(10)
    desk.consultant.follow(NOW, 2)
    assert desk.phase == "open"


async def test_each_change_of_phase_is_said_once():
    desk = Desk().live()
    with capture_logs() as logs:
        await desk.fail(10)
        for _ in range(20):
            await desk.ask_anew()
        desk.consultant.follow(None, 2)
    said = [(line["log_level"], line["before"], line["phase"], line["last_error"]) for line in logs]
    assert said == [
        ("warning", "closed", "open", "upstream_unavailable"),
        ("info", "open", "forced", "upstream_unavailable"),
    ]


async def test_the_status_of_one_that_tripped():
    desk = Desk().live()
    await desk.fail(10)
    desk.clock.wait(1)
    status = desk.consultant.status()
    assert (status.configured, status.phase, status.share, status.trips) == (True, "open", 0, 1)
    assert status.since == NOW
    assert status.retry_in == pytest.approx(3)
    assert (status.asked, status.failures) == (10, {"upstream_unavailable": 10})


async def test_a_close_breaks_off_the_calls_and_not_the_callers():
    desk = Desk().live()
    desk.upstream.gate.clear()
    call = asyncio.create_task(desk.ask())
    await until(lambda: bool(desk.upstream.asked))
    await desk.consultant.close()
    assert await call is None
    assert desk.upstream.closed
    assert desk.consultant.status().in_flight == 0


async def test_probes_that_are_broken_off_leave_their_places():
    desk = Desk().live()
    await desk.fail(10)
    desk.clock.wait(6)
    desk.upstream.gate.clear()
    calls = [asyncio.create_task(desk.ask_anew()) for _ in range(3)]
    await until(lambda: len(desk.upstream.asked) == 13)
    await desk.consultant.close()
    assert await asyncio.gather(*calls) == [None] * 3
    desk.upstream.gate.set()
    assert await desk.ask_anew() is not None


async def test_without_an_upstream_there_is_no_answer():
    made = consultant(UpstreamSettings(), None, HandClock())
    made.follow(LONG_AGO, 1)
    assert await made.ask("pharmacy-1", QUERY) is None
    assert not made.status().configured
    await made.close()


async def test_the_rules_are_those_of_the_settings():
    settings = UpstreamSettings(slow_ms=250, window_seconds=7, failure_percent=30)
    rules = breaker_rules(settings)
    assert (rules.slow_seconds, rules.window_seconds, rules.failure_percent) == (0.25, 7, 30)


async def test_with_a_real_upstream():
    async with upstream(says(http(yes(QUERY)))) as server:
        made = consultant(server.settings(), None, HandClock())
        made.follow(LONG_AGO, 1)
        told = await made.ask("pharmacy-1", QUERY)
        assert told is not None
        assert (told.kind, told.heard.status) == (SourceKind.UPSTREAM, Status.OPEN)
        assert await made.ask("pharmacy-1", another(QUERY)) is None  # that answer was about somebody else
        assert made.status().failures == {"upstream_malformed": 1}
        await made.close()


async def test_a_hanging_upstream_under_two_hundred_callers_holds_no_more_than_so_many():
    async with upstream(hangs) as server:
        settings = server.settings(total_ms=300, in_flight=16)
        client, clock = Client(settings, None), HandClock()
        made = Consultant(settings, client, clock, Breaker(breaker_rules(settings), lambda: 0.5))
        made.follow(LONG_AGO, 1)
        for _ in range(3):
            people = [msgspec.structs.replace(QUERY, birth_date=f"1985-05-{n:02}") for n in range(200)]
            assert await asyncio.gather(*(made.ask("p", person) for person in people)) == [None] * 200
            assert made.status().in_flight == 0
        assert server.connections <= 16
        assert made.status().phase == "open"
        assert made.status().asked == 16
        assert made.status().crowded == 184
        await made.close()
