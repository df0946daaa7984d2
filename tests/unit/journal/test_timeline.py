from __future__ import annotations

import datetime as dt

import msgspec

from service.journal import timeline
from service.journal.damage import Cause, Finding
from service.journal.segment import segment_paths
from service.journal.selection import Reading, Selection
from tests.unit.journal.breach import FIRST, HONEST, THIEF, Shown, nir, record
from tests.unit.journal.journal_node import NOW, Node

ORDER = {
    "version": 7,
    "at": "2024-02-05T09:45:00.000Z",
    "actor": "sentinel",
    "kind": "client.suspend",
    "scope": THIEF,
    "body": {},
    "reason": "unknown ratio 93 %",
    "until": None,
    "approved_by": None,
    "previous": None,
}


async def planted(node: Node) -> None:
    await record(node, [Shown(1, open_at=(FIRST,)), Shown(2), Shown(3, client=HONEST)], NOW)
    await record(node, [Shown(1, closed_at=(FIRST,))], NOW + dt.timedelta(hours=1))


async def test_answers_are_counted_by_hour(node: Node):
    await planted(node)
    first, second = timeline.of_answers(Reading(node.directory, Selection(client=THIEF), None))
    assert first.at == "2024-02-05T09:00:00.000Z"
    assert first.data == {
        "answers": 2,
        "statuses": {"open": 1, "unknown": 1},
        "disclosed": {"contract": 1, "none": 1},
    }
    assert (second.at, second.data["answers"]) == ("2024-02-05T10:00:00.000Z", 1)


async def test_starts_of_segments_are_told(node: Node):
    await planted(node)
    told = list(timeline.of_segments(node.directory))
    assert [event.data["journal"] for event in told] == [path.stem for path in segment_paths(node.directory)]
    assert {event.data["node"] for event in told} == {"node-1"}


def test_an_order_keeps_author_and_reason_and_loses_keys():
    event = timeline.of_order({**ORDER, "body": {"class": "pharmacy", "keys": [{"x": "abc"}]}})
    assert (event.at, event.data["actor"], event.data["reason"]) == (ORDER["at"], "sentinel", ORDER["reason"])
    assert event.data["body"] == {"class": "pharmacy"}


def test_a_damage_is_told_with_its_cause():
    event = timeline.of_damage(Finding(Cause.GAP, "018d", "missing", 1, 2, 3), "2024-02-06T09:00:00.000Z")
    assert event.data == {"cause": "gap", "text": "gap: segment 018d, entries 1-2 (line 3): missing"}


async def test_events_stand_in_order_within_the_period(node: Node):
    await planted(node)
    since, until = "2024-02-05T09:30:00.000Z", "2024-02-05T10:00:00.000Z"
    answers = timeline.of_answers(Reading(node.directory, Selection(since=since, until=until), None))
    events = [*answers, timeline.of_order(ORDER), *timeline.of_segments(node.directory)]
    found = timeline.in_order(events, since, until)
    # The hour of the answers began before the period; what is counted of it did not.
    assert [event.event for event in found] == ["answers", "segment", "order"]
    assert found[0].data["answers"] == 3


async def test_no_person_and_no_pseudonym_is_told(node: Node):
    await planted(node)
    answers = timeline.of_answers(Reading(node.directory, Selection(), None))
    text = msgspec.json.encode([*answers, *timeline.of_segments(node.directory)]).decode()
    assert nir(1) not in text
    for path in segment_paths(node.directory):
        for line in path.read_text().splitlines():
            subject = msgspec.json.decode(line).get("subject")
            assert subject is None or subject not in text
