"""The judge between two lives: nothing counted twice, no suspicion and no habit forgotten, no order lost."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.access.counters import Sheet, local_hour
from service.access.marks import Mark
from service.access.sentinel import Policy
from service.access.suspicion import Step
from service.control.chain import ChainKeys
from service.control.fleet import FleetStore
from service.control.intent import Intent
from service.control.leases import SqliteLeaseStore
from service.control.ledger import Ledger
from service.control.marks import SqliteMarkStore
from service.control.replica import Replica
from service.control.state import ClientState
from service.control.store import SqliteOrderStore
from service.control.suspicions import SqliteSuspicions
from service.paris import PARIS
from service.sentinel.bailiff import Bailiff
from service.sentinel.judge import Bench, _Session
from service.sentinel.memory import Memory
from tests.unit.control.control_chain import KEY, KEYS, make_key, registration

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
HOUR = local_hour(NOW.astimezone(PARIS))
FINESS, OTHER = "750012346", "130012342"
RECEIPT = make_key()


class Home:
    """A store of orders with a pharmacy and a hub, a second store, and as many judges' lives as a test wants."""

    def __init__(self, root: Path, policy: Policy | None = None) -> None:
        self.root = root
        self.policy = policy or Policy(least_fleet=0)
        FleetStore.create(self.fleet)
        SqliteOrderStore.create(root / "orders.db")
        keys = ChainKeys(KEYS, {RECEIPT.kid: RECEIPT.public})
        self.ledger = Ledger(SqliteOrderStore(root / "orders.db"), keys, Replica(root / "orders.jsonl"))
        self.ledger.open()
        self.give("client.register", "p", registration(finess=[FINESS]))
        self.give("client.register", "hub", registration(**{"class": "hub", "finess": [FINESS, OTHER]}))
        self.marks = SqliteMarkStore(self.fleet)
        self.memory = Memory(root / "sentinel.db")
        self.now = NOW
        self._number = 0

    @property
    def fleet(self) -> Path:
        return self.root / "fleet.db"

    def give(self, kind: str, scope: str, body: Any = None, until: dt.datetime | None = None) -> None:
        intent = Intent(kind=kind, scope=scope, body=body or {}, reason="why", actor="cli:a", until=until)
        self.ledger.issue(intent, KEY, NOW)

    def session(self) -> _Session:
        bailiff = Bailiff(self.ledger, RECEIPT, SqliteLeaseStore(self.fleet), SqliteSuspicions(self.fleet))
        return _Session(Bench(self.root / "lock", self.memory, self.marks, bailiff, self.ledger, self.policy), self.now)

    def ask(
        self, times: int = 1, client: str = "p", finess: str = FINESS, *, unknown: bool = False, **flags: Any
    ) -> None:
        packed = []
        for _ in range(times):
            self._number += 1
            mark = Mark(
                self._number % 16000,
                self._number % 4000,
                self._number * 7 % 4000,
                unknown,
                **{"canary": False, **flags},
            )
            packed.append(mark.packed())
        hour = local_hour(self.now.astimezone(PARIS))
        self.marks.hand_over(hour, {(client, finess): packed})

    def client(self, name: str = "p") -> ClientState:
        return self.ledger.state.clients[name].at(self.now)

    def told(self) -> list[tuple[str, str | None]]:
        return [(one.step, one.held) for one in SqliteSuspicions(self.fleet).since(NOW - dt.timedelta(days=1))]

    def sentinels(self) -> list[tuple[str, str, dict[str, Any]]]:
        orders = [order for order in self.ledger.orders() if order.actor == "sentinel"]
        return [(order.kind, order.scope, order.body) for order in orders]

    def later(self, **span: float) -> None:
        self.now += dt.timedelta(**span)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def seen(session: _Session, finess: str = FINESS) -> Sheet:
    sheet = session.sentinel.sheet(finess)
    assert sheet is not None
    return sheet


def test_a_kill_forgets_no_mark_and_counts_none_twice(home: Home):
    first = home.session()
    home.ask(5)
    first.work(home.now)
    first.save(home.now)
    home.ask(7)
    first.work(home.now)  # counted, and the worker is killed before it was kept
    second = home.session()
    assert seen(second).today.lookups == 5
    home.ask(1)
    second.work(home.now)
    assert seen(second).today.lookups == second.sentinel.fleet.today.lookups == 13
    second.save(home.now)
    assert home.marks.read(0, 10) == []
    assert msgspec.to_builtins(seen(home.session())) == msgspec.to_builtins(seen(second))


def test_a_canary_is_suspended_once_and_stays_so_for_the_next_judge(home: Home):
    session = home.session()
    home.ask(canary=True)
    session.work(home.now)
    assert (home.client().suspended, home.told()) == (True, [("suspend", None)])
    again = home.session()
    home.ask(canary=True)
    again.work(home.now)
    assert again.sentinel.step(FINESS) is Step.SUSPEND
    assert home.sentinels() == [("client.suspend", "p", {})]


def test_a_kill_between_the_order_and_its_memory_gives_it_once(home: Home, monkeypatch: pytest.MonkeyPatch):
    session = home.session()
    home.ask(canary=True)
    monkeypatch.setattr(home.memory, "save", lambda *_: False)
    session.work(home.now)
    monkeypatch.undo()
    home.session().work(home.now)
    assert home.sentinels() == [("client.suspend", "p", {})]


def test_of_a_hub_the_pair_is_suspended_and_who_resumes_it_forgives(home: Home):
    session = home.session()
    home.ask(client="hub", canary=True)
    session.work(home.now)
    assert home.client("hub").suspended_finess.keys() == {FINESS}
    assert not home.client("hub").suspended
    home.give("client.resume", "hub")
    session.work(home.now)
    assert session.sentinel.step(FINESS) is Step.SUSPEND
    home.give("client.resume", "hub", {"finess": FINESS})
    session.work(home.now)
    assert session.sentinel.step(FINESS) is Step.NONE
    assert seen(session).today.canaries == 0
    home.ask(client="hub", canary=True)
    session.work(home.now)
    assert home.client("hub").suspended_finess.keys() == {FINESS}


def test_a_resumption_while_nobody_judged_is_heeded_by_the_next(home: Home):
    session = home.session()
    home.ask(canary=True)
    session.work(home.now)
    home.give("client.resume", "p")
    after = home.session()
    after.work(home.now)
    assert not home.client().suspended
    assert after.sentinel.step(FINESS) is Step.NONE


def slow(home: Home, session: _Session) -> None:
    for _ in range(60):
        home.ask(unknown=True)
        session.work(home.now)
        if session.sentinel.step(FINESS) is Step.SLOW:
            return
    pytest.fail("never slowed")


def spend(home: Home, lookups: int) -> None:
    SqliteLeaseStore(home.fleet).draw("2024-02-05", "p", FINESS, "n/0", lambda *_: lookups)


def test_who_is_slowed_has_an_hours_lookups_more_each_hour_until_midnight(home: Home):
    session = home.session()
    spend(home, 40)
    slow(home, session)
    assert home.client().body["daily"] == 100
    spend(home, 30)
    home.later(minutes=59)
    session.work(home.now)
    assert home.client().body["daily"] == 100
    home.later(minutes=2)
    again = home.session()
    again.work(home.now)
    assert home.client().body["daily"] == 130
    home.now = dt.datetime(2024, 2, 5, 23, 0, 5, tzinfo=dt.UTC)
    assert home.client().body["daily"] == 800
    again.work(home.now)
    home.ask()
    again.work(home.now)
    assert (home.client().body["daily"], again.sentinel.step(FINESS)) == (800, Step.NONE)


def test_who_is_resumed_is_slowed_no_more(home: Home):
    session = home.session()
    slow(home, session)
    assert home.client().slowed
    home.give("client.resume", "p")
    session.work(home.now)
    assert session.sentinel.step(FINESS) is Step.NONE
    home.later(hours=2)
    session.work(home.now)
    assert home.client().body["daily"] == 800


def test_who_may_have_no_more_anyway_is_given_no_limit(home: Home):
    home.give("client.limit", "p", {"daily": 50})
    session = home.session()
    slow(home, session)
    assert home.sentinels() == []
    assert ("slow", None) in home.told()
    home.later(hours=2)
    session.work(home.now)
    assert home.client().body["daily"] == 50


def test_through_a_hub_slowing_is_only_told(home: Home):
    session = home.session()
    while session.sentinel.step(FINESS) < Step.SLOW:
        home.ask(client="hub", unknown=True)
        session.work(home.now)
    assert ("slow", "hub") in home.told()
    assert home.sentinels() == []


def test_an_order_that_cannot_be_given_waits_also_over_a_death(home: Home):
    session = home.session()
    away = (home.root / "orders.db").rename(home.root / "away.db")
    home.ask(canary=True)
    session.work(home.now)
    assert not home.client().suspended
    after = home.session()
    away.rename(home.root / "orders.db")
    after.work(home.now)
    assert home.client().suspended


def test_a_client_in_report_is_only_told_of(home: Home):
    home.give("client.limit", "p", {"watch": "report"})
    session = home.session()
    home.ask(canary=True)
    session.work(home.now)
    assert home.told() == [("suspend", "report")]
    assert home.sentinels() == []


def test_a_client_is_in_report_until_that_ends(home: Home):
    home.give("client.limit", "p", {"watch": "report"}, NOW + dt.timedelta(minutes=10))
    session = home.session()
    session.work(home.now)
    home.later(minutes=10)
    home.ask(canary=True)
    session.work(home.now)
    assert home.client().suspended


def test_a_client_in_report_is_only_told_of_also_where_another_asked_for_the_same_pharmacy(home: Home):
    home.give("client.limit", "p", {"watch": "report"})
    session = home.session()
    home.ask()
    home.ask(client="hub", canary=True)
    session.work(home.now)
    assert home.client("hub").suspended_finess.keys() == {FINESS}
    assert not home.client().suspended
    session.work(home.now)
    assert session.sentinel.step(FINESS) is Step.SUSPEND


def test_a_damaged_memory_is_set_aside_and_suspensions_hold(home: Home):
    session = home.session()
    home.ask(canary=True)
    session.work(home.now)
    (home.root / "sentinel.db").write_bytes(b"SQLite format 3\0" + bytes(500))
    after = home.session()
    assert after.sentinel.sheet(FINESS) is None
    assert (home.root / "sentinel.db.damaged").exists()
    after.work(home.now)
    assert home.client().suspended


def test_a_second_store_made_anew_is_counted_from_its_beginning(home: Home):
    session = home.session()
    home.ask(5)
    session.work(home.now)
    for path in home.root.glob("fleet.db*"):
        path.unlink()
    FleetStore.create(home.fleet)
    home.ask(canary=True)
    session.look_at_store()
    session.work(home.now)
    assert home.client().suspended


def test_a_second_store_that_went_back_is_heard_from_there_on(home: Home):
    session = home.session()
    home.ask()
    session.work(home.now)
    session.save(home.now)
    home.marks.close()
    backup = home.fleet.read_bytes()
    for _ in range(5):
        home.ask()
    session.work(home.now)
    session.save(home.now)
    home.marks.close()
    for path in home.root.glob("fleet.db*"):
        path.unlink()
    home.fleet.write_bytes(backup)
    after = home.session()
    home.ask(canary=True)
    after.work(home.now)
    assert home.client().suspended


def test_the_hour_waits_for_what_comes_late(home: Home):
    session = home.session()
    home.now = dt.datetime(2024, 2, 5, 9, 59, 59, tzinfo=dt.UTC)
    home.ask(3)
    home.later(seconds=2)
    session.work(home.now)
    assert seen(session).this_hour.lookups == 3
    home.later(seconds=2)
    session.work(home.now)
    assert session.sentinel.fleet.hour == HOUR + 1
    assert seen(session).today.lookups == 3


def test_an_hour_from_a_wrong_clock_does_not_carry_the_fleet_away(home: Home):
    session = home.session()
    home.marks.hand_over(HOUR + 500, {("p", FINESS): [0]})
    session.work(home.now)
    assert session.sentinel.fleet.hour == HOUR


def test_too_many_suspects_alarm_for_an_hour_also_after_a_death(tmp_path: Path):
    home = Home(tmp_path, Policy(least_fleet=0, least_cap=1, cap_share=0))
    session = home.session()
    home.ask(canary=True)
    home.ask(client="hub", finess=OTHER, canary=True)
    session.work(home.now)
    assert sorted(home.told(), key=str) == [("suspend", "cap"), ("suspend", None)]
    bailiff = home.session()._bench.bailiff
    assert "1 suspects" in (bailiff.alarm(home.now) or "")
    assert bailiff.alarm(home.now + dt.timedelta(hours=1, seconds=1)) is None
