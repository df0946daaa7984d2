"""A list of registrations: one proposal, one approval, all the orders or none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.control.decisions import Decisions
from service.control.intent import Intent
from service.control.lists import IMPORT, Item
from service.control.proposals import Proposal
from service.errors import Conflict, InvalidField, NotFound
from tests.unit.control.control_chain import HOUR, NOON, make_key, registration
from tests.unit.control.test_decisions import Desk

ANN, BOB = "cli:ann", "cli:bob"
DAY_SECONDS = 86_400


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path)
    yield made
    for one in made.opened:
        one.close()


def items(*ids: str) -> list[Item]:
    made = []
    for client_id in ids:
        body = registration(keys=[dict(make_key().public.jwk)])
        made += [
            Item("client.register", client_id, body),
            Item("client.limit", client_id, {"daily": 200}, 7 * DAY_SECONDS),
        ]
    return made


def heading(**members: Any) -> Intent:
    known = {"kind": IMPORT, "scope": "editor", "body": {"clients": 2}, "reason": "day one", "actor": ANN}
    return Intent(**{**known, **members})


def proposed(decisions: Decisions, listed: list[Item]) -> Proposal:
    made = decisions.decide_list(heading(), listed, NOON)
    assert isinstance(made, Proposal)
    return made


def give(decisions: Decisions, kind: str, scope: str, body: Any = None) -> None:
    intent = Intent(kind=kind, scope=scope, body=body or {}, reason="x", actor="cli:carl")
    decisions.ledger.issue(intent, decisions._key, NOON)


def test_a_list_is_one_proposal_and_orders_nothing(desk: Desk):
    made = proposed(desk.decisions(), items("ph-1", "ph-2"))
    assert (made.kind, made.scope, made.loosens) == (IMPORT, "editor", "2 clients would be registered")
    assert (made.body["orders"], made.body["clients"], desk.head()) == (4, 2, 0)


def test_one_approval_gives_all_of_it_and_its_limits_count_from_then(desk: Desk):
    made = proposed(desk.decisions(), items("ph-1", "ph-2"))
    decisions = desk.decisions()
    last = decisions.approve(made.id, BOB, NOON + HOUR)
    assert (last.version, last.actor, last.approved_by, last.reason) == (4, ANN, BOB, "day one")
    clients = decisions.ledger.state.clients
    assert set(clients) == {"ph-1", "ph-2"}
    for client in clients.values():
        assert (client.body["daily"], client.registered["daily"]) == (200, 800)
        assert client.until == NOON + HOUR + 7 * 24 * HOUR
    decided = decisions.get(made.id, NOON + HOUR)
    assert (decided.state, decided.decided_by, decided.order) == ("approved", BOB, 4)
    with pytest.raises(Conflict):
        decisions.approve(made.id, "cli:carl", NOON + HOUR)
    assert desk.head() == 4


def test_every_node_verifies_what_a_list_ordered(desk: Desk):
    decisions = desk.decisions()
    decisions.approve(proposed(decisions, items("ph-1")).id, BOB, NOON)
    give(decisions, "client.suspend", "ph-1")
    assert [order.version for order in desk.decisions().ledger.orders()] == [1, 2, 3]


def test_where_one_person_suffices_the_list_is_ordered_at_once(desk: Desk):
    done = desk.decisions(two_person=False).decide_list(heading(), items("ph-1"), NOON)
    assert not isinstance(done, Proposal)
    assert ([order.kind for order in done], desk.head()) == (["client.register", "client.limit"], 2)


def test_its_author_does_not_approve_it(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions, items("ph-1"))
    with pytest.raises(Conflict):
        decisions.approve(made.id, ANN, NOON)
    with pytest.raises(Conflict):
        decisions.approve(made.id, BOB, NOON + 24 * HOUR)
    assert desk.head() == 0


def test_the_same_list_again_is_the_proposal_that_waits(desk: Desk):
    decisions, listed = desk.decisions(), items("ph-1")
    assert proposed(decisions, listed).id == proposed(decisions, listed).id


@pytest.mark.parametrize("scope", ["editor", "ph-1"])
def test_an_order_about_the_vendor_or_a_listed_client_ends_it(desk: Desk, scope: str):
    decisions = desk.decisions()
    made = proposed(decisions, items("ph-1", "ph-2"))
    give(decisions, "client.register", scope, registration())
    with pytest.raises(Conflict):
        decisions.approve(made.id, BOB, NOON)
    assert desk.head() == 1
    assert decisions.get(made.id, NOON).state == ("over" if scope == "editor" else "waiting")


def test_an_order_about_somebody_else_does_not(desk: Desk):
    decisions = desk.decisions()
    made = proposed(decisions, items("ph-1"))
    give(decisions, "client.register", "ph-9", registration())
    assert decisions.get(made.id, NOON).state == "waiting"
    assert decisions.approve(made.id, BOB, NOON).version == 3


@pytest.mark.parametrize("change", ["UPDATE proposed_lists SET payload = ?", "DELETE FROM proposed_lists WHERE ? > ''"])
def test_another_list_beside_the_proposal_is_not_ordered(desk: Desk, change: str):
    decisions = desk.decisions()
    made = proposed(decisions, items("ph-1"))
    with closing(sqlite3.connect(desk.fleet)) as connection:
        connection.execute(change, (b"[]",))
        connection.commit()
    with pytest.raises(Conflict):
        decisions.approve(made.id, BOB, NOON)
    assert desk.head() == 0


def test_a_list_whose_proposal_is_over_is_forgotten(desk: Desk):
    decisions = desk.decisions()
    first = proposed(decisions, items("ph-1"))
    decisions.decide_list(heading(), items("ph-2"), NOON + 24 * HOUR)
    with closing(sqlite3.connect(desk.fleet)) as connection:
        digests = [row[0] for row in connection.execute("SELECT digest FROM proposed_lists")]
    assert len(digests) == 1
    assert first.body["digest"] not in digests


@pytest.mark.parametrize(
    ("listed", "error"),
    [
        ([], Conflict),
        ([Item("client.resume", "ph-1", {})], Conflict),
        ([Item("client.register", "ph-1", registration(**{"class": "admin"}))], Conflict),
        ([Item("client.register", "PH 1", registration())], InvalidField),
        ([Item("client.limit", "ph-1", {"daily": 1})], NotFound),
    ],
    ids=["empty", "another kind", "another class", "no id", "nobody"],
)
@pytest.mark.parametrize("two_person", [True, False])
def test_what_a_list_may_not_order_is_refused_before_it_is_proposed(
    desk: Desk, listed: list[Item], error: type[Exception], *, two_person: bool
):
    decisions = desk.decisions(two_person=two_person)
    with pytest.raises(error):
        decisions.decide_list(heading(), [*items("ph-2"), *listed] if listed else [], NOON)
    assert (desk.head(), decisions.proposals(NOON)) == (0, [])


@pytest.mark.parametrize("two_person", [True, False])
def test_a_list_replaces_nobody(desk: Desk, *, two_person: bool):
    decisions = desk.decisions(two_person=two_person)
    give(decisions, "client.register", "ph-1", registration())
    with pytest.raises(Conflict):
        decisions.decide_list(heading(), items("ph-1"), NOON)
    assert desk.head() == 1
