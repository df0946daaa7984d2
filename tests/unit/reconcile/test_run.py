"""A whole run into a directory: what it writes, what it refuses, how it goes on, and what it never writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import OperatorError, UpstreamUnavailable
from service.journal.damage import Evidence
from service.locks import ALONE, locked
from service.reconcile.progress import About
from service.reconcile.report import Report
from service.reconcile.run import Plan, Reconciliation
from service.rights.heard import Heard
from service.rights.model import Query, Status
from tests.unit.journal.journal_node import NOW, Node, officer
from tests.unit.reconcile.recording import Clock, Says, answer, contract, pending, query, record, told

ASKED = [query(n) for n in range(12)]
URL = "https://visiodroits.example"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path / "journal")
    record(made, [pending(one, answer(one, contract("open"), number=n)) for n, one in enumerate(ASKED)])
    return made


def run(node: Node, upstream: Says, *, since: str = "", until: str = "", url: str = URL) -> Report:
    out = node.directory.with_name("out")
    plan = Plan(node.directory, officer(), About(since, until, url), out, rate=1000, at_once=1)
    clock = Clock()
    reconciliation = Reconciliation(plan, clock, clock.sleep)
    return reconciliation.run(upstream, lambda: Evidence(whole=True), lambda _stage, _done, _total: None)


def one_closed(asked: Query) -> Heard:
    return Heard(Status.OPEN, contracts=(told(Status.CLOSED if asked == query(4) else Status.OPEN),))


def broken_after(answers: int) -> Says:
    """An upstream that dies after so many answers."""
    left = iter(range(answers))

    def says(asked: Query) -> Heard:
        if next(left, None) is None:
            raise UpstreamUnavailable("no connection")
        return one_closed(asked)

    return Says(says)


def written(node: Node) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((node.directory.with_name("out") / "report.json").read_bytes())
    return document


def test_a_run_leaves_its_report_its_page_and_nothing_else(node: Node):
    upstream = Says(one_closed)
    run(node, upstream)
    out = node.directory.with_name("out")
    assert {path.name for path in out.iterdir()} == {"report.json", "report.html", ".lock"}
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}
    assert written(node)["verdicts"]["wrongly_open"] == 1
    assert written(node)["verdicts"]["confirmed"] == 11
    assert [one["n"] for one in written(node)["wrongly_open"]] == [4]
    assert written(node)["upstream"] == URL
    assert upstream.closed


def test_a_run_broken_off_goes_on_and_asks_nobody_twice(node: Node):
    with pytest.raises(UpstreamUnavailable, match="5 of 12 answers are compared; the same command goes on from there"):
        run(node, broken_after(5))
    again = Says(one_closed)
    run(node, again)
    assert len(again.asked) == 7
    assert written(node)["answers"] == 12
    assert written(node)["verdicts"]["wrongly_open"] == 1


def test_what_was_answered_after_a_run_began_is_left_to_the_next(node: Node):
    with pytest.raises(UpstreamUnavailable):
        run(node, broken_after(5))
    later = query(99)
    record(node, [pending(later, answer(later))], NOW.replace(day=10))
    assert run(node, Says(one_closed)).answers == 12
    assert written(node)["until"] == "2024-02-06T09:30:12.123Z"


@pytest.mark.parametrize(
    "other", [{"since": "2024-02-05T00:00:00.000Z"}, {"until": "2024-02-07T00:00:00.000Z"}, {"url": "https://other"}]
)
def test_another_run_does_not_go_on_with_this_ones_progress(node: Node, other: dict[str, str]):
    with pytest.raises(UpstreamUnavailable):
        run(node, broken_after(5))
    with pytest.raises(OperatorError, match=f"progress of another run .*asking {URL}"):
        run(node, Says(one_closed), **other)
    run(node, Says(one_closed))


def test_a_report_is_never_overwritten(node: Node):
    run(node, Says(one_closed))
    before = (node.directory.with_name("out") / "report.json").read_bytes()
    with pytest.raises(OperatorError, match="holds a report"):
        run(node, Says(one_closed))
    assert (node.directory.with_name("out") / "report.json").read_bytes() == before


def test_two_runs_do_not_share_a_directory(node: Node):
    out = node.directory.with_name("out")
    out.mkdir()
    with locked(out / ".lock", ALONE), pytest.raises(OperatorError, match="another reconciliation writes"):
        run(node, Says(one_closed))


def test_nothing_to_ask_is_a_report_too(tmp_path: Path):
    (tmp_path / "journal").mkdir()
    empty = Node(tmp_path / "journal")
    upstream = Says(one_closed)
    assert run(empty, upstream).answers == 0
    assert upstream.asked == []


def test_no_question_reaches_the_disk(node: Node):
    with pytest.raises(UpstreamUnavailable):
        run(node, broken_after(5))
    for _ in range(2):
        for path in node.directory.parent.rglob("*"):
            if path.is_file():
                assert b"18505751" not in path.read_bytes(), path
                assert b'"A1"' not in path.read_bytes(), path
        if not (node.directory.with_name("out") / "report.json").exists():
            run(node, Says(one_closed))
