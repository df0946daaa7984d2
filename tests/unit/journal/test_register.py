"""The register of the control store and its double in memory: one contract."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from service.control.fleet import FleetStore
from service.journal.damage import Cause
from service.journal.register import Register, RegisterView
from service.journal.verify import verify_journal
from tests.unit.journal.journal_node import MemoryRegister, Node, pending

AT = "2024-02-05T09:30:12.123Z"


class Both(Register, RegisterView, Protocol):
    """A register that can be written and read."""


@pytest.fixture(params=["memory", "sqlite"])
def register(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Both]:
    if request.param == "memory":
        yield MemoryRegister()
        return
    FleetStore.create(tmp_path / "fleet.db")
    store = FleetStore(tmp_path / "fleet.db")
    yield store
    store.close()


def state(register: Both) -> list[tuple[str, str, str | None, int]]:
    return [(s.journal, s.header_sha256, s.head_sha256, s.entries) for s in register.segments()]


def test_it_only_grows_and_reports_may_come_again(register: Both):
    for _ in range(2):
        register.open_segment("a", "node-1", 0, "header", AT)
    assert state(register) == [("a", "header", None, 0)]
    register.advance("a", "second", 5, AT)
    register.advance("a", "second", 5, AT)
    register.advance("a", "first", 3, AT)
    assert state(register) == [("a", "header", "second", 5)]


def test_it_may_be_called_from_another_thread(register: Both):
    thread = threading.Thread(target=register.open_segment, args=("a", "node-1", 0, "header", AT))
    thread.start()
    thread.join()
    assert state(register) == [("a", "header", None, 0)]


async def test_a_writer_reports_and_a_verifier_compares(node: Node, register: Both):
    node.register = register  # type: ignore[assignment]
    writer = node.writer()
    await writer.start()
    for number in range(3):
        await writer.record(pending(number))
    await writer.close()
    assert verify_journal(node.directory, node.keys, register).findings == ()
    path = node.segments()[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    (finding,) = verify_journal(node.directory, node.keys, register).findings
    assert (finding.cause, finding.first, finding.last) == (Cause.CUT, 2, 2)
