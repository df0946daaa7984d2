"""Answers worked out together stay independent of each other."""

from __future__ import annotations

import asyncio
import datetime as dt
import hmac
import json
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.allowance import Allowance, Charge
from service.access.clients import ClientClass
from service.errors import (
    BudgetExhausted,
    ClientSuspended,
    FinessNotAllowed,
    InvalidField,
    JournalUnwritable,
    MalformedJson,
    NoSnapshot,
    ScopeMissing,
    ServiceSuspended,
)
from service.journal.entries import Pending, Receipt
from service.rights.heard import Heard
from service.rights.model import Absence, Knowledge, Mode, SourceKind, Stance, Status
from service.rights.reasons import Reason
from service.settings import QuerySettings, UpstreamSettings
from service.web.answering import Answerer, commitment

NOW = dt.datetime(2024, 2, 5, 9, 30, 12, 123000, tzinfo=dt.UTC)
NIR = "185057511600159"
PHARMACY: Any = SimpleNamespace(
    id="synthetic-pharmacy",
    client_class=ClientClass.PHARMACY,
    finess=("750012346",),
    finess_index=frozenset({"750012346"}),
    suspended=False,
    suspended_finess=frozenset(),
)


class FakeJournal:
    """Records in memory; each answer's receipt names its place."""

    def __init__(self) -> None:
        self.pendings: list[Pending] = []
        self.failing = False

    def record_all(self, pendings: list[Pending]) -> asyncio.Future[tuple[Receipt, ...]]:
        future: asyncio.Future[tuple[Receipt, ...]] = asyncio.get_running_loop().create_future()
        if self.failing:
            future.set_exception(JournalUnwritable())
            return future
        first = len(self.pendings)
        self.pendings += pendings
        future.set_result(tuple(Receipt(head="head", index=first + n, path=()) for n in range(len(pendings))))
        return future


class FakeSnapshot:
    """No records, but what a test puts in."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def find(self, identity: str) -> Any:
        found = self.found.get(identity, Absence.NO_RECORD)
        if isinstance(found, Exception):
            raise found
        return found


def context() -> Any:
    knowledge = Knowledge(
        kind=SourceKind.SNAPSHOT,
        snapshot=7,
        signed_at=NOW,
        valid_until=NOW + dt.timedelta(days=7),
        amcs={},
        out_of_scope=frozenset(),
    )
    return SimpleNamespace(
        snapshot=FakeSnapshot(),
        knowledge=knowledge,
        journal=FakeJournal(),
        clock=SimpleNamespace(now=lambda: NOW),
        settings=SimpleNamespace(query=QuerySettings(), upstream=UpstreamSettings()),
        today=lambda now: now.date(),
        stance=lambda _, **__: (Stance(Mode.DEGRADED), {"mode": "degraded", "mode_order": None, "notices": []}),
        unreadable_records=0,
        suspended=False,
        live=False,
        upstream=None,
        charging=None,
        witness=None,
        registry={PHARMACY.id: PHARMACY},
    )


def body(birth_date: str = "1985-05-12", nir: str = NIR, **members: Any) -> bytes:
    return json.dumps({"beneficiary": {"nir": nir, "birth_date": birth_date}, **members}).encode()


class FakeUpstream:
    """Says what it is told to, when it is told to; counts who asks."""

    def __init__(self, said: Any = None) -> None:
        self.said = said
        self.may_answer = asyncio.Event()
        self.was_asked = asyncio.Event()
        self.asked: list[tuple[str, Any]] = []
        self.silent = False

    def is_silent(self) -> bool:
        return self.silent

    async def ask(self, caller: str, query: Any) -> Any:
        self.asked.append((caller, query))
        self.was_asked.set()
        await self.may_answer.wait()
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def live(upstream: FakeUpstream) -> Any:
    """A context in mode live."""

    def stance(_: Any, *, upstream_failed: bool = False) -> Any:
        members = {"mode": known.mode.value, "mode_order": 1, "notices": []}
        return Stance(known.mode, 1, upstream_failed=upstream_failed), members

    known = context()
    known.mode, known.stance, known.live, known.upstream = Mode.LIVE, stance, True, upstream
    return known


NOBODY = SimpleNamespace(kind=SourceKind.UPSTREAM, heard=Heard(Status.UNKNOWN, (Reason.BENEFICIARY_UNKNOWN,)))


async def ask_while(known: Any, change: Callable[[], None]) -> Any:
    """Ask, and let the upstream answer once `change` has happened; the answer, or the error."""
    asked = Answerer(known).answer(PHARMACY, body())
    await known.upstream.was_asked.wait()
    change()
    known.upstream.may_answer.set()
    (result,) = await asyncio.gather(asked, return_exceptions=True)
    return json.loads(result)["answer"] if isinstance(result, bytes) else result


async def test_in_mode_live_the_upstream_answers_and_the_journal_names_the_snapshot_beside_it():
    known = live(FakeUpstream(NOBODY))
    answer = await ask_while(known, lambda: None)
    assert (answer["source"]["kind"], answer["degraded"], answer["mode"]) == ("upstream", False, "live")
    assert [pending.snapshot for pending in known.journal.pendings] == [7]
    assert [(caller, query.nir) for caller, query in known.upstream.asked] == [(PHARMACY.id, "1850575116001")]


@pytest.mark.parametrize("said", [None, ZeroDivisionError()])
async def test_where_the_upstream_says_nothing_the_snapshot_answers_and_says_why(said: Any):
    answer = await ask_while(live(FakeUpstream(said)), lambda: None)
    assert answer["source"]["kind"] == "snapshot"
    assert answer["reasons"] == ["upstream_unavailable", "beneficiary_unknown"]


async def test_an_upstream_that_is_left_alone_holds_nobody_up():
    known = live(FakeUpstream(NOBODY))
    known.upstream.silent = True
    answer = json.loads(await Answerer(known).answer(PHARMACY, body()))["answer"]
    assert answer["reasons"] == ["upstream_unavailable", "beneficiary_unknown"]
    assert known.upstream.asked == []


async def test_live_without_an_upstream_is_the_snapshot_and_says_so():
    known = live(FakeUpstream())
    known.upstream = None
    answer = json.loads(await Answerer(known).answer(PHARMACY, body()))["answer"]
    assert answer["reasons"] == ["upstream_unavailable", "beneficiary_unknown"]


async def test_a_fictitious_number_never_leaves_us():
    known = live(FakeUpstream(NOBODY))
    answer = json.loads(await Answerer(known).answer(PHARMACY, body(nir="2555555123030")))["answer"]
    assert answer["reasons"] == ["identity_not_searchable"]
    assert known.upstream.asked == []


async def test_what_the_upstream_said_counts_no_more_once_an_order_cut_it_off():
    known = live(FakeUpstream(NOBODY))
    answer = await ask_while(known, lambda: setattr(known, "mode", Mode.DEGRADED))
    assert (answer["mode"], answer["source"]["kind"]) == ("degraded", "snapshot")
    assert answer["reasons"] == ["upstream_disabled", "beneficiary_unknown"]


async def test_who_is_suspended_while_the_upstream_is_asked_gets_no_answer():
    known = live(FakeUpstream(NOBODY))
    suspended = SimpleNamespace(**{**vars(PHARMACY), "suspended": True})
    result = await ask_while(known, lambda: known.registry.update({PHARMACY.id: suspended}))
    assert isinstance(result, ClientSuspended)
    assert known.journal.pendings == []


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"finess": ("330012342",), "finess_index": frozenset({"330012342"})}, FinessNotAllowed),
        ({"client_class": ClientClass.VENDOR}, ScopeMissing),
    ],
)
async def test_who_is_registered_anew_while_the_upstream_is_asked_gets_no_answer_of_before(
    changes: dict[str, Any], refusal: type[Exception]
):
    known = live(FakeUpstream(NOBODY))
    anew = SimpleNamespace(**{**vars(PHARMACY), **changes})
    assert isinstance(await ask_while(known, lambda: known.registry.update({PHARMACY.id: anew})), refusal)
    assert known.journal.pendings == []


async def test_nothing_is_recorded_for_a_caller_who_left_while_the_upstream_was_asked():
    known = live(FakeUpstream(NOBODY))
    asked = Answerer(known).answer(PHARMACY, body())
    await known.upstream.was_asked.wait()
    asked.cancel()
    known.upstream.may_answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert known.journal.pendings == []


async def test_a_query_that_breaks_us_does_not_answer_twice_who_waits_for_the_upstream():
    """The faulty one stays (its AMC is another operator's); the others of its turn wait for the upstream meanwhile."""
    known = live(FakeUpstream(NOBODY))
    known.knowledge = msgspec.structs.replace(known.knowledge, out_of_scope=frozenset({"0000000009"}))
    known.snapshot.found["nir|1850575116001|1985-05-11|1"] = ZeroDivisionError()
    answerer = Answerer(known)
    waiting = answerer.answer(PHARMACY, body())
    broken = [answerer.answer(PHARMACY, body("1985-05-11", amc="0000000009")) for _ in range(2)]
    results = await asyncio.gather(*broken, return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError] * 2
    known.upstream.may_answer.set()
    assert json.loads(await waiting)["answer"]["source"]["kind"] == "upstream"
    assert len(known.journal.pendings) == 1


async def test_queries_of_one_turn_are_recorded_together_and_in_order():
    known = context()
    answerer = Answerer(known)
    answers = await asyncio.gather(*(answerer.answer(PHARMACY, body(f"1985-05-{day}")) for day in range(10, 20)))
    assert [json.loads(answer)["receipt"]["index"] for answer in answers] == list(range(10))
    assert [pending.answer in answer for pending, answer in zip(known.journal.pendings, answers, strict=True)] == [
        True
    ] * 10
    assert len({json.loads(answer)["answer"]["id"] for answer in answers}) == 10


async def test_a_bad_body_fails_alone():
    known = context()
    answerer = Answerer(known)
    bodies = [body(), b"{", body(birth_date="1985"), body(finess="130012342"), body()]
    answers = await asyncio.gather(*(answerer.answer(PHARMACY, one) for one in bodies), return_exceptions=True)
    kinds = [type(answer) for answer in answers]
    assert kinds == [bytes, MalformedJson, InvalidField, FinessNotAllowed, bytes]
    assert len(known.journal.pendings) == 2


async def test_a_query_that_breaks_us_costs_the_others_nothing():
    known = context()
    known.snapshot.found["nir|1850575116001|1985-05-11|1"] = ZeroDivisionError()
    answerer = Answerer(known)
    bodies = [body(), body(birth_date="1985-05-11"), body(birth_date="1985-05-10")]
    answers = await asyncio.gather(*(answerer.answer(PHARMACY, one) for one in bodies), return_exceptions=True)
    assert [type(answer) for answer in answers] == [bytes, ZeroDivisionError, bytes]


async def test_nothing_is_answered_unrecorded():
    known = context()
    known.journal.failing = True
    answerer = Answerer(known)
    answers = await asyncio.gather(*(answerer.answer(PHARMACY, body()) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [JournalUnwritable] * 3


async def test_without_a_snapshot_there_is_no_answer():
    known = context()
    known.knowledge = None
    with pytest.raises(NoSnapshot):
        await Answerer(known).answer(PHARMACY, body())


async def test_what_was_let_in_before_a_suspension_is_not_answered_after_it():
    known = context()
    answerer = Answerer(known)
    asked = [answerer.answer(PHARMACY, body()) for _ in range(2)]
    known.suspended = True
    for result in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(result, ServiceSuspended)
    assert known.journal.pendings == []


async def test_an_unreadable_record_is_unknown_and_an_alarm():
    known = context()
    known.snapshot.found["nir|1850575116001|1985-05-12|1"] = Absence.UNREADABLE
    answer = json.loads(await Answerer(known).answer(PHARMACY, body()))["answer"]
    assert (answer["status"], "record_unreadable" in answer["reasons"]) == ("unknown", True)
    assert known.unreadable_records == 1


async def test_a_caller_who_left_takes_nobody_along():
    known = context()
    answerer = Answerer(known)
    gone, stays = answerer.answer(PHARMACY, body()), answerer.answer(PHARMACY, body())
    gone.cancel()
    assert json.loads(await stays)["receipt"]["index"] == 1


@given(st.binary(min_size=16, max_size=16), st.binary())
def test_the_commitment_is_hmac_sha256(opening: bytes, message: bytes):
    assert commitment(opening, message) == hmac.digest(opening, message, "sha256")


async def test_an_answer_kept_for_retries_takes_no_more_room_than_it_is_long():
    tracemalloc.start()
    try:
        kept = await Answerer(context()).answer(PHARMACY, body())
        (block,) = [trace for trace in tracemalloc.take_snapshot().traces if trace.traceback == tracemalloc_of(kept)]
    finally:
        tracemalloc.stop()
    assert block.size < len(kept) + 100


def tracemalloc_of(kept: bytes) -> tracemalloc.Traceback | None:
    return tracemalloc.get_object_traceback(kept)


class FakeCharging:
    """Lends what it is told to; a lookup that is not in hand is lent when the test says so."""

    def __init__(self, in_hand: int = 0) -> None:
        self.allowance = Allowance(0.0)
        if in_hand:
            self.allowance.add(5, in_hand)
        self.draw: asyncio.Future[None] | None = None
        self.exhausted = False

    def take(self, _client: Any, finess: str, _now: Any) -> Charge | None:
        assert finess == PHARMACY.finess[0]
        charge = self.allowance.take(1000, 0.0)
        if charge is None and self.exhausted:
            raise BudgetExhausted
        return charge

    def drawn(self, _client: Any, _finess: str) -> asyncio.Future[None]:
        self.draw = self.draw or asyncio.get_running_loop().create_future()
        return self.draw

    def lend(self, number: int) -> None:
        assert self.draw is not None
        self.allowance.add(6, number)
        self.exhausted = not number
        self.draw.set_result(None)
        self.draw = None

    @property
    def spent(self) -> list[tuple[int, int]]:
        return [held.spent for held in self.allowance.given_up()]


def charged(in_hand: int) -> Any:
    known = context()
    known.charging = FakeCharging(in_hand)
    return known


async def test_a_recorded_answer_is_charged_to_its_lease_and_one_about_nobody_is_told():
    known = charged(3)
    await Answerer(known).answer(PHARMACY, body())
    assert [pending.lease for pending in known.journal.pendings] == [5]
    assert known.charging.spent == [(1, 1)]


async def test_what_is_refused_or_fails_costs_nothing():
    known = charged(3)
    answerer = Answerer(known)
    with pytest.raises(InvalidField):
        await answerer.answer(PHARMACY, body(nir="185057511600100"))
    known.journal.failing = True
    with pytest.raises(JournalUnwritable):
        await answerer.answer(PHARMACY, body())
    assert known.charging.allowance.left == 3
    assert known.charging.spent == [(0, 0)]


async def test_one_whose_lookups_are_used_up_is_told_and_others_are_answered():
    known = charged(1)
    known.charging.exhausted = True
    answerer = Answerer(known)
    first, second = answerer.answer(PHARMACY, body()), answerer.answer(PHARMACY, body())
    assert json.loads(await first)["answer"]["status"] == Status.UNKNOWN
    with pytest.raises(BudgetExhausted):
        await second
    assert len(known.journal.pendings) == 1


async def test_a_lookup_waits_until_a_lease_is_drawn():
    known = charged(1)
    answerer = Answerer(known)
    futures = [answerer.answer(PHARMACY, body()) for _ in range(3)]
    await futures[0]
    assert [future.done() for future in futures] == [True, False, False]
    known.charging.lend(1)
    await futures[1]
    known.charging.lend(0)
    with pytest.raises(BudgetExhausted):
        await futures[2]
    assert [pending.lease for pending in known.journal.pendings] == [5, 6]


async def test_one_who_hangs_up_while_a_lease_is_drawn_is_not_charged():
    known = charged(0)
    future = Answerer(known).answer(PHARMACY, body())
    await asyncio.sleep(0.01)
    future.cancel()
    known.charging.lend(1)
    await asyncio.sleep(0.01)
    assert known.charging.allowance.left == 1
    assert known.journal.pendings == []


async def test_a_draw_that_breaks_is_told_to_who_waits():
    known = charged(0)
    future = Answerer(known).answer(PHARMACY, body())
    await asyncio.sleep(0.01)
    known.charging.draw.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await future


async def test_an_answer_of_the_upstream_is_charged_once():
    upstream = FakeUpstream()
    known = live(upstream)
    known.charging = FakeCharging(3)
    future = Answerer(known).answer(PHARMACY, body())
    await upstream.was_asked.wait()
    upstream.may_answer.set()
    await future
    assert len(upstream.asked) == 1
    assert known.charging.allowance.left == 2


async def test_one_who_was_suspended_while_the_upstream_was_asked_is_not_charged():
    upstream = FakeUpstream()
    known = live(upstream)
    known.charging = FakeCharging(3)
    future = Answerer(known).answer(PHARMACY, body())
    await upstream.was_asked.wait()
    known.registry = {}
    upstream.may_answer.set()
    with pytest.raises(ClientSuspended):
        await future
    assert known.charging.allowance.left == 3
