from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.replica import Replica
from service.control.restore import restore_orders
from service.control.store import SqliteOrderStore
from service.errors import OperatorError, StoreUnavailable
from service.files import write_durable
from tests.unit.control.control_chain import KEY, KEYS, NOON, make_chain, make_key, make_order, registration

CHAIN = make_chain(
    [
        make_order(kind="client.register", scope="pharm", body=registration()),
        make_order(kind="client.suspend", scope="pharm"),
        make_order(),
    ]
)
OTHER = make_chain([replace(make_order(), reason="another chain")])


class Node:
    """A store and this node's copy, each as a test wants them."""

    def __init__(self, root: Path) -> None:
        self.store = root / "orders.db"
        self.copy = root / "orders.jsonl"

    def have(self, store: list[str] | None, copy: list[str]) -> None:
        Replica(self.copy).replace(list(enumerate(copy, 1)))
        if store is not None:
            SqliteOrderStore.create(self.store, list(enumerate(store, 1)))

    def restore(self) -> int:
        return restore_orders(self.store, KEYS, Replica(self.copy, writable=False), "old", lambda _: None, 0.1)

    def held(self) -> list[str]:
        with closing(SqliteOrderStore(self.store)) as store:
            return [jws for _, jws in store.read(1)]

    def files(self) -> set[str]:
        return {path.name for path in self.store.parent.iterdir() if not path.name.startswith(".")}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_lost_store_is_written_anew_and_goes_on(node: Node):
    node.have(None, CHAIN)
    assert node.restore() == 3
    assert node.held() == CHAIN
    with closing(Ledger(SqliteOrderStore(node.store), KEYS, Replica(node.copy))) as ledger:
        ledger.open()
        assert ledger.state.clients["pharm"].suspended
        intent = Intent(kind="mode.set", scope="*", body={"mode": "degraded"}, reason="well", actor="cli:test")
        assert ledger.issue(intent, KEY, NOON).version == 4


@pytest.mark.parametrize("damage", ["garbage", "empty", "another database", "an order that does not verify", "a gap"])
def test_a_damaged_store_is_replaced_and_kept_beside(node: Node, damage: str):
    node.have(None, CHAIN)
    if damage == "garbage":
        node.store.write_bytes(b"\x00garbage" * 1000)
    elif damage == "empty":
        node.store.touch()
    elif damage == "another database":
        with closing(sqlite3.connect(node.store)) as connection:
            connection.execute("CREATE TABLE birds (name TEXT)")
    elif damage == "an order that does not verify":
        SqliteOrderStore.create(node.store, [(1, CHAIN[0]), (2, CHAIN[1][:-4] + "AAAA")])
    else:
        SqliteOrderStore.create(node.store, [(1, CHAIN[0]), (3, CHAIN[2])])
    before = node.store.read_bytes()
    node.restore()
    assert node.held() == CHAIN
    assert node.store.with_name("orders.db.old").read_bytes() == before


def test_a_store_that_went_back_is_brought_up_to_the_copy(node: Node):
    node.have(CHAIN[:1], CHAIN)
    assert node.restore() == 3
    assert node.held() == CHAIN


@pytest.mark.parametrize("copied", [1, 3])
def test_a_sound_store_is_never_replaced(node: Node, copied: int):
    node.have(CHAIN, CHAIN[:copied])
    with pytest.raises(OperatorError, match="sound, up to order 3"):
        node.restore()
    assert node.held() == CHAIN
    assert node.files() == {"orders.db", "orders.jsonl"}


def test_what_only_the_store_holds_is_not_given_up(node: Node):
    """Also where it does not verify here: the key that signed it may only be missing from the settings."""
    later = make_chain([make_order(), make_order()], make_key())
    node.have([CHAIN[0], *later], CHAIN[:2])
    with pytest.raises(OperatorError, match="goes to order 3 and this node's copy only to 2"):
        node.restore()
    assert len(node.held()) == 3


def test_between_two_chains_that_hold_people_decide(node: Node):
    node.have(OTHER, CHAIN)
    with pytest.raises(OperatorError, match="different orders 1"):
        node.restore()
    assert node.held() == OTHER


@pytest.mark.parametrize("fault", ["none", "torn in the middle", "another key", "does not fold"])
def test_only_a_copy_that_verifies_is_taken(node: Node, fault: str):
    if fault == "torn in the middle":
        node.have(None, CHAIN)
        write_durable(node.copy, node.copy.read_bytes().replace(b'"version":2', b'"version":7'))
    elif fault == "another key":
        node.have(None, make_chain([make_order()], make_key()))
    elif fault == "does not fold":
        node.have(None, make_chain([make_order(kind="client.resume", scope="nobody")]))
    with pytest.raises(OperatorError, match="this node's copy"):
        node.restore()
    assert not node.store.exists()


def test_a_locked_store_is_not_taken_for_a_damaged_one(node: Node, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.control.restore.COMMAND_BUSY_SECONDS", 0.05)
    node.have(CHAIN[:1], CHAIN)
    with closing(sqlite3.connect(node.store, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="nobody can tell"):
            node.restore()
        writer.execute("ROLLBACK")
    assert node.held() == CHAIN[:1]


def test_a_log_left_behind_is_not_taken_for_the_new_store_s(node: Node):
    node.have(CHAIN[:1], CHAIN)
    with closing(sqlite3.connect(node.store)) as reader:
        reader.execute("SELECT count(*) FROM orders").fetchone()
        with closing(SqliteOrderStore(node.store)) as store:
            store.append(2, CHAIN[1])
        assert "orders.db-wal" in node.files()
        node.store.unlink()
        assert node.restore() == 3
        assert {"orders.db.old-wal", "orders.db.old-shm"} <= node.files()
    assert node.held() == CHAIN


def test_the_new_name_appears_only_once_everybody_let_go_of_the_old_file(node: Node):
    node.have(CHAIN[:1], CHAIN)
    seen: list[tuple[float, bool]] = []
    copy = Replica(node.copy, writable=False)
    restore_orders(node.store, KEYS, copy, "old", lambda s: seen.append((s, node.store.exists())), 2.0)
    assert seen == [(10.0, False)]


def test_an_append_meanwhile_is_told_that_it_is_unknown(node: Node):
    """A writer that waited for the old file's lock must not believe that its order is in the chain."""
    node.have(CHAIN[:1], CHAIN)

    def append(_: float) -> None:
        with closing(SqliteOrderStore(node.store)) as store, pytest.raises(StoreUnavailable):
            store.append(2, CHAIN[1])

    restore_orders(node.store, KEYS, Replica(node.copy, writable=False), "old", append, 0.1)
    assert node.held() == CHAIN


def test_what_workers_could_not_open_is_not_written(node: Node, monkeypatch: pytest.MonkeyPatch):
    node.have(None, CHAIN)
    monkeypatch.setattr("os.geteuid", lambda: node.copy.stat().st_uid + 1)
    with pytest.raises(OperatorError, match="another user"):
        node.restore()
    assert not node.store.exists()
