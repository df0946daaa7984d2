from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from service.control.replica import Replica
from service.errors import ChainBroken

ROWS = [(1, "one"), (2, "two"), (3, "three")]


@pytest.fixture
def path(tmp_path: Path):
    return tmp_path / "node" / "orders.jsonl"


def test_missing_copy_is_no_copy(path: Path):
    assert Replica(path).load() == ([], False)


def test_processes_of_a_node_extend_it_each_by_what_it_lacks(path: Path):
    assert Replica(path).extend(ROWS[:2])
    assert Replica(path).extend(ROWS)
    assert Replica(path).extend(ROWS[2:])
    assert Replica(path).load() == (ROWS, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_copy_with_a_gap_asks_to_be_written_anew(path: Path):
    assert not Replica(path).extend(ROWS[1:])
    Replica(path).replace(ROWS)
    assert Replica(path).load() == (ROWS, False)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_another_order_under_a_kept_number_is_a_fork(path: Path, version: int):
    Replica(path).extend(ROWS)
    with pytest.raises(ChainBroken):
        Replica(path).extend([(version, "forged"), *ROWS[version:]])
    assert Replica(path).load() == (ROWS, False)


def test_torn_last_line_is_dropped_and_overwritten(path: Path):
    Replica(path).extend(ROWS)
    whole = path.read_bytes()
    cut_at = whole.index(b"\n", whole.index(b"two")) + 1
    for size in range(cut_at, len(whole)):
        path.write_bytes(whole[:size])
        assert Replica(path).load() == (ROWS[:2], False)
        assert Replica(path).extend(ROWS[2:])
        assert path.read_bytes() == whole


def garble(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"version":2', b'"version":6'))


def join(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"}\n{", b"}{", 1))


def zero(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:40] + bytes(size - 41) + b"\n")


@pytest.mark.parametrize("damage", [garble, join, zero])
def test_damage_is_told_and_written_anew(path: Path, damage: Callable[[Path], None]):
    Replica(path).extend(ROWS)
    damage(path)
    orders, damaged = Replica(path).load()
    assert damaged
    assert orders == ROWS[: len(orders)]
    assert not Replica(path).extend([*ROWS[1:], (4, "four")])


def test_commands_leave_no_file_behind(path: Path):
    replica = Replica(path, writable=False)
    assert replica.extend(ROWS)
    replica.replace(ROWS)
    assert not path.parent.exists()


def test_lock_held_for_ever_is_an_error_and_no_wait(path: Path):
    Replica(path).extend(ROWS[:1])
    descriptor = os.open(path.with_name(".orders.jsonl.lock"), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        Replica(path).extend(ROWS)
    os.close(descriptor)
    assert Replica(path).extend(ROWS)
