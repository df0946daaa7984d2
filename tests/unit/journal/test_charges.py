"""A dead worker's leases are settled by counting its entries, never less than it answered."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from service.journal.charges import Charges, count_charges
from service.journal.segment import lines
from tests.unit.journal.journal_node import NODE, NOW, Node, pending

TODAY = NOW.date()
CLIENT = ("pharmacie-1", "750012346")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def write(node: Node, *leases: int | None, worker: int = 0, **members: Any) -> None:
    writer = node.writer(worker)
    await writer.start()
    await asyncio.gather(*[writer.record(pending(lease=lease, **members)) for lease in leases])
    await writer.close()
    node.clock.value += dt.timedelta(seconds=1)


def counted(node: Node, worker: int = 0, since: dt.date = TODAY) -> Charges:
    return count_charges(node.directory, NODE, lambda slot: slot == worker, since)


async def test_entries_are_counted_by_lease_with_those_about_nobody_known(node: Node):
    await write(node, 3, 3, 4, None)
    await write(node, 3, reasons=("upstream_disabled",))
    await write(node, 3, worker=1)
    charges = counted(node, 0, TODAY)
    assert charges.of_lease(3, *CLIENT, 20) == (3, 2)
    assert charges.of_lease(4, *CLIENT, 20) == (1, 1)
    assert charges.of_lease(5, *CLIENT, 20) == (0, 0)
    assert counted(node, 1, TODAY).of_lease(3, *CLIENT, 20) == (1, 1)


async def test_no_more_is_counted_than_was_lent(node: Node):
    await write(node, 3, 3, 3)
    assert counted(node, 0, TODAY).of_lease(3, *CLIENT, 2) == (2, 2)


async def test_a_lease_is_its_clients_own(node: Node):
    await write(node, 3)
    assert counted(node, 0, TODAY).of_lease(3, "another", CLIENT[1], 20) == (0, 0)


async def test_the_outage_share_is_counted_by_paris_day(node: Node):
    node.clock.value = dt.datetime(2024, 2, 5, 22, 59, 50, tzinfo=dt.UTC)
    await write(node, 0, 0)
    node.clock.value = dt.datetime(2024, 2, 5, 23, 0, 10, tzinfo=dt.UTC)
    await write(node, 0)
    charges = counted(node, 0, TODAY)
    assert charges.of_day("2024-02-05", 0) == {CLIENT: (2, 2)}
    assert charges.of_day("2024-02-06", 0) == {CLIENT: (1, 1)}
    assert charges.of_day("2024-02-06", 3) == {}


async def test_segments_of_long_ago_are_not_read(node: Node):
    await write(node, 3)
    assert counted(node, 0, TODAY + dt.timedelta(days=3)).by_lease == {}


async def test_what_stands_behind_the_last_head_counts_and_a_torn_line_does_not(node: Node):
    await write(node, 3, 3)
    (path,) = node.segments()
    entry = next(line for _, line in lines(path) if line.startswith(b'{"at"'))
    with path.open("ab") as file:
        file.write(entry + entry[:-20])
    charges = counted(node, 0, TODAY)
    assert charges.of_lease(3, *CLIENT, 20) == (3, 3)


async def test_in_a_damaged_journal_a_lease_counts_as_used_up(node: Node):
    await write(node, 3, 3)
    (path,) = node.segments()
    path.write_bytes(path.read_bytes().replace(b'"lease":3', b'"lease":x', 1))
    assert counted(node, 0, TODAY).of_lease(3, *CLIENT, 20) == (20, 20)


async def test_where_lines_are_missing_a_lease_counts_as_used_up(node: Node):
    await write(node, 3, 3)
    (path,) = node.segments()
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([whole[0], *whole[2:]]))
    assert counted(node).of_lease(3, *CLIENT, 20) == (20, 20)


async def test_where_a_header_is_missing_a_lease_counts_as_used_up(node: Node):
    await write(node, 3, 3)
    (path,) = node.segments()
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert counted(node).of_lease(3, *CLIENT, 20) == (20, 20)
    path.write_bytes(b"")
    assert counted(node).of_lease(3, *CLIENT, 20) == (0, 0)


async def test_segments_of_several_slots_are_counted_together(node: Node):
    await write(node, 0)
    await write(node, 0, worker=2)
    await write(node, 0, worker=1)
    charges = count_charges(node.directory, NODE, lambda slot: slot % 2 == 0, TODAY)
    assert charges.of_day("2024-02-05", 0) == {CLIENT: (2, 2)}


def test_no_journal_is_no_charge(tmp_path: Path):
    assert count_charges(tmp_path / "none", NODE, bool, TODAY).of_lease(3, *CLIENT, 20) == (0, 0)
