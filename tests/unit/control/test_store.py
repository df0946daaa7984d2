from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.control import database
from service.control.store import SqliteOrderStore
from service.errors import OperatorError, StoreUnavailable, VersionConflict


@pytest.fixture
def path(tmp_path: Path):
    SqliteOrderStore.create(tmp_path / "control" / "orders.db")
    return tmp_path / "control" / "orders.db"


@pytest.fixture
def store(path: Path):
    opened = SqliteOrderStore(path, busy_seconds=0.05)
    yield opened
    opened.close()


def test_created_for_its_owner_alone_and_never_over_another(path: Path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OperatorError):
        SqliteOrderStore.create(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["orders.db"]


def test_append_is_compare_and_swap_on_the_version(store: SqliteOrderStore):
    store.append(1, "one")
    for taken in (1, 3):
        with pytest.raises(VersionConflict):
            store.append(taken, "other")
    store.append(2, "two")
    assert (store.head(), store.read(1), store.read(2)) == (2, [(1, "one"), (2, "two")], [(2, "two")])


def test_appended_is_there_for_another_process(store: SqliteOrderStore, path: Path):
    store.append(1, "one")
    assert SqliteOrderStore(path).read(1) == [(1, "one")]


def test_settings_that_make_a_commit_durable(store: SqliteOrderStore):
    seen = store._database.write(
        lambda c: [c.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    )
    assert seen == ["wal", 2]


def test_changed_tells_of_every_append_once(store: SqliteOrderStore, path: Path):
    other = SqliteOrderStore(path)
    assert [store.changed(), store.changed()] == [True, False]
    other.append(1, "one")
    assert [store.changed(), store.changed()] == [True, False]
    store.append(2, "two")
    assert [store.changed(), store.changed()] == [True, False]


def test_stored_orders_can_be_neither_changed_nor_removed(store: SqliteOrderStore, path: Path):
    store.append(1, "one")
    with sqlite3.connect(path) as connection:
        for statement in ("UPDATE orders SET jws = 'x'", "DELETE FROM orders"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)
    connection.close()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def blank(path: Path) -> None:
    os.truncate(path, 0)


def scribble(path: Path) -> None:
    path.write_bytes(b"not a database, whatever its name says" * 100)


def flip_table(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 : 2 * 4096] = bytes(b ^ 0xFF for b in data[4096 : 2 * 4096])
    path.write_bytes(data)


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (version INTEGER PRIMARY KEY, jws TEXT)")
    connection.close()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [Path.unlink, cut, blank, scribble, flip_table, foreign, directory]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_or_deleted_store_is_unavailable_and_never_empty(path: Path, damage: Callable[[Path], None]):
    opened = SqliteOrderStore(path)
    opened.append(1, "one")
    opened.close()
    damage(path)
    for call in (opened.head, lambda: opened.read(1), lambda: opened.append(2, "two")):
        with pytest.raises(StoreUnavailable):
            call()


@pytest.mark.parametrize("damage", [Path.unlink, directory], ids=lambda damage: damage.__name__)
def test_deletion_under_an_open_store_is_noticed(store: SqliteOrderStore, path: Path, damage: Callable[[Path], None]):
    store.append(1, "one")
    assert store.read(1)
    damage(path)
    for call in (store.head, store.changed, lambda: store.read(1), lambda: store.append(2, "two")):
        with pytest.raises(StoreUnavailable):
            call()


def test_replaced_store_is_read_anew(store: SqliteOrderStore, path: Path, tmp_path: Path):
    store.append(1, "one")
    assert store.changed()
    SqliteOrderStore.create(tmp_path / "copy.db")
    shutil.move(tmp_path / "copy.db", path)
    for sidecar in ("-wal", "-shm"):
        path.with_name(path.name + sidecar).unlink(missing_ok=True)
    assert store.changed()
    assert store.read(1) == []


def test_locked_store_delays_a_command_a_little_and_a_reader_not_at_all(store: SqliteOrderStore, path: Path):
    store.append(1, "one")
    store.changed()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.append(2, "two")
    assert (store.head(), store.changed()) == (1, False)
    holder.execute("ROLLBACK")
    holder.close()
    store.append(2, "two")


def test_exclusively_locked_store_is_unavailable_to_readers_at_once(path: Path):
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    opened = SqliteOrderStore(path, busy_seconds=0.05)
    for call in (opened.head, opened.changed):
        with pytest.raises(StoreUnavailable):
            call()
    holder.execute("ROLLBACK")
    holder.close()
    assert opened.head() == 0
    opened.close()


def test_command_waits_for_a_reader_to_be_let_in(path: Path):
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    opened = SqliteOrderStore(path, read_busy_seconds=30)
    release = threading.Timer(0.2, holder.close)
    release.start()
    assert opened.head() == 0
    opened.close()
    release.join()


class _Mortal(sqlite3.Connection):
    """Dies by SIGKILL around the statement its class counts down to: before it if even, after it if odd."""

    left = 0

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        for before in (True, False):
            if _Mortal.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            _Mortal.left -= 1
            if before:
                cursor = super().execute(*arguments)
        return cursor


def test_killed_between_any_two_steps_of_an_append_leaves_old_or_new(path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    connect = sqlite3.connect
    for step in range(100):
        version = SqliteOrderStore(path).head() + 1
        child = os.fork()
        if child == 0:
            _Mortal.left = step
            monkeypatch.setattr(database.sqlite3, "connect", lambda *a, **k: connect(*a, **{"factory": _Mortal, **k}))
            try:
                SqliteOrderStore(path).append(version, f"order {version}")
                os._exit(0)
            finally:
                os._exit(1)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert ended in (0, -signal.SIGKILL)
        survived = ended == 0
        after = SqliteOrderStore(path)
        rows = after.read(1)
        after.close()
        assert rows == [(n, f"order {n}") for n in range(1, len(rows) + 1)]
        assert len(rows) in (version - 1, version)
        seen.append(len(rows) == version)
        if survived:
            break
    assert survived
    assert {False, True} <= set(seen)
    # From the commit on it is there, and nowhere before.
    assert seen == sorted(seen)
