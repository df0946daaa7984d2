from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from service.control.fleet import FleetStore
from service.control.follow import describe_worker, laggards, wait_for_fleet
from service.errors import StoreUnavailable
from tests.unit.control.control_chain import NOON
from tests.unit.control.test_fleet import beat


class Hands:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> dt.datetime:
        return NOON + dt.timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_laggards_are_behind_an_order_or_on_another_snapshot():
    beats = [beat(1), beat(2, order_version=6), beat(3, sequence=41), beat(4, server="admin", sequence=None)]
    assert [lag.worker for lag in laggards(beats, 7, 42)] == [2, 3]
    assert [lag.worker for lag in laggards(beats, 7, None)] == [2]
    assert describe_worker(beats[2]) == "n rights worker 3: order 7, snapshot 41"


def test_waits_until_the_last_follows_and_names_it_otherwise(tmp_path: Path):
    FleetStore.create(tmp_path / "fleet.db")
    fleet, hands = FleetStore(tmp_path / "fleet.db"), Hands()
    assert wait_for_fleet(fleet, hands, 8, sleep=hands.sleep) == []
    assert hands.seconds == 0

    def sleep_and_beat(seconds: float) -> None:
        hands.sleep(seconds)
        fleet.beat(beat(1, at=hands.now(), order_version=8 if hands.seconds > 1 else 7))

    fleet.beat(beat(1))
    assert wait_for_fleet(fleet, hands, 8, sleep=sleep_and_beat) == []
    assert 1 < hands.seconds < 1.2
    behind = wait_for_fleet(fleet, hands, 9, sleep=sleep_and_beat)
    assert [lag.worker for lag in behind] == [1]
    fleet.close()


def test_worker_that_dies_is_not_waited_for_to_the_end(tmp_path: Path):
    FleetStore.create(tmp_path / "fleet.db")
    fleet, hands = FleetStore(tmp_path / "fleet.db"), Hands()
    fleet.beat(beat(1, pid_space=""))
    assert wait_for_fleet(fleet, hands, 8, timeout_seconds=60, sleep=hands.sleep) == []
    assert 5 < hands.seconds < 6
    fleet.close()


def test_without_the_fleet_store_nobody_can_tell(tmp_path: Path):
    with pytest.raises(StoreUnavailable):
        wait_for_fleet(FleetStore(tmp_path / "fleet.db"), Hands(), 1)
