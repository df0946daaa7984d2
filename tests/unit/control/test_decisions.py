from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.access.clients import CLASS_BUDGETS
from service.control.decisions import Decisions
from service.control.fleet import FleetStore
from service.control.format import Order
from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.proposals import Proposal, ProposalStore
from service.control.replica import Replica
from service.control.state import State
from service.control.store import SqliteOrderStore
from service.errors import (
    Conflict,
    InvalidField,
    NotFound,
    PreconditionFailed,
    StoreUnavailable,
    VersionConflict,
)
from tests.unit.control.control_chain import DIGEST, HOUR, KEY, KEYS, NOON, registration

AMC = "0775671993"


class Desk:
    """One home: both stores, and whoever decides on them."""

    def __init__(self, root: Path) -> None:
        self.orders, self.fleet, self.copy = root / "orders.db", root / "fleet.db", root / "orders.jsonl"
        SqliteOrderStore.create(self.orders)
        FleetStore.create(self.fleet)
        self.opened: list[Decisions] = []

    def decisions(self, *, two_person: bool = True) -> Decisions:
        ledger = Ledger(SqliteOrderStore(self.orders, read_busy_seconds=2), KEYS, Replica(self.copy, writable=False))
        ledger.open()
        store = ProposalStore(self.fleet, KEY, KEYS)
        made = Decisions(ledger, store, KEY, two_person=two_person, proposal_hours=24, class_limits=CLASS_BUDGETS)
        self.opened.append(made)
        return made

    def head(self) -> int:
        with closing(SqliteOrderStore(self.orders)) as store:
            return store.head()


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path)
    yield made
    for one in made.opened:
        one.close()


def intent(mode: str = "live", **members: Any) -> Intent:
    known = {"kind": "mode.set", "scope": "*", "body": {"mode": mode}, "reason": "back", "actor": "cli:ann"}
    return Intent(**{**known, **members})


def proposed(decisions: Decisions, wanted: Intent | None = None) -> Proposal:
    made = decisions.decide(wanted or intent(), NOON)
    assert isinstance(made, Proposal)
    return made


def test_what_tightens_is_ordered_at_once(desk: Desk):
    order = desk.decisions().decide(intent("suspended"), NOON)
    assert isinstance(order, Order)
    assert (order.version, order.approved_by) == (1, None)


def test_what_loosens_waits_and_changes_nothing(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions, intent(until=NOON + HOUR))
    assert desk.head() == 0
    assert (made.actor, made.at, made.until, made.ends) == ("cli:ann", NOON, NOON + HOUR, NOON + HOUR)
    assert (made.kind, made.body, made.reason, made.seen) == ("mode.set", {"mode": "live"}, "back", 0)
    assert made.loosens == "everything would be live instead of degraded"
    assert made.id.startswith(f"{int(NOON.timestamp() * 1000):012x}"[:8])
    assert proposed(decisions).ends == NOON + 24 * HOUR
    assert desk.decisions().get(made.id, NOON) == made


def test_where_one_person_suffices_nothing_waits(desk: Desk):
    assert isinstance(desk.decisions(two_person=False).decide(intent(), NOON), Order)


def test_somebody_else_s_approval_is_the_order(desk: Desk):
    decisions, other = desk.decisions(), desk.decisions()
    made = proposed(decisions, intent(until=NOON + 3 * HOUR))
    order = other.approve(made.id, "cli:bob", NOON + HOUR)
    assert (order.version, order.actor, order.approved_by, order.at) == (1, "cli:ann", "cli:bob", NOON + HOUR)
    assert (order.kind, order.body, order.reason, order.until) == (made.kind, made.body, made.reason, made.until)
    (kept,) = decisions.proposals(NOON + HOUR)
    assert (kept.state, kept.decided_by, kept.decided_at, kept.order) == ("approved", "cli:bob", NOON + HOUR, 1)
    with pytest.raises(Conflict, match="approved already"):
        decisions.approve(made.id, "cli:eve", NOON + HOUR)
    assert desk.head() == 1


def test_nobody_approves_their_own(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions)
    with pytest.raises(Conflict, match="somebody else"):
        decisions.approve(made.id, "cli:ann", NOON)
    assert desk.head() == 0
    assert decisions.get(made.id, NOON).state == "waiting"


def test_to_approve_nothing_in_particular_approves_nothing(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions)
    with pytest.raises(NotFound):
        decisions.approve("", "cli:bob", NOON)
    assert desk.head() == 0
    assert decisions.get(made.id, NOON).state == "waiting"


def test_two_approvals_at_once_give_one_order(desk: Desk):
    made = proposed(desk.decisions())
    deciders = [desk.decisions() for _ in range(4)]
    start, outcomes = threading.Barrier(4), []

    def approve(number: int) -> None:
        start.wait()
        try:
            outcomes.append(deciders[number].approve(made.id, f"cli:{number}", NOON).version)
        except Conflict:
            outcomes.append(0)

    threads = [threading.Thread(target=approve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0, 0, 0, 1]
    assert desk.head() == 1


def test_what_was_changed_since_is_over(desk: Desk):
    decisions = desk.decisions()
    made, elsewhere = proposed(decisions), proposed(decisions, intent(scope=AMC))
    decisions.decide(intent("suspended"), NOON)
    decisions.decide(intent(kind="mode.clear", scope=AMC, body={}), NOON)
    with pytest.raises(Conflict, match="order 1 changed"):
        desk.decisions().approve(made.id, "cli:bob", NOON)
    # An order that left nothing behind was one all the same.
    with pytest.raises(Conflict, match="order 2 changed"):
        decisions.approve(elsewhere.id, "cli:bob", NOON)
    assert [one.state for one in decisions.proposals(NOON)] == ["over", "over"]


def test_what_changes_something_else_leaves_it_waiting(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions)
    decisions.decide(intent("suspended", scope=AMC), NOON)
    decisions.decide(intent(kind="client.register", scope="c", body=registration()), NOON)
    assert decisions.approve(made.id, "cli:bob", NOON).version == 3


def test_what_would_loosen_more_by_now_than_it_says_is_over(desk: Desk):
    decisions, clear = desk.decisions(), intent(kind="mode.clear", scope=AMC, body={})
    decisions.decide(intent("suspended", scope=AMC), NOON)
    narrow, wide = proposed(decisions, clear), proposed(decisions)
    assert narrow.loosens == f"AMC {AMC} would be degraded instead of suspended"
    decisions.approve(wide.id, "cli:bob", NOON)
    assert decisions.get(narrow.id, NOON).state == "over"
    with pytest.raises(Conflict, match="something else"):
        decisions.approve(narrow.id, "cli:bob", NOON)
    assert desk.head() == 2
    anew = proposed(decisions, clear)
    assert (anew.id != narrow.id, anew.loosens) == (True, f"AMC {AMC} would be live instead of suspended")
    assert decisions.approve(anew.id, "cli:bob", NOON).version == 3


def test_what_loosens_as_it_says_or_no_more_is_approved_whatever_else_was_ordered(desk: Desk):
    decisions = desk.decisions()
    for scope in ("*", AMC):
        decisions.decide(intent("suspended", scope=scope), NOON)
    wide = proposed(decisions, intent("degraded"))
    narrow = proposed(decisions, intent(kind="mode.clear", scope=AMC, body={}))
    assert decisions.approve(wide.id, "cli:bob", NOON).version == 3
    assert decisions.approve(narrow.id, "cli:bob", NOON).version == 4
    late, live = proposed(decisions, intent(scope=AMC)), proposed(decisions)
    decisions.approve(live.id, "cli:bob", NOON)
    assert decisions.approve(late.id, "cli:bob", NOON).version == 6


def test_what_somebody_suspended_since_proposed_is_over(desk: Desk):
    """Whose credential was stolen may have proposed it."""
    decisions = desk.decisions()
    about_ann = {"scope": "ann", "reason": "a login", "actor": "cli:bob"}
    decisions.decide(Intent(kind="client.register", body=registration(), **about_ann), NOON)
    waiting = proposed(decisions, intent(actor="ann"))
    decisions.decide(Intent(kind="client.suspend", body={}, **about_ann), NOON)
    assert decisions.get(waiting.id, NOON).state == "over"
    with pytest.raises(Conflict, match="suspended since"):
        decisions.approve(waiting.id, "cli:bob", NOON)


def test_the_reason_of_an_approval_is_kept(desk: Desk):
    decisions = desk.decisions()
    waiting = proposed(decisions)
    with pytest.raises(InvalidField):
        decisions.approve(waiting.id, "cli:bob", NOON, "about 185057511600159")
    decisions.approve(waiting.id, "cli:bob", NOON, "checked with the operator")
    assert decisions.get(waiting.id, NOON).decided_reason == "checked with the operator"


def test_after_its_end_it_is_over(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions)
    assert decisions.get(made.id, NOON + 23 * HOUR).state == "waiting"
    assert decisions.get(made.id, NOON + 24 * HOUR).state == "over"
    for attempt in (
        lambda: decisions.approve(made.id, "cli:bob", NOON + 24 * HOUR),
        lambda: decisions.reject(made.id, "cli:bob", "late", NOON + 24 * HOUR),
    ):
        with pytest.raises(Conflict, match="over"):
            attempt()


def test_rejected_it_is_decided_with_a_reason(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions)
    with pytest.raises(InvalidField):
        decisions.reject(made.id, "cli:bob", " ", NOON)
    kept = decisions.reject(made.id, "cli:bob", "not today", NOON)
    assert (kept.state, kept.decided_by, kept.decided_reason, kept.order) == (
        "rejected",
        "cli:bob",
        "not today",
        None,
    )
    with pytest.raises(Conflict, match="rejected already"):
        decisions.approve(made.id, "cli:eve", NOON)
    with pytest.raises(Conflict, match="rejected already"):
        decisions.reject(made.id, "cli:eve", "again", NOON)


def test_its_author_may_take_it_back(desk: Desk):
    decisions = desk.decisions()
    assert decisions.reject(proposed(decisions).id, "cli:ann", "a slip", NOON).state == "rejected"


def test_to_propose_again_makes_no_second_one(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions)
    assert proposed(desk.decisions()) == made
    assert proposed(decisions, intent(actor="cli:bob")).id != made.id
    decisions.reject(made.id, "cli:bob", "no", NOON)
    assert proposed(decisions).id != made.id


def test_one_author_does_not_keep_the_others_from_proposing(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.control.decisions.MOST_OF_ONE", 2)
    decisions = desk.decisions()
    first = proposed(decisions)
    proposed(decisions, intent(reason="again"))
    with pytest.raises(Conflict, match="of one author"):
        decisions.decide(intent(reason="and again"), NOON)
    assert proposed(decisions) == first
    assert proposed(decisions, intent(actor="cli:bob")).actor == "cli:bob"
    decisions.reject(first.id, "cli:ann", "too many", NOON)
    proposed(decisions, intent(reason="and again"))


def test_what_could_not_be_ordered_is_not_proposed(desk: Desk):
    decisions = desk.decisions()
    pin = intent(kind="snapshot.pin", body={"sequence": 1, "digest": DIGEST}, until=NOON + HOUR)
    for wanted, error in (
        (intent(reason=""), InvalidField),
        (intent(until=NOON - HOUR), InvalidField),
        (intent(kind="client.resume", scope="nobody", body={}), NotFound),
        (pin, Conflict),
    ):
        with pytest.raises(error):
            decisions.decide(wanted, NOON)
    assert decisions.proposals(NOON) == []


def test_what_its_author_expected_binds_the_proposal_too(desk: Desk):
    def expected(_: State) -> None:
        raise PreconditionFailed("changed since it was read")

    for wanted in (intent(), intent("suspended")):
        with pytest.raises(PreconditionFailed):
            desk.decisions().decide(wanted, NOON, expected)
    assert desk.decisions().proposals(NOON) == []
    assert desk.head() == 0


def test_an_order_given_meanwhile_may_make_it_take_two(desk: Desk):
    """Resuming what nobody suspended tightens nothing and loosens nothing: until somebody suspends it."""
    decisions, other = desk.decisions(), desk.decisions()
    decisions.decide(intent(kind="client.register", scope="c", body=registration()), NOON)
    resume = intent(kind="client.resume", scope="c", body={})
    seen: list[int] = []

    def expected(state: State) -> None:
        seen.append(state.version)
        if len(seen) == 1:
            other.decide(intent(kind="client.suspend", scope="c", body={}), NOON)

    with pytest.raises(VersionConflict):
        decisions.decide(resume, NOON, expected)
    assert seen == [1, 2]
    assert desk.head() == 2
    assert isinstance(decisions.decide(resume, NOON), Proposal)


def test_a_tampered_proposal_is_not_approved(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions)
    with closing(sqlite3.connect(desk.fleet)) as connection, connection:
        connection.execute("UPDATE proposals SET jws = jws || 'A'")
    with pytest.raises(Conflict, match="tampered"):
        decisions.approve(made.id, "cli:bob", NOON)
    assert desk.head() == 0


def test_without_the_second_store_one_person_still_tightens(desk: Desk):
    decisions = desk.decisions()
    desk.fleet.unlink()
    assert isinstance(decisions.decide(intent("suspended"), NOON), Order)
    with pytest.raises(StoreUnavailable):
        decisions.decide(intent("degraded"), NOON)


def test_an_order_whose_proposal_could_not_be_marked_is_in_force_and_not_given_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    decisions = desk.decisions()
    made = proposed(decisions)
    decide = ProposalStore.decide

    def lost(self: ProposalStore, proposal_id: str, work: Any) -> Proposal:
        def fails(proposal: Proposal) -> Proposal:
            work(proposal)
            raise StoreUnavailable("fleet.db does not answer: disk I/O error")

        return decide(self, proposal_id, fails)

    with monkeypatch.context() as patch:
        patch.setattr(ProposalStore, "decide", lost)
        assert decisions.approve(made.id, "cli:bob", NOON).version == 1
    assert decisions.get(made.id, NOON).state == "over"
    with pytest.raises(Conflict, match="order 1 changed"):
        decisions.approve(made.id, "cli:eve", NOON)
    assert desk.head() == 1


def test_while_the_orders_are_lost_nothing_is_approved_and_it_waits(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions)
    away = desk.orders.rename(desk.orders.with_suffix(".away"))
    with pytest.raises(StoreUnavailable):
        decisions.approve(made.id, "cli:bob", NOON)
    assert decisions.get(made.id, NOON).state == "waiting"
    away.rename(desk.orders)
    assert decisions.approve(made.id, "cli:bob", NOON).version == 1
