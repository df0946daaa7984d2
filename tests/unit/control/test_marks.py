"""Marks between workers and the one that judges."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path

import pytest

from service.control import marks as module
from service.control.fleet import FleetStore
from service.control.marks import Seat, SqliteMarkStore
from service.errors import StoreUnavailable

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
MARKS = {("p", "750012346"): [1, 2**40 - 1], ("hub", "750012346"): [7]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    FleetStore.create(tmp_path / "fleet.db")
    return tmp_path / "fleet.db"


@pytest.fixture
def store(path: Path) -> SqliteMarkStore:
    return SqliteMarkStore(path)


def test_batches_are_read_in_order_until_they_are_dropped(store: SqliteMarkStore):
    assert store.read(0, 10) == []
    store.hand_over(5, MARKS)
    store.hand_over(6, {})
    first, second = store.read(0, 10)
    assert (first.hour, first.marks) == (5, MARKS)
    assert store.read(first.id, 10) == [second]
    assert store.read(0, 1) == [first]
    store.drop(first.id)
    assert store.read(0, 10) == [second]
    store.drop(second.id)
    store.hand_over(7, MARKS)
    assert store.read(0, 10)[0].id > second.id


def test_the_last_batch_is_known_also_once_it_is_dropped(store: SqliteMarkStore):
    assert store.last() == 0
    store.hand_over(5, MARKS)
    store.hand_over(6, MARKS)
    store.drop(store.last())
    assert store.last() == 2
    assert store.read(0, 10) == []


def test_all_workers_have_one_key_and_a_day_s_is_gone_once_the_day_after_next_is_made(
    path: Path, store: SqliteMarkStore
):
    other = SqliteMarkStore(path)
    assert store.key("day", 10, lambda: b"a" * 32) == other.key("day", 10, lambda: b"b" * 32) == b"a" * 32
    assert store.key("period", 10, lambda: b"p" * 32) == b"p" * 32
    store.key("day", 11, lambda: b"c" * 32)
    assert store.key("day", 10, lambda: b"d" * 32) == b"a" * 32
    store.key("day", 12, lambda: b"e" * 32)
    with closing(module.Database(path, module.APPLICATION_ID, "NORMAL", 1)) as database:
        left = database.read(lambda it: it.execute("SELECT kind, number FROM mark_keys ORDER BY 1, 2").fetchall())
    assert left == [("day", 11), ("day", 12), ("period", 10)]


def test_what_nobody_takes_goes_the_oldest_first(store: SqliteMarkStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_BATCHES", 3)
    for hour in range(5):
        store.hand_over(hour, MARKS)
    assert [batch.hour for batch in store.read(0, 10)] == [2, 3, 4]


def test_a_batch_that_is_not_whole_does_not_hide_those_behind_it(path: Path, store: SqliteMarkStore):
    store.hand_over(1, MARKS)
    with closing(module.Database(path, module.APPLICATION_ID, "NORMAL", 1)) as database:
        database.write(lambda it: it.execute("UPDATE marks SET marks = x'ff00'").close())
    store.hand_over(2, MARKS)
    assert [batch.marks for batch in store.read(0, 10)] == [{}, MARKS]


def test_a_judge_says_that_it_is_at_work(store: SqliteMarkStore):
    assert store.seat() is None
    for alarm in ("too many", None):
        store.take_seat(Seat(NOW, alarm))
        assert store.seat() == Seat(NOW, alarm)


def test_a_store_made_anew_is_another_epoch(path: Path, store: SqliteMarkStore):
    assert store.epoch(lambda: b"1") == store.epoch(lambda: b"2") == b"1"
    path.unlink()
    with pytest.raises(StoreUnavailable):
        store.epoch(lambda: b"3")
    FleetStore.create(path)
    assert store.epoch(lambda: b"3") == b"3"
