from __future__ import annotations

import errno
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from service.control import replica as replica_module
from service.control.format import ORDER_TYP, order_payload
from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.replica import Replica
from service.control.state import State
from service.control.store import SqliteOrderStore
from service.errors import (
    ChainBroken,
    InvalidField,
    NotFound,
    OperatorError,
    PreconditionFailed,
    StoreUnavailable,
    VersionConflict,
)
from service.jws import sign_compact
from tests.unit.control.control_chain import HOUR, KEY, KEYS, NOON, make_chain, make_key, make_order, registration


class Node:
    """One machine: a store, and ledgers that share the node's copy."""

    def __init__(self, root: Path) -> None:
        self.db = root / "orders.db"
        self.copy = root / "node" / "orders.jsonl"
        SqliteOrderStore.create(self.db)
        self.ledgers: list[Ledger] = []

    def ledger(self, **options: Any) -> Ledger:
        ledger = Ledger(SqliteOrderStore(self.db, busy_seconds=0.05), KEYS, Replica(self.copy, **options))
        self.ledgers.append(ledger)
        ledger.open()
        return ledger

    def fill(self, signed: list[str], start: int = 1) -> None:
        store = SqliteOrderStore(self.db)
        for version, jws in enumerate(signed, start):
            store.append(version, jws)
        store.close()

    def lose(self) -> None:
        for file in self.db.parent.glob("orders.db*"):
            file.unlink()

    def restart(self, signed: list[str]) -> None:
        self.lose()
        SqliteOrderStore.create(self.db)
        self.fill(signed)


@pytest.fixture
def node(tmp_path: Path):
    machine = Node(tmp_path)
    yield machine
    for ledger in machine.ledgers:
        ledger.close()


def intent(kind: str = "mode.set", scope: str = "*", **members: Any) -> Intent:
    body = {"mode": "suspended"} if kind == "mode.set" else {}
    return Intent(**{"kind": kind, "scope": scope, "body": body, "reason": "exercise", "actor": "cli:test", **members})


SUSPENSION = [
    make_order(kind="client.register", scope="pharm", body=registration()),
    make_order(kind="client.suspend", scope="pharm"),
]


def test_issued_order_is_numbered_linked_and_followed(node: Node):
    ledger, other = node.ledger(), node.ledger()
    first = ledger.issue(intent(until=NOON + HOUR), KEY, NOON)
    second = other.issue(intent(body={"mode": "degraded"}), KEY, NOON)
    assert (first.version, first.previous, second.version) == (1, None, 2)
    assert ledger.refresh()
    assert ledger.state == other.state
    assert [order.version for order in ledger.orders()] == [1, 2]
    assert (ledger.status.source, ledger.status.version, ledger.status.error) == ("store", 2, None)


def test_issue_refuses_what_would_not_fold_and_leaves_no_trace(node: Node):
    ledger = node.ledger()
    for refused, error in (
        (intent(reason=""), InvalidField),
        (intent(reason="1850575116001"), InvalidField),
        (intent(until=NOON - HOUR), InvalidField),
        (intent("client.suspend", "nobody"), NotFound),
        (intent("client.propose", "nobody"), ChainBroken),
    ):
        with pytest.raises(error):
            ledger.issue(refused, KEY, NOON)
    assert ledger.store.head() == 0


def test_issue_with_a_key_nobody_follows_is_refused(node: Node):
    with pytest.raises(OperatorError):
        node.ledger().issue(intent(), make_key(), NOON)


def test_expectation_is_asked_again_when_somebody_was_first(node: Node, monkeypatch: pytest.MonkeyPatch):
    ledger, other = node.ledger(), node.ledger()
    seen: list[int] = []

    def expected(state: State) -> None:
        seen.append(state.version)
        if not seen[1:]:
            other.issue(intent(), KEY, NOON)
        elif state.modes:
            raise PreconditionFailed("somebody set the mode")

    with pytest.raises(PreconditionFailed):
        ledger.issue(intent(), KEY, NOON, expected)
    assert seen == [0, 1]


def test_everlasting_rivals_end_in_a_conflict(node: Node, monkeypatch: pytest.MonkeyPatch):
    ledger = node.ledger()

    def refuse(version: int, jws: str) -> None:
        raise VersionConflict

    monkeypatch.setattr(ledger.store, "append", refuse)
    with pytest.raises(VersionConflict):
        ledger.issue(intent(), KEY, NOON)


def test_orders_given_at_once_all_find_their_place(node: Node):
    ledgers = [node.ledger() for _ in range(4)]
    for ledger in ledgers:
        ledger.store._database._busy_seconds = 5

    def give(ledger: Ledger) -> None:
        for _ in range(5):
            while True:
                try:
                    ledger.issue(intent(), KEY, NOON)
                    break
                except VersionConflict:
                    continue

    threads = [threading.Thread(target=give, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [order.version for order in ledgers[0].orders()] == list(range(1, 21))
    assert [row[0] for row in Replica(node.copy).load()[0]] == list(range(1, 21))


def test_lost_store_keeps_the_state_and_says_so(node: Node):
    node.fill(make_chain(SUSPENSION))
    ledger = node.ledger()
    node.lose()
    with pytest.raises(StoreUnavailable):
        ledger.refresh()
    with pytest.raises(StoreUnavailable):
        ledger.issue(intent(), KEY, NOON)
    assert ledger.state.clients["pharm"].suspended
    assert (ledger.status.source, ledger.status.code) == ("copy", "store_unavailable")


def test_asking_a_lost_store_for_news_is_enough_to_say_so(node: Node):
    node.fill(make_chain(SUSPENSION))
    ledger = node.ledger()
    assert ledger.changed()
    node.lose()
    with pytest.raises(StoreUnavailable):
        ledger.changed()
    assert (ledger.status.source, ledger.status.code) == ("copy", "store_unavailable")


def test_suspension_outlives_the_store_and_a_restart(node: Node):
    node.fill(make_chain(SUSPENSION))
    node.ledger()
    node.lose()
    reborn = node.ledger()
    assert reborn.state.clients["pharm"].suspended
    assert (reborn.status.source, reborn.status.code) == ("copy", "store_unavailable")


def test_without_store_and_copy_nothing_starts(node: Node):
    node.lose()
    with pytest.raises(StoreUnavailable):
        node.ledger()


def test_damaged_copy_without_store_is_not_gone_on_with(node: Node):
    node.fill(make_chain(SUSPENSION))
    node.ledger()
    node.lose()
    data = bytearray(node.copy.read_bytes())
    data[-40] ^= 1
    node.copy.write_bytes(data)
    with pytest.raises(StoreUnavailable):
        node.ledger()


def test_damaged_copy_is_written_anew_from_the_store(node: Node):
    signed = make_chain(SUSPENSION)
    node.fill(signed)
    node.ledger()
    for position in range(0, node.copy.stat().st_size - 1, 37):
        data = bytearray(node.copy.read_bytes())
        data[position] ^= 1
        node.copy.write_bytes(data)
        ledger = node.ledger()
        assert ledger.state.clients["pharm"].suspended
        assert ledger.status.copy_error is None
        assert Replica(node.copy).load() == (list(enumerate(signed, 1)), False)


def bent(change: str) -> list[str]:
    """Two good orders and a third that an attacker, or a fault, made."""
    good = [*SUSPENSION, make_order(kind="client.resume", scope="pharm")]
    signed = make_chain(good)
    third = replace(good[2], version=3, previous=None)
    if change == "unlinked":
        return [*signed[:2], sign_compact(order_payload(third), ORDER_TYP, KEY)]
    if change == "other-key":
        return [*signed[:2], make_chain(good, make_key())[2]]
    if change == "other-type":
        return [*signed[:2], sign_compact(order_payload(third), "relais-head+jws", KEY)]
    if change == "flipped":
        head, body, tail = signed[2].split(".")
        return [*signed[:2], f"{head}.{body[:-2]}{'A' if body[-2] != 'A' else 'B'}{body[-1]}.{tail}"]
    if change == "repeated":
        return [*signed[:2], signed[1]]
    if change == "skipped":
        return [*signed[:2], make_chain([*good, good[2]])[3]]
    if change == "unknown-kind":
        return make_chain([*SUSPENSION, make_order(kind="client.free", scope="pharm")])
    if change == "unfoldable":
        return make_chain([*SUSPENSION, make_order(kind="client.resume", scope="nobody")])
    return [*signed[:2], change]


FORGERIES = [
    "unlinked",
    "other-key",
    "other-type",
    "flipped",
    "repeated",
    "skipped",
    "unknown-kind",
    "unfoldable",
    "",
    "é.é.é",
]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_order_is_an_alarm_and_what_was_good_goes_on(node: Node, forgery: str):
    signed = bent(forgery)
    node.fill(signed[:2])
    running = node.ledger()
    node.fill(signed[2:], start=3)
    with pytest.raises(ChainBroken):
        running.refresh()
    for ledger in (running, node.ledger()):
        assert ledger.state.version == 2
        assert ledger.state.clients["pharm"].suspended
        assert (ledger.status.source, ledger.status.code) == ("copy", "chain_broken")
    with pytest.raises(ChainBroken):
        running.issue(intent(), KEY, NOON)


def test_good_orders_before_a_forged_one_are_followed(node: Node):
    running = node.ledger()
    node.fill(bent("unknown-kind"))
    with pytest.raises(ChainBroken):
        running.refresh()
    assert running.state.clients["pharm"].suspended
    assert len(Replica(node.copy).load()[0]) == 2


@pytest.mark.parametrize("kept", [0, 1])
def test_store_that_went_back_is_an_alarm(node: Node, kept: int):
    signed = make_chain(SUSPENSION)
    node.fill(signed)
    running = node.ledger()
    node.restart(signed[:kept])
    with pytest.raises(ChainBroken, match="went back"):
        running.refresh()
    for ledger in (running, node.ledger()):
        assert ledger.state.clients["pharm"].suspended
        assert ledger.status.code == "chain_broken"
    node.restart(signed)
    running.refresh()
    assert (running.status.source, running.status.error) == ("store", None)


def test_store_with_another_history_is_an_alarm(node: Node):
    node.fill(make_chain(SUSPENSION))
    running = node.ledger()
    node.restart(make_chain([SUSPENSION[0], make_order(), make_order()]))
    for attempt in (running.refresh, lambda: running.issue(intent(), KEY, NOON)):
        with pytest.raises(ChainBroken, match="forked"):
            attempt()
    assert node.ledger().state.clients["pharm"].suspended


def test_fork_seen_by_another_worker_of_the_node_is_an_alarm(node: Node):
    signed = make_chain(SUSPENSION)
    node.fill(signed[:1])
    slow = node.ledger()
    node.fill(signed[1:], start=2)
    node.ledger()
    node.restart(make_chain([SUSPENSION[0], make_order()]))
    with pytest.raises(ChainBroken, match="another order 2"):
        slow.refresh()
    assert slow.state.version == 1


def test_rot_in_the_copy_is_not_taken_for_a_fork(node: Node):
    signed = make_chain(SUSPENSION)
    node.fill(signed[:1])
    slow = node.ledger()
    node.fill(signed[1:], start=2)
    node.ledger()
    node.copy.write_bytes(node.copy.read_bytes()[:-60] + b"A" + node.copy.read_bytes()[-59:])
    assert slow.refresh()
    assert slow.state.version == 2
    assert Replica(node.copy).load() == (list(enumerate(signed, 1)), False)


def test_full_disk_delays_no_suspension_and_the_copy_is_made_good(node: Node, monkeypatch: pytest.MonkeyPatch):
    signed = make_chain([*SUSPENSION, make_order()])
    node.fill(signed[:1])
    ledger = node.ledger()
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 200:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:150])

    monkeypatch.setattr(replica_module.os, "write", half)
    node.fill(signed[1:2], start=2)
    assert ledger.refresh()
    assert ledger.state.clients["pharm"].suspended
    assert "No space" in ledger.status.copy_error
    monkeypatch.setattr(replica_module.os, "write", write)
    ledger.refresh()
    assert ledger.status.copy_error is None
    assert Replica(node.copy).load() == (list(enumerate(signed[:2], 1)), False)


def test_failed_fsync_of_the_copy_is_not_tried_again_on_the_same_file(node: Node, monkeypatch: pytest.MonkeyPatch):
    signed = make_chain(SUSPENSION)
    node.fill(signed)
    ledger = node.ledger()
    node.fill(make_chain([*SUSPENSION, make_order()])[2:], start=3)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(replica_module.os, "fdatasync", fail)
    inode = node.copy.stat().st_ino
    ledger.refresh()
    assert ledger.status.copy_error
    ledger.refresh()
    assert node.copy.stat().st_ino != inode
    assert ledger.status.copy_error is None


def test_unreadable_copy_does_not_stop_a_start(node: Node):
    node.fill(make_chain(SUSPENSION))
    node.copy.mkdir(parents=True)
    ledger = node.ledger()
    assert ledger.state.version == 2
    assert "copy" in ledger.status.copy_error


def test_clock_gone_back_breaks_no_chain(node: Node):
    ledger = node.ledger()
    for days in (0, -2, -20_000, 30_000, -1):
        ledger.issue(intent(), KEY, NOON + days * 24 * HOUR)
    assert node.ledger().state.version == 5


class _Step:
    """Kills this process around the call its class counts down to."""

    left = 0

    @classmethod
    def around(cls, function: Any) -> Any:
        def stepped(*arguments: Any, **options: Any) -> Any:
            cls.count()
            result = function(*arguments, **options)
            cls.count()
            return result

        return stepped

    @classmethod
    def count(cls) -> None:
        if cls.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        cls.left -= 1


class _Connection(sqlite3.Connection):
    def execute(self, *arguments: Any) -> Any:
        return _Step.around(super().execute)(*arguments)


def test_killed_between_any_two_steps_of_an_order_store_and_copy_are_old_or_new(
    node: Node, monkeypatch: pytest.MonkeyPatch
):
    node.fill(make_chain(SUSPENSION[:1]))
    node.ledger().issue(intent(), KEY, NOON)
    connect, died = sqlite3.connect, 0
    for step in range(400):
        before = SqliteOrderStore(node.db).head()
        child = os.fork()
        if child == 0:
            _Step.left = step
            for name in ("write", "fdatasync", "fsync", "open", "close"):
                monkeypatch.setattr(replica_module.os, name, _Step.around(getattr(os, name)))
            monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{"factory": _Connection, **k}))
            try:
                node.ledger().issue(intent(), KEY, NOON)
                os._exit(0)
            finally:
                os._exit(1)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert ended in (0, -signal.SIGKILL)
        survived = ended == 0
        kept, damaged = Replica(node.copy).load()
        store = SqliteOrderStore(node.db)
        assert store.head() - before in (0, 1)
        assert not damaged
        assert kept == store.read(1)[: len(kept)]
        assert len(kept) >= before
        store.close()
        reborn = node.ledger()
        assert (reborn.status.error, reborn.status.copy_error) == (None, None)
        assert Replica(node.copy).load()[0] == reborn.store.read(1)
        if survived:
            break
        died += 1
    assert survived
    assert died > 20


def test_a_thousand_orders_are_followed_fast(node: Node):
    orders = [make_order(kind="client.register", scope=f"c{n}", body=registration()) for n in range(1000)]
    signed = make_chain(orders)
    with sqlite3.connect(node.db) as connection:
        connection.executemany("INSERT INTO orders VALUES (?, ?)", enumerate(signed, 1))
    connection.close()
    started = time.perf_counter()
    ledger = node.ledger()
    from_store = time.perf_counter() - started
    started = time.perf_counter()
    node.ledger()
    from_copy = time.perf_counter() - started
    started = time.perf_counter()
    ledger.issue(intent(), KEY, NOON)
    one_more = time.perf_counter() - started
    assert from_store < 2
    assert from_copy < 2
    assert one_more < 0.25


@pytest.mark.parametrize(
    ("intent", "refused"),
    [
        (Intent(kind="mode.set", scope="*", body={"mode": "suspended"}, reason="doubt", actor="ann"), None),
        (Intent(kind="mode.set", scope="*", body={"mode": "off"}, reason="doubt", actor="ann"), InvalidField),
        (Intent(kind="mode.set", scope="*", body={"mode": "suspended"}, reason="", actor="ann"), InvalidField),
        (Intent(kind="client.suspend", scope="ph-1", body={}, reason="doubt", actor="ann"), NotFound),
    ],
)
def test_an_order_can_be_checked_as_it_would_be_issued_and_is_not_given(
    node: Node, intent: Intent, refused: type[Exception] | None
):
    ledger = node.ledger()
    if refused is None:
        ledger.check(intent, NOON)
    else:
        with pytest.raises(refused) as checked:
            ledger.check(intent, NOON)
        with pytest.raises(refused) as issued:
            ledger.issue(intent, KEY, NOON)
        assert str(checked.value) == str(issued.value)
    assert (ledger.state, ledger.orders()) == (State(), [])
