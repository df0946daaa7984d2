"""What a rights worker can order with its receipt key, and all that it cannot."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from service.control.chain import ChainKeys, ChainVerifier
from service.control.format import ORDER_TYP, Order, order_digest, order_payload
from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.orders import fold, fold_all
from service.control.replica import Replica
from service.control.state import ClientState, State
from service.control.store import SqliteOrderStore
from service.control.tightening import SENTINEL, SENTINEL_TYP, lowest_daily
from service.errors import ChainBroken, Conflict, InvalidField, OperatorError
from service.jws import sign_compact
from tests.unit.control.control_chain import HOUR, KEY, KEYS, NOON, make_chain, make_key, make_order, registration

RECEIPT = make_key()
CHAIN_KEYS = ChainKeys(KEYS, {RECEIPT.kid: RECEIPT.public})
FINESS = "750012346"


def intent(kind: str = "client.suspend", body: Any = None, **members: Any) -> Intent:
    known = {"scope": "p", "reason": "a canary", "actor": SENTINEL, "until": None, **members}
    return Intent(kind=kind, body={} if body is None else body, **known)


def limit(daily: int = 100, until: dt.datetime | None = NOON + HOUR, **members: Any) -> Intent:
    return intent("client.limit", {"daily": daily}, until=until, **members)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    SqliteOrderStore.create(tmp_path / "orders.db")
    ledger = Ledger(SqliteOrderStore(tmp_path / "orders.db"), CHAIN_KEYS, Replica(tmp_path / "orders.jsonl"))
    ledger.open()
    ledger.issue(Intent(kind="client.register", scope="p", body=registration(), reason="new", actor="cli:a"), KEY, NOON)
    return ledger


def give(ledger: Ledger, *intents: Intent) -> ClientState:
    ledger.issue_sentinels(intents, RECEIPT, NOON)
    return ledger.state.clients["p"]


def accepted(order: Order, typ: str = SENTINEL_TYP, key: Any = RECEIPT, keys: Any = CHAIN_KEYS) -> ChainBroken | None:
    return ChainVerifier(keys).accept([(1, sign_compact(order_payload(order), typ, key))])[1]


def test_it_suspends_and_every_reader_of_the_chain_agrees(ledger: Ledger):
    client = give(ledger, intent())
    assert (client.suspended, client.reason) == (True, "a canary")
    assert [order.actor for order in ledger.orders()] == ["cli:a", SENTINEL]


def test_it_suspends_one_pharmacy_of_a_hub(ledger: Ledger):
    client = give(ledger, intent(body={"finess": FINESS}))
    assert not client.suspended
    assert client.suspended_finess.keys() == {FINESS}


def test_it_slows_for_an_hour_and_the_budget_comes_back(ledger: Ledger):
    client = give(ledger, limit(90))
    assert client.body["daily"] == 90
    assert client.slowed
    assert client.at(NOON + HOUR).body["daily"] == 800
    again = give(ledger, limit(150))
    assert again.body["daily"] == 150
    assert len(again.limits) == 1


@pytest.mark.parametrize("daily", [800, 801, 10**6])
def test_it_only_ever_lowers(ledger: Ledger, daily: int):
    with pytest.raises(Conflict):
        give(ledger, limit(daily))


def test_it_does_not_lift_what_a_person_lowered_not_even_later(ledger: Ledger):
    for daily, hours in ((100, 20), (500, 1)):
        order = limit(daily, NOON + hours * HOUR, actor="cli:a")
        ledger.issue(order, KEY, NOON)
    assert lowest_daily(ledger.state.clients["p"]) == 100
    with pytest.raises(Conflict):
        give(ledger, limit(400, NOON + 5 * HOUR))


def test_a_registration_that_names_no_budget_is_not_slowed(tmp_path: Path):
    state = fold(State(), make_order(kind="client.register", scope="p", body=registration(daily=None)))
    order = make_order(2, "client.limit", "p", {"daily": 5}, actor=SENTINEL, until=NOON + HOUR)
    with pytest.raises(Conflict):
        fold(state, order)


FORBIDDEN = {
    "mode": intent("mode.set", {"mode": "live"}, scope="*"),
    "suspended mode": intent("mode.set", {"mode": "suspended"}, scope="*"),
    "mode clear": intent("mode.clear", scope="*"),
    "activation": intent("snapshot.activate", {"sequence": 1, "digest": "A" * 43, "counts": {}}, scope="*"),
    "pin": intent("snapshot.pin", {"sequence": 1, "digest": "A" * 43}, scope="*", until=NOON + HOUR),
    "unpin": intent("snapshot.unpin", scope="*"),
    "registration": intent("client.register", registration(), scope="thief"),
    "resumption": intent("client.resume"),
    "resumption for a pharmacy": intent("client.resume", {"finess": FINESS}),
    "notice": intent("notice.put", {"id": "n", "severity": "info", "text": "x"}, scope="*"),
    "withdrawal": intent("notice.withdraw", {"id": "n"}, scope="*"),
    "burst": intent("client.limit", {"daily": 1, "burst": 10**6}, until=NOON + HOUR),
    "watch": intent("client.limit", {"daily": 1, "watch": "report"}, until=NOON + HOUR),
    "no daily": intent("client.limit", {"unknown": 1}, until=NOON + HOUR),
    "daily of nothing": intent("client.limit", {"daily": None}, until=NOON + HOUR),
    "a limit without an end": limit(1, None),
    "a limit of two days": limit(1, NOON + 48 * HOUR),
    "another author": intent(actor="cli:admin"),
    "an approved order": intent(approved_by="admin"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_receipt_key_orders_nothing_else(ledger: Ledger, what: str):
    before = ledger.state
    with pytest.raises(InvalidField):
        ledger.issue_sentinels([FORBIDDEN[what]], RECEIPT, NOON)
    assert ledger.state == before
    wanted = FORBIDDEN[what]
    members = {"until": wanted.until, "actor": wanted.actor, "approved_by": wanted.approved_by}
    assert accepted(make_order(1, wanted.kind, wanted.scope, dict(wanted.body), **members)) is not None


def test_a_receipt_key_signs_no_order_of_a_person():
    order = make_order()
    assert accepted(order, typ=ORDER_TYP) is not None
    assert accepted(order, typ=ORDER_TYP, key=KEY) is None


def test_an_order_key_does_not_speak_as_the_sentinel(ledger: Ledger):
    order = make_order(1, "client.suspend", "p", actor=SENTINEL)
    assert accepted(order, typ=ORDER_TYP, key=KEY) is not None
    assert accepted(order, typ=SENTINEL_TYP, key=KEY) is not None
    assert accepted(order) is None
    with pytest.raises(InvalidField):
        ledger.issue(intent(), KEY, NOON)


def test_nobody_else_bears_its_name(ledger: Ledger):
    order = Intent(kind="client.register", scope=SENTINEL, body=registration(), reason="x", actor="cli:a")
    with pytest.raises(InvalidField):
        ledger.issue(order, KEY, NOON)


@pytest.mark.parametrize("keys", [KEYS, ChainKeys(KEYS, {})], ids=["order keys alone", "no receipt keys"])
def test_a_reader_without_the_receipt_key_stops_and_does_not_skip(keys: Any):
    assert accepted(make_order(1, "client.suspend", "p", actor=SENTINEL), keys=keys) is not None


def test_a_key_that_is_not_listed_gives_no_orders(ledger: Ledger):
    with pytest.raises(OperatorError):
        ledger.issue_sentinels([intent()], make_key(), NOON)


def orders(*more: Order) -> State:
    return fold_all(State(), [make_order(kind="client.register", scope="p", body=registration()), *more])


def test_a_resumption_lifts_what_the_sentinel_limited_and_no_persons_limit():
    state = orders(
        make_order(2, "client.limit", "p", {"daily": 300}, until=NOON + HOUR),
        make_order(3, "client.limit", "p", {"daily": 90}, actor=SENTINEL, until=NOON + HOUR),
        make_order(4, "client.resume", "p"),
    )
    client = state.clients["p"]
    assert (client.body["daily"], client.slowed, client.registered["daily"]) == (300, False, 800)


SLOWED = make_order(2, "client.limit", "p", {"daily": 300}, actor=SENTINEL, until=NOON + 5 * HOUR)


@pytest.mark.parametrize("kind", ["client.limit", "client.register"])
@pytest.mark.parametrize(("daily", "holds"), [(100, 100), (700, 300)])
def test_what_a_person_says_after_it_is_neither_raised_nor_lifts_it(kind: str, daily: int, holds: int):
    body = registration(daily=daily) if kind == "client.register" else {"daily": daily}
    client = orders(SLOWED, make_order(3, kind, "p", body)).clients["p"]
    assert (client.body["daily"], client.slowed, client.registered["daily"]) == (holds, True, daily)
    assert client.at(NOON + 5 * HOUR).body["daily"] == daily


@pytest.mark.parametrize(("daily", "holds"), [(100, 100), (700, 300)])
def test_of_it_and_a_later_limit_that_ends_the_lower_holds(daily: int, holds: int):
    client = orders(SLOWED, make_order(3, "client.limit", "p", {"daily": daily}, until=NOON + HOUR)).clients["p"]
    assert client.body["daily"] == holds
    assert client.at(NOON + HOUR).body["daily"] == 300


@pytest.mark.parametrize("kind", ["client.suspend", "client.limit"])
def test_a_time_that_lies_ahead_ends_no_persons_limit(kind: str):
    """A thief with a receipt key writes any time he likes."""
    ahead = NOON + 5000 * HOUR
    body, until = ({"finess": FINESS}, None) if kind == "client.suspend" else ({"daily": 799}, ahead + HOUR)
    state = orders(
        make_order(2, "client.limit", "p", {"daily": 100, "burst": 1}, until=NOON + 48 * HOUR),
        make_order(3, kind, "p", body, actor=SENTINEL, at=ahead, until=until),
    )
    seen = state.view(NOON).clients["p"].body
    assert (seen["daily"], seen["burst"]) == (100, 1)


def test_a_pharmacy_is_resumed_by_name_and_a_registration_resumes_none():
    suspended = make_order(2, "client.suspend", "p", {"finess": FINESS})
    state = orders(suspended, make_order(3, "client.resume", "p"))
    state = fold(state, make_order(4, "client.register", "p", registration(daily=700)))
    assert state.clients["p"].suspended_finess.keys() == {FINESS}
    state = fold(state, make_order(5, "client.resume", "p", {"finess": FINESS}))
    assert state.clients["p"].suspended_finess == {}


def test_old_readers_of_the_test_chain_are_as_before():
    rows = list(enumerate(make_chain([make_order()]), 1))
    assert ChainVerifier(KEYS).accept(rows)[1] is None


@pytest.mark.parametrize("kind", ["mode.set", "client.register"])
def test_its_signature_vouches_for_nothing_below(kind: str):
    """A thief with a receipt key signs onto a chain that does not hold; nobody takes what lies beneath for an order."""
    body = registration() if kind == "client.register" else None
    first, slipped = make_chain([make_order(), make_order(kind=kind, scope="p" if body else "*", body=body)])
    slipped = f"{slipped.rpartition('.')[0]}.{'A' * 86}"
    suspends = make_order(3, "client.suspend", "p", {}, actor=SENTINEL, previous=order_digest(slipped))
    rows = [(1, first), (2, slipped), (3, sign_compact(order_payload(suspends), SENTINEL_TYP, RECEIPT))]
    orders, failure = ChainVerifier(CHAIN_KEYS).accept(rows)
    assert [order.version for order in orders] == [1]
    assert str(failure) == "order 2 does not verify: the signature does not match"


def test_an_order_key_vouches_for_the_sentinels_orders_too_but_not_for_what_they_may_not_say():
    first = make_chain([make_order()])[0]
    for kind, holds in (("client.suspend", True), ("client.resume", False)):
        second = make_order(2, kind, "p", {}, actor=SENTINEL, previous=order_digest(first))
        slipped = sign_compact(order_payload(second), SENTINEL_TYP, RECEIPT)
        third = make_order(3, previous=order_digest(slipped))
        rows = [(1, first), (2, slipped), (3, sign_compact(order_payload(third), ORDER_TYP, KEY))]
        assert (ChainVerifier(CHAIN_KEYS).accept(rows)[1] is None) is holds
