from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path

import pytest

from service.journal.segment import key_path, segment_paths
from service.journal.selection import Reading, Selection
from service.reconcile.compare import Shown
from service.reconcile.journals import Journals, Left
from service.reconcile.recorded import Recorded
from service.reconcile.survey import survey
from service.rights.model import Status
from tests.unit.journal.journal_node import NOW, Node, officer
from tests.unit.reconcile.recording import FIRST, answer, contract, pending, query, record

ALWAYS = Selection()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "journal")


def read(node: Node, period: Selection = ALWAYS, seed: int = 7) -> tuple[Journals, list[Recorded]]:
    journals = Journals(Reading(node.directory, period, officer(seed)))
    return journals, list(journals.recorded())


def test_an_answer_comes_back_with_its_question_and_its_place(node: Node):
    asked = query(3, benefits=("PH7",), amc=FIRST)
    record(node, [pending(asked, answer(asked, contract("open"), contract("closed"), number=9))])
    journals, (recorded,) = read(node)
    assert recorded.query == asked
    assert recorded.said.status is Status.OPEN
    assert recorded.said.contracts == (
        Shown(FIRST, Status.OPEN, "A1", {"PH7": 100}, "TR"),
        Shown(FIRST, Status.CLOSED),
    )
    (path,) = segment_paths(node.directory)
    assert (recorded.place.journal, recorded.place.n) == (path.stem, 0)
    assert recorded.place.id == "018d7892-0009-7000-8000-000000000000"
    assert (recorded.day, recorded.age_days) == ("2024-02-05", 2)
    assert recorded.names == {FIRST: f"Mutuelle {FIRST}"}
    assert not journals.broken_off


def test_the_second_shape_of_identity_comes_back_too(node: Node):
    asked = query(nir=None, member="A1", amc=FIRST)
    record(node, [pending(asked, answer(asked))])
    _, (recorded,) = read(node)
    assert recorded.query == asked
    assert recorded.age_days is None


def test_answers_of_the_upstream_and_fictitious_numbers_are_left(node: Node):
    waiting = [pending(query(n), answer(query(n), kind=kind)) for n, kind in enumerate(("upstream", "cache"))]
    secret = query(nir="2555555123030")
    waiting += [pending(secret, answer(secret)), pending(query(9), answer(query(9)))]
    record(node, waiting)
    journals, recorded = read(node)
    assert [one.query for one in recorded] == [query(9)]
    assert journals.left == Counter({Left.FROM_UPSTREAM: 2, Left.FICTITIOUS_NIR: 1})


def test_only_the_period_asked_for_is_read(node: Node):
    for number in range(3):
        record(node, [pending(query(number), answer(query(number)))], NOW + dt.timedelta(hours=number))
    _, recorded = read(node, Selection(since="2024-02-05T10:30:12.123Z", until="2024-02-05T11:30:12.123Z"))
    assert [one.query for one in recorded] == [query(1)]


def test_a_segment_sealed_to_somebody_else_is_named_and_passed_over(node: Node):
    record(node, [pending(query(), answer(query()))])
    journals, recorded = read(node, seed=8)
    assert recorded == []
    assert journals.sealed_to_others == [segment_paths(node.directory)[0].stem]


@pytest.mark.parametrize("damage", ["line", "key", "header"])
def test_damage_breaks_off_its_segment_and_no_other(node: Node, damage: str):
    for number in range(2):
        record(node, [pending(query(number), answer(query(number)))], NOW + dt.timedelta(hours=number))
    path = segment_paths(node.directory)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "line":
        path.write_bytes(b"".join([lines[0], lines[1].replace(b'"sealed":"', b'"sealed":"AAAA'), *lines[2:]]))
    elif damage == "key":
        key_path(path).unlink()
    else:
        path.write_bytes(b"".join(lines[1:]))
    journals, recorded = read(node)
    assert [one.query for one in recorded] == [query(1)]
    assert list(journals.broken_off) == [path.stem]
    assert "1850575" not in str(journals.broken_off)


def test_a_sealed_content_that_is_no_answer_breaks_off_without_quoting_it(node: Node):
    asked = query(5)
    said = answer(asked)
    said["source"] = {"kind": "snapshot", "extracted_at": asked.nir}
    record(node, [pending(asked, said)])
    journals, recorded = read(node)
    assert recorded == []
    ((_, why),) = journals.broken_off.items()
    assert "no answer" in why
    assert str(asked.nir) not in why


def test_a_survey_tells_how_much_there_is_and_what_comes_again(node: Node):
    asked = [query(1), query(2), query(1), query(1, finess="750012353")]
    record(node, [pending(one, answer(one)) for one in asked])
    found = survey(Journals(Reading(node.directory, ALWAYS, officer())))
    assert (found.answers, found.questions, len(found.repeated)) == (4, 3, 1)


def test_an_entry_that_contradicts_what_is_sealed_in_it_breaks_off(node: Node):
    record(node, [pending(query(), answer(query()), status="open")])
    journals, recorded = read(node)
    assert recorded == []
    ((_, why),) = journals.broken_off.items()
    assert "contradicts what is sealed" in why
