from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from service.control import suspicions as module
from service.control.fleet import FleetStore
from service.control.suspicions import SqliteSuspicions, Suspicion
from service.errors import StoreUnavailable

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)


@pytest.fixture
def store(tmp_path: Path) -> SqliteSuspicions:
    FleetStore.create(tmp_path / "fleet.db")
    return SqliteSuspicions(tmp_path / "fleet.db")


def suspicion(minutes: int = 0, step: str = "note", held: str | None = None) -> Suspicion:
    at = NOW + dt.timedelta(minutes=minutes)
    return Suspicion(at, "750012346", ("p", "hub"), step, ("pace",), "pace 70 (expected 12)", held)


def test_what_was_told_is_read_back_from_an_instant_on(store: SqliteSuspicions):
    told = [suspicion(), suspicion(1, "slow", "report"), suspicion(2, "suspend")]
    store.add(told[:2])
    store.add(told[2:])
    assert store.since(NOW) == told
    assert store.since(NOW + dt.timedelta(minutes=1)) == told[1:]


def test_a_home_that_never_had_any_has_none(store: SqliteSuspicions):
    assert store.since(NOW) == []


def test_the_oldest_go_beyond_a_bound(store: SqliteSuspicions, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    for minute in range(5):
        store.add([suspicion(minute)])
    assert store.since(NOW) == [suspicion(minute) for minute in (2, 3, 4)]


def test_a_lost_store_is_said_to_be_lost(store: SqliteSuspicions, tmp_path: Path):
    (tmp_path / "fleet.db").unlink()
    for use in (lambda: store.add([suspicion()]), lambda: store.since(NOW)):
        with pytest.raises(StoreUnavailable):
            use()
