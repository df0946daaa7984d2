"""A batch is its queries: each with its own answer or problem, all recorded together or none."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from service.access.clients import ClientClass
from service.errors import ClientSuspended, JournalUnwritable, NoSnapshot, Overloaded, ScopeMissing, ServiceSuspended
from service.journal.entries import Receipt
from service.web.answering import TURN_CASES, Answerer
from tests.unit.web.test_answering import NIR, NOBODY, FakeCharging, FakeUpstream, body, context, live

OWN, OTHER = "750012346", "330012342"
HUB: Any = SimpleNamespace(
    id="synthetic-hub",
    client_class=ClientClass.HUB,
    finess=(OWN, OTHER),
    finess_index=frozenset({OWN, OTHER}),
    suspended=False,
    suspended_finess=frozenset(),
)


def query(day: int = 12, finess: str = OWN, **members: Any) -> bytes:
    return body(f"1985-05-{day:02}", finess=finess, **members)


def with_hub(known: Any) -> Any:
    known.registry = {HUB.id: HUB}
    return known


def results(answered: bytes) -> list[dict[str, Any]]:
    parsed = json.loads(answered)
    assert list(parsed) == ["results"]
    found: list[dict[str, Any]] = parsed["results"]
    return found


def codes(answered: bytes) -> list[str]:
    return [result["problem"]["code"] if "problem" in result else "answered" for result in results(answered)]


async def turns(number: int = 8) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_each_query_has_its_answer_in_its_place():
    known = with_hub(context())
    days = [10, 11, 10, 12]
    found = results(await Answerer(known).answer_batch(HUB, [query(day) for day in days]))
    assert [sorted(result) for result in found] == [["answer", "counter_text", "opening", "receipt"]] * 4
    assert [result["receipt"]["index"] for result in found] == [0, 1, 2, 3]
    assert [json.loads(pending.query)["beneficiary"]["birth_date"][-2:] for pending in known.journal.pendings] == [
        str(day) for day in days
    ]
    assert len({result["answer"]["id"] for result in found}) == 4
    assert len({result["answer"]["at"] for result in found}) == 1


async def test_each_query_has_its_own_problem_and_the_pointer_says_which():
    known = with_hub(context())
    bodies = [
        query(),
        b'{"beneficiary": {"nir": "185057511600100", "birth_date": "1985-05-12"}, "finess": "750012346"}',
        b"[]",
        query(finess="130012342"),
        body(),
        b'{"beneficiary": {"nir": 1, "nir": 2, "birth_date": "1985-05-12"}}',
        query(benefits=["PH7", "ph4"]),
        query(),
    ]
    found = results(await Answerer(known).answer_batch(HUB, bodies))
    told = [(result["problem"]["code"], result["problem"]["pointer"]) for result in found if "problem" in result]
    assert told == [
        ("invalid_field", "/queries/1/beneficiary/nir"),
        ("invalid_field", "/queries/2"),
        ("finess_not_allowed", "/queries/3/finess"),
        ("finess_not_allowed", "/queries/4/finess"),
        ("malformed_json", "/queries/5"),
        ("invalid_field", "/queries/6/benefits/1"),
    ]
    assert "answer" in found[0]
    assert "answer" in found[7]
    assert len(known.journal.pendings) == 2


async def test_a_batch_of_nothing_but_problems_is_answered_and_records_nothing():
    known = with_hub(context())
    assert codes(await Answerer(known).answer_batch(HUB, [b"[]", b"{}"])) == ["invalid_field"] * 2
    assert known.journal.pendings == []


async def test_a_query_that_breaks_us_costs_the_others_of_its_batch_nothing():
    known = with_hub(context())
    known.snapshot.found["nir|1850575116001|1985-05-11|1"] = ZeroDivisionError("1985-05-11")
    answered = await Answerer(known).answer_batch(HUB, [query(10), query(11), query(12)])
    assert codes(answered) == ["answered", "internal", "answered"]
    problem = results(answered)[1]["problem"]
    assert problem["pointer"] == "/queries/1"
    assert "1985" not in json.dumps(problem)


async def test_where_the_journal_fails_the_whole_batch_fails_and_costs_nothing():
    known = with_hub(context())
    known.charging = FakeCharging(5)
    known.journal.failing = True
    with pytest.raises(JournalUnwritable):
        await Answerer(known).answer_batch(HUB, [query(), b"{}", query(13)])
    assert known.charging.allowance.left == 5
    assert known.charging.spent == [(0, 0)]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"suspended": True}, ServiceSuspended),
        ({"knowledge": None}, NoSnapshot),
        ({"journal": None}, JournalUnwritable),
    ],
)
async def test_what_no_query_could_be_answered_for_ends_the_whole_batch(
    changes: dict[str, Any], refusal: type[Exception]
):
    known = with_hub(context())
    vars(known).update(changes)
    with pytest.raises(refusal):
        await Answerer(known).answer_batch(HUB, [query(), b"{}"])


async def test_items_are_charged_one_by_one_as_far_as_the_budget_goes():
    known = with_hub(context())
    known.charging = FakeCharging(2)
    known.charging.exhausted = True
    answered = await Answerer(known).answer_batch(HUB, [b"{}", query(10), query(11), query(12)])
    assert codes(answered) == ["invalid_field", "answered", "answered", "budget_exhausted"]
    problem = results(answered)[3]["problem"]
    assert (problem["pointer"], problem["action"], problem["retry_after"]) == ("/queries/3", "check_card", 1)
    assert known.charging.spent == [(2, 2)]


async def test_a_batch_waits_for_its_leases_and_holds_up_nobody_else():
    known = with_hub(context())
    known.charging = FakeCharging(2)
    answerer = Answerer(known)
    batch = answerer.answer_batch(HUB, [query(10), query(11), query(12)])
    await turns()
    assert not batch.done()
    assert known.journal.pendings == []  # recorded together, or not at all
    known.charging.allowance.add(9, 1)
    await answerer.answer(HUB, query(20))
    assert not batch.done()
    known.charging.lend(1)
    assert codes(await batch) == ["answered"] * 3
    assert [pending.lease for pending in known.journal.pendings] == [9, 5, 5, 6]


async def test_a_query_that_waited_for_its_lease_is_charged_by_the_limits_of_now():
    class Noted(FakeCharging):
        def take(self, client: Any, finess: str, now: Any) -> Any:
            asked.append(client)
            return super().take(client, finess, now)

    asked: list[Any] = []
    known = with_hub(context())
    known.charging = Noted()
    batch = Answerer(known).answer_batch(HUB, [query(10)])
    await turns()
    lowered = SimpleNamespace(**{**vars(HUB), "daily": 1})
    known.registry = {HUB.id: lowered}
    known.charging.lend(1)
    assert codes(await batch) == ["answered"]
    assert asked == [HUB, lowered]


async def test_the_last_to_be_refused_lets_the_others_go():
    known = with_hub(context())
    known.charging = FakeCharging(2)
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11), query(12)])
    await turns()
    known.charging.lend(0)
    assert codes(await batch) == ["answered", "answered", "budget_exhausted"]


async def test_a_draw_that_breaks_is_told_in_its_place():
    known = with_hub(context())
    known.charging = FakeCharging(1)
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11)])
    await turns()
    known.charging.draw.set_exception(ZeroDivisionError())
    assert codes(await batch) == ["answered", "internal"]


async def test_a_draw_that_is_broken_off_ends_the_batch_and_costs_nothing():
    known = with_hub(context())
    known.charging = FakeCharging(1)
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11)])
    await turns()
    known.charging.draw.cancel()
    with pytest.raises(Overloaded):
        await batch
    await turns()
    assert known.charging.allowance.left == 1
    assert known.journal.pendings == []


async def test_a_hub_that_hangs_up_while_a_lease_is_drawn_is_not_charged():
    known = with_hub(context())
    known.charging = FakeCharging(1)
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11)])
    await turns()
    batch.cancel()
    known.charging.lend(1)
    await turns()
    assert known.charging.allowance.left == 2
    assert known.journal.pendings == []


async def test_the_upstream_is_asked_for_all_of_a_batch_at_once_and_the_answers_are_recorded_together():
    upstream = FakeUpstream(NOBODY)
    known = with_hub(live(upstream))
    batch = Answerer(known).answer_batch(HUB, [query(10), b"{}", query(11)])
    await turns()
    assert len(upstream.asked) == 2
    assert known.journal.pendings == []
    upstream.may_answer.set()
    found = results(await batch)
    assert [found[place]["answer"]["source"]["kind"] for place in (0, 2)] == ["upstream", "upstream"]


class SlowUpstream(FakeUpstream):
    """Counts how many are asked of it at once."""

    def __init__(self) -> None:
        super().__init__(NOBODY)
        self.now = self.most = 0

    async def ask(self, caller: str, query: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().ask(caller, query)
        finally:
            self.now -= 1


async def test_a_batch_leaves_half_of_the_upstream_to_the_others_and_has_the_time_of_one_query():
    known = with_hub(live(upstream := SlowUpstream()))
    known.settings.upstream = SimpleNamespace(in_flight=6, total_ms=50)
    found = results(await Answerer(known).answer_batch(HUB, [query(day) for day in range(10, 20)]))
    assert upstream.most == 3
    assert {result["answer"]["source"]["kind"] for result in found} == {"snapshot"}


async def test_a_hub_suspended_while_its_batch_waits_gets_nothing_and_pays_nothing():
    upstream = FakeUpstream(NOBODY)
    known = with_hub(live(upstream))
    known.charging = FakeCharging(5)
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11)])
    await turns()
    known.registry = {HUB.id: SimpleNamespace(**{**vars(HUB), "suspended": True})}
    upstream.may_answer.set()
    with pytest.raises(ClientSuspended):
        await batch
    await turns()
    assert known.charging.allowance.left == 5
    assert known.journal.pendings == []


async def test_a_pharmacy_taken_from_the_list_while_a_batch_waits_is_refused_in_its_place():
    upstream = FakeUpstream(NOBODY)
    known = with_hub(live(upstream))
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11, OTHER)])
    await turns()
    known.registry = {HUB.id: SimpleNamespace(**{**vars(HUB), "finess_index": frozenset({OWN})})}
    upstream.may_answer.set()
    assert codes(await batch) == ["answered", "finess_not_allowed"]
    assert [pending.finess for pending in known.journal.pendings] == [OWN]


async def test_a_pharmacy_a_hub_is_suspended_for_is_refused_in_its_place_at_once_and_while_the_batch_waits():
    apart = SimpleNamespace(**{**vars(HUB), "suspended_finess": frozenset({OTHER})})
    upstream = FakeUpstream(NOBODY)
    upstream.may_answer.set()
    known = with_hub(live(upstream))
    known.registry = {HUB.id: apart}
    assert codes(await Answerer(known).answer_batch(apart, [query(10), query(11, OTHER)])) == [
        "answered",
        "client_suspended",
    ]
    upstream.may_answer.clear()
    known.registry = {HUB.id: HUB}
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11, OTHER)])
    await turns()
    known.registry = {HUB.id: apart}
    upstream.may_answer.set()
    assert codes(await batch) == ["answered", "client_suspended"]
    assert [pending.finess for pending in known.journal.pendings] == [OWN, OWN]


async def test_a_hub_that_is_one_no_more_gets_nothing():
    upstream = FakeUpstream(NOBODY)
    known = with_hub(live(upstream))
    batch = Answerer(known).answer_batch(HUB, [query(10)])
    await turns()
    known.registry = {HUB.id: SimpleNamespace(**{**vars(HUB), "client_class": ClientClass.VENDOR})}
    upstream.may_answer.set()
    with pytest.raises(ScopeMissing):
        await batch


async def test_a_snapshot_that_comes_while_a_batch_waits_answers_all_of_it():
    known = with_hub(context())
    known.charging = FakeCharging(1)
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11)])
    await turns()
    known.knowledge = SimpleNamespace(
        **{name: getattr(known.knowledge, name) for name in known.knowledge.__struct_fields__}
    )
    known.knowledge.snapshot = 8
    known.charging.lend(1)
    assert {result["answer"]["source"]["snapshot"] for result in results(await batch)} == {8}


class SlowJournal:
    """Records when it is told to, group by group."""

    def __init__(self) -> None:
        self.groups: list[tuple[list[Any], asyncio.Future[Any]]] = []

    def record_all(self, pendings: list[Any]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.groups.append((pendings, future))
        return future

    def recorded(self, group: int) -> None:
        pendings, future = self.groups[group]
        future.set_result(tuple(Receipt(head="head", index=number, path=()) for number in range(len(pendings))))


async def test_a_batch_is_recorded_by_itself_and_whole_however_much_comes_with_it():
    known = with_hub(context())
    known.journal = SlowJournal()
    answerer = Answerer(known)
    alone = answerer.answer(HUB, query(9))
    batches = [answerer.answer_batch(HUB, [query(1 + number % 28) for number in range(150)]) for _ in range(4)]
    other = answerer.answer(HUB, query(8))
    await turns(30)
    assert sorted(len(group) for group, _ in known.journal.groups) in ([1, 1, *[150] * 4], [2, *[150] * 4])
    assert 150 < TURN_CASES < 600
    failing = next(number for number, (group, _) in enumerate(known.journal.groups) if len(group) == 150)
    known.journal.groups[failing][1].set_exception(JournalUnwritable())
    for number in range(len(known.journal.groups)):
        if number != failing:
            known.journal.recorded(number)
    await asyncio.gather(alone, other)
    done = await asyncio.gather(*batches, return_exceptions=True)
    assert sorted(type(result).__name__ for result in done) == ["JournalUnwritable", "bytes", "bytes", "bytes"]


async def test_a_hub_that_hangs_up_while_its_batch_is_recorded_has_read_it():
    known = with_hub(context())
    known.journal, known.charging = SlowJournal(), FakeCharging(2)
    batch = Answerer(known).answer_batch(HUB, [query(10), query(11)])
    await turns()
    batch.cancel()
    await turns()
    known.journal.recorded(0)
    await turns()
    assert known.charging.spent == [(2, 2)]


async def test_nothing_of_what_was_sent_is_in_a_problem():
    known = with_hub(context())
    bodies = [
        body(nir="185057511600158", finess=OWN),
        query(finess="199999999"),
        b'{"zz~mark~zz": 1}',
        b'{"a": "\xff"}',
    ]
    answered = await Answerer(known).answer_batch(HUB, bodies)
    assert codes(answered) == ["invalid_field", "finess_not_allowed", "invalid_field", "malformed_json"]
    for sent in (b"mark", b"199999999", b"185057511600158", NIR.encode()):
        assert sent not in answered
