from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.errors import UpstreamMalformed, UpstreamUnavailable
from service.journal.selection import Reading, Selection
from service.reconcile.asking import ATTEMPTS, Asking
from service.reconcile.compare import Verdict
from service.reconcile.journals import Journals
from service.reconcile.pace import STOP_AFTER, Pace
from service.reconcile.progress import About, Progress
from service.reconcile.recorded import Recorded
from service.reconcile.survey import survey
from service.reconcile.tally import Tally
from service.rights.heard import Heard
from service.rights.model import Query, Status
from tests.unit.journal.journal_node import Node, officer
from tests.unit.reconcile.recording import FIRST, Clock, Says, answer, contract, nobody, pending, query, record, told


class Desk:
    """A journal of open answers to the questions given, and a run over it."""

    def __init__(self, folder: Path, asked: list[Query]) -> None:
        self.node = Node(folder / "journal")
        record(self.node, [pending(one, answer(one, contract("open"))) for one in asked])
        self.clock = Clock()
        self.folder = folder

    def journals(self) -> Journals:
        return Journals(Reading(self.node.directory, Selection(), officer()))

    def answers(self) -> list[Recorded]:
        return list(self.journals().recorded())

    def run(self, upstream: Says, *, rate: float = 1000, at_once: int = 4) -> Tally:
        progress = Progress.resume(self.folder) or Progress.begin(self.folder, About("", "", ""))
        with progress:
            repeated = survey(self.journals()).repeated
            asking = Asking(upstream, Pace(rate), progress, repeated, self.clock, self.clock.sleep)
            return asyncio.run(asking.reconcile(self.answers(), at_once, lambda _done: None))


def still_open(_asked: Query) -> Heard:
    return Heard(Status.OPEN, contracts=(told(Status.OPEN),))


def fail(_asked: Query) -> Heard:
    raise UpstreamUnavailable("no connection")


def test_every_answer_is_compared(tmp_path: Path):
    desk = Desk(tmp_path, [query(n) for n in range(5)])
    upstream = Says(lambda asked: still_open(asked) if asked != query(3) else nobody(asked))
    tally = desk.run(upstream)
    assert tally.answers == 5
    assert tally.amcs == {FIRST: {Verdict.CONFIRMED: 4, Verdict.OPEN_NOW_UNKNOWN: 1}}
    assert sorted(upstream.asked, key=str) == [query(n) for n in range(5)]


def test_the_same_question_is_asked_once_and_counts_each_time(tmp_path: Path):
    desk = Desk(tmp_path, [query(1), query(2), query(1), query(1)])
    upstream = Says(still_open)
    assert desk.run(upstream).answers == 4
    assert len(upstream.asked) == 2


@pytest.mark.parametrize("at_once", [1, 8])
def test_no_more_is_asked_than_the_rate_allows(tmp_path: Path, at_once: int):
    desk = Desk(tmp_path, [query(n) for n in range(21)])
    desk.run(Says(still_open), rate=10, at_once=at_once)
    assert desk.clock.seconds == pytest.approx(2.0, abs=0.01)


def test_no_more_are_on_their_way_than_allowed(tmp_path: Path):
    class Slow(Says):
        busy = most = 0

        async def ask(self, asked: Query) -> Heard:
            self.busy += 1
            self.most = max(self.most, self.busy)
            await asyncio.sleep(0.001)
            self.busy -= 1
            return await super().ask(asked)

    upstream = Slow(still_open)
    Desk(tmp_path, [query(n) for n in range(20)]).run(upstream, rate=10_000, at_once=3)
    assert upstream.most == 3


def test_a_question_that_fails_alone_is_set_aside(tmp_path: Path):
    def says(asked: Query) -> Heard:
        if asked == query(2):
            raise UpstreamMalformed("not JSON")
        return still_open(asked)

    desk = Desk(tmp_path, [query(n) for n in range(6)])
    upstream = Says(says)
    tally = desk.run(upstream, rate=10)
    assert tally.answers == 5
    assert [(missed.place.n, missed.code) for missed in tally.unanswered] == [(2, "upstream_malformed")]
    assert upstream.asked.count(query(2)) == ATTEMPTS


def test_a_short_outage_costs_a_pause_and_no_answer(tmp_path: Path):
    failures = iter([True] * 3)
    desk = Desk(tmp_path, [query(n) for n in range(10)])
    tally = desk.run(Says(lambda asked: fail(asked) if next(failures, False) else still_open(asked)))
    assert (tally.answers, tally.unanswered) == (10, [])
    assert sum(desk.clock.slept) >= 1


def test_an_upstream_that_keeps_failing_stops_the_run_which_then_goes_on(tmp_path: Path):
    desk = Desk(tmp_path, [query(n) for n in range(40)])
    left = iter(range(10))
    upstream = Says(lambda asked: still_open(asked) if next(left, None) is not None else fail(asked))
    with pytest.raises(UpstreamUnavailable, match="no connection"):
        desk.run(upstream, at_once=1)
    assert 10 < len(upstream.asked) <= 10 + STOP_AFTER
    again = Says(still_open)
    assert desk.run(again).answers == 40
    assert len(again.asked) == 30


def test_many_on_their_way_notice_one_outage_together(tmp_path: Path):
    desk = Desk(tmp_path, [query(n) for n in range(200)])
    upstream = Says(fail)
    with pytest.raises(UpstreamUnavailable):
        desk.run(upstream, at_once=64)
    # 1 + 2 + 4 + 8 seconds of pause: it was not given up at the first stumble.
    assert sum(desk.clock.slept) >= 15


def test_an_unforeseen_failure_is_not_hidden(tmp_path: Path):
    def says(_asked: Query) -> Heard:
        raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup) as caught:
        Desk(tmp_path, [query()]).run(Says(says))
    assert caught.group_contains(ZeroDivisionError)
