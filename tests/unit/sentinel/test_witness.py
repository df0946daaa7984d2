"""What a worker tells of its answers, and what it keeps while nobody listens."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from service.access.counters import local_hour
from service.access.marks import unpack
from service.control.fleet import FleetStore
from service.control.marks import SqliteMarkStore
from service.paris import PARIS
from service.rights.model import Query
from service.sentinel import witness as module
from service.sentinel.witness import Witness

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
QUERY = Query("1985-05-12", 1, "750012346", dt.date(2024, 2, 5), "PHAR", (), nir="1850575000000")
HOUR = local_hour(NOW.astimezone(PARIS))


class SetClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> dt.datetime:
        return NOW + dt.timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    FleetStore.create(tmp_path / "fleet.db")
    return tmp_path / "fleet.db"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(path: Path) -> SqliteMarkStore:
    return SqliteMarkStore(path)


def take_away(path: Path) -> None:
    path.rename(path.with_name("away.db"))


def put_back(path: Path) -> None:
    path.with_name("away.db").rename(path)


async def test_each_answer_is_told_once_with_its_hour_and_nobody_in_it(store: SqliteMarkStore, clock: SetClock):
    witness = Witness(store, clock)
    await witness.start()
    witness.saw("p", QUERY, unknown=False, canary=False)
    witness.saw(
        "p", msgspec.structs.replace(QUERY, nir=None, amc="0990000011", member="X1"), unknown=True, canary=False
    )
    clock.seconds = 3600
    witness.saw("hub", QUERY, unknown=False, canary=True)
    await witness.close()
    told = {(batch.hour, *key): own for batch in store.read(0, 10) for key, own in batch.marks.items()}
    assert told.keys() == {(HOUR, "p", QUERY.finess), (HOUR + 1, "hub", QUERY.finess)}
    flags = [(unpack(mark).unknown, unpack(mark).canary) for own in told.values() for mark in own]
    assert flags == [(False, False), (True, False), (False, True)]
    assert unpack(told[HOUR, "p", QUERY.finess][0]).person == unpack(told[HOUR + 1, "hub", QUERY.finess][0]).person


async def test_two_workers_make_the_same_mark(path: Path, store: SqliteMarkStore, clock: SetClock):
    for witness in (Witness(store, clock), Witness(SqliteMarkStore(path), clock)):
        await witness.start()
        witness.saw("p", QUERY, unknown=False, canary=False)
        await witness.close()
    one, other = (batch.marks for batch in store.read(0, 10))
    assert one == other


async def test_a_canary_is_handed_over_at_once(
    store: SqliteMarkStore, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "HAND_OVER_SECONDS", 3600)
    witness = Witness(store, clock)
    await witness.start()
    witness.saw("p", QUERY, unknown=False, canary=False)
    assert store.read(0, 10) == []
    witness.saw("p", QUERY, unknown=False, canary=True)
    while not store.read(0, 10):
        await module.asyncio.sleep(0.01)
    await witness.close()


async def test_while_the_store_is_away_marks_wait_and_none_is_told_twice(
    path: Path, store: SqliteMarkStore, clock: SetClock
):
    witness = Witness(store, clock)
    await witness.start()
    take_away(path)
    for _ in range(3):
        witness.saw("p", QUERY, unknown=False, canary=False)
        await witness._turn()
    assert (witness.status.down_since, witness.status.waiting, witness.status.lost) == (NOW, 3, 0)
    put_back(path)
    await witness.close()
    assert sum(len(own) for batch in store.read(0, 10) for own in batch.marks.values()) == 3
    assert (witness.status.down_since, witness.status.waiting) == (None, 0)


async def test_over_a_midnight_without_the_store_tomorrows_key_is_there(
    path: Path, store: SqliteMarkStore, clock: SetClock
):
    witness = Witness(store, clock)
    await witness.start()
    take_away(path)
    clock.seconds = 16 * 3600
    witness.saw("p", QUERY, unknown=False, canary=False)
    assert witness.status.lost == 0
    put_back(path)
    await witness.close()
    assert [batch.hour // 24 for batch in store.read(0, 10)] == [HOUR // 24 + 1]


async def test_beyond_the_bound_marks_are_lost_loudly_and_a_canary_is_not(
    path: Path, store: SqliteMarkStore, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    witness = Witness(store, clock)
    take_away(path)
    await witness._turn()
    witness.saw("p", QUERY, unknown=False, canary=False)
    witness.saw("p", QUERY, unknown=False, canary=True)
    assert (witness.status.lost, witness.status.waiting) == (1, 1)  # there is no key to make a mark with
    put_back(path)
    await witness._turn()
    for _ in range(4):
        witness.saw("p", QUERY, unknown=False, canary=False)
    assert witness.status.lost == 3
    witness.saw("p", QUERY, unknown=False, canary=True)
    await witness.close()
    marks = [unpack(mark) for batch in store.read(0, 10) for own in batch.marks.values() for mark in own]
    assert [mark.canary for mark in marks] == [True, False, False, True]
