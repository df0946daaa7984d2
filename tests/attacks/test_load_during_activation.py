"""A load during an activation: the second order comes while the workers still open what the first one named."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.forge import Forge
from tests.attacks.gates import OPENING, Gate
from tests.attacks.victim import Victim
from tests.fleet import Installation, free_ports, wait_until


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Stops the workers where they open a layer."""
    return Gate(tmp_path, OPENING)


@pytest.fixture
def served(victim: Victim, gate: Gate) -> Iterator[Installation]:
    """A real server of two workers."""
    rights, admin = free_ports(2)
    made = Installation(victim.home, dict(gate.environment), {"rights": rights, "admin": admin})
    try:
        made.start("rights", workers=2)
        made.environment.clear()  # commands are not held up
        yield made
    finally:
        gate.open()
        made.close()


def serving(served: Installation) -> set[int]:
    """What the workers serve, by their heartbeats."""
    fleet = json.loads(served.relais("status", "--fleet", "--json", status=None).stdout)
    return {worker["sequence"] for worker in fleet["workers"]}


def test_a_second_order_during_the_opening_of_the_first_wins_and_nothing_goes_back(
    served: Installation, victim: Victim, forge: Forge, second: Path, gate: Gate
):
    third = forge.rewrite(forge.copy(second, "third"), sequence=3)
    seen: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            reply = served.ask(served.example("open"))
            assert reply.status == 200
            seen.append(reply.json()["answer"]["source"]["snapshot"])

    caller = threading.Thread(target=ask)
    caller.start()
    gate.shut()
    said = victim.load(second)  # waits for the workers, in vain
    gate.await_somebody()
    assert said.status == 3
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("relais: does not follow order ") and line.endswith("snapshot 1") for line in lines)
    assert (victim.state().active, serving(served)) == (2, {1})

    later = threading.Thread(target=victim.takes, args=(third, 3)) if False else None
    assert later is None
    said = served.relais("snapshot", "load", str(third), status=None)
    assert said.returncode == 3
    assert (victim.state().active, serving(served)) == (3, {1})
    gate.open()
    wait_until(lambda: serving(served) == {3}, 30, lambda: served.read_log("rights"))
    over.set()
    caller.join()
    # Snapshot 2 was opened to the end, and never served: nobody wanted it any more.
    assert set(seen) <= {1, 3}
    assert sorted(seen) == seen or sorted(set(seen)) == [1, 3]
    assert '"sequence": 2, "event": "snapshot_serves"' not in served.read_log("rights")
    assert victim.held() == {1: "superseded", 2: "superseded", 3: "active"}
    assert victim.floor()["sequence"] == 3
    assert served.request("GET", "/readyz").json() == {"ready": True, "reasons": []}
    victim.takes(forge.rewrite(forge.copy(second), sequence=4), 4)
    assert serving(served) == {4}
    assert served.stop("rights") == 0
