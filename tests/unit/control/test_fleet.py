from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.control.fleet import FleetStore, Heartbeat, Segment, pid_space
from service.control.format import instant_text
from service.errors import ChainBroken, StoreUnavailable
from tests.unit.control.control_chain import NOON


@pytest.fixture
def fleet(tmp_path: Path):
    FleetStore.create(tmp_path / "fleet.db")
    opened = FleetStore(tmp_path / "fleet.db")
    yield opened
    opened.close()


def beat(worker: int = 1, **members: Any):
    known = {"node": "n", "server": "rights", "pid": os.getpid(), "pid_space": pid_space(), "sequence": 42}
    return Heartbeat(worker=worker, **{**known, "order_version": 7, "at": NOON, **members})


def test_last_beat_of_each_worker_is_kept(fleet: FleetStore):
    for heartbeat in (beat(2), beat(1), beat(2, order_version=8, sequence=None), beat(1, server="admin")):
        fleet.beat(heartbeat)
    assert fleet.live(NOON) == [beat(1, server="admin"), beat(1), beat(2, order_version=8, sequence=None)]
    fleet.retire("n", "rights", 2)
    assert len(fleet.live(NOON)) == 2


def test_a_store_of_before_there_was_an_upstream_is_read_and_brought_up(fleet: FleetStore, tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as earlier:
        earlier.execute("ALTER TABLE heartbeats DROP COLUMN upstream")
        row = ("n", "rights", 1, os.getpid(), pid_space(), 42, 7, instant_text(NOON))
        earlier.execute("INSERT INTO heartbeats VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        earlier.commit()
    assert fleet.live(NOON) == [beat(1)]
    with pytest.raises(StoreUnavailable):
        fleet.beat(beat(2, upstream="open"))
    for _ in range(2):
        fleet.prepare()
    fleet.beat(beat(2, upstream="open"))
    assert fleet.live(NOON)[-1].upstream == "open"


def test_reader_waits_while_a_beat_ends(tmp_path: Path):
    FleetStore.create(tmp_path / "fleet.db")
    holder = sqlite3.connect(tmp_path / "fleet.db", isolation_level=None, check_same_thread=False)
    # What closing the last connection of a write does for a moment, held longer.
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.2, holder.close)
    release.start()
    opened = FleetStore(tmp_path / "fleet.db")
    assert opened.live(NOON) == []
    opened.close()
    release.join()


@pytest.mark.parametrize(("seconds", "lives"), [(-6, False), (-5, True), (5, True), (5.1, False), (172_800, False)])
def test_worker_lives_five_seconds_beyond_its_beat_either_way(fleet: FleetStore, seconds: float, lives: bool):  # noqa: FBT001
    fleet.beat(beat())
    assert bool(fleet.live(NOON + dt.timedelta(seconds=seconds))) is lives


def test_dead_process_is_not_waited_for(fleet: FleetStore):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    fleet.beat(beat(pid=child.pid))
    assert fleet.live(NOON) == []


def test_process_of_another_container_is_not_judged_by_its_number(fleet: FleetStore):
    fleet.beat(beat(pid=2**22 - 1, pid_space="another boot pid:[1]"))
    assert len(fleet.live(NOON)) == 1


def test_register_keeps_the_last_head_of_each_segment(fleet: FleetStore):
    fleet.open_segment("j1", "n", 1, "h", "t0")
    fleet.open_segment("j1", "n", 1, "h", "t1")
    assert fleet.segments() == [Segment("j1", "n", 1, "h", None, 0, "t0")]
    for head, entries in (("a", 3), ("b", 9), ("a", 3), ("b", 9)):
        fleet.advance("j1", head, entries, "t2")
    assert fleet.segments() == [Segment("j1", "n", 1, "h", "b", 9, "t2")]


def test_segment_with_two_headers_or_two_heads_is_a_fork(fleet: FleetStore):
    fleet.open_segment("j1", "n", 1, "h", "t0")
    fleet.advance("j1", "a", 3, "t1")
    with pytest.raises(ChainBroken):
        fleet.open_segment("j1", "n", 1, "other", "t2")
    with pytest.raises(ChainBroken):
        fleet.advance("j1", "b", 3, "t2")
    assert fleet.segments()[0].head_sha256 == "a"


def test_report_for_a_segment_the_register_lost_is_not_swallowed(fleet: FleetStore):
    with pytest.raises(StoreUnavailable):
        fleet.advance("j1", "a", 3, "t1")


def test_register_never_shrinks_even_by_hand(fleet: FleetStore, tmp_path: Path):
    fleet.open_segment("j1", "n", 1, "h", "t0")
    fleet.advance("j1", "a", 3, "t1")
    with sqlite3.connect(tmp_path / "fleet.db") as connection:
        for statement in ("DELETE FROM segments", "UPDATE segments SET entries = 2"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)
    connection.close()


def test_lost_store_is_unavailable(fleet: FleetStore, tmp_path: Path):
    fleet.beat(beat())
    (tmp_path / "fleet.db").unlink()
    for call in (lambda: fleet.beat(beat()), lambda: fleet.live(NOON), fleet.segments):
        with pytest.raises(StoreUnavailable):
            call()
