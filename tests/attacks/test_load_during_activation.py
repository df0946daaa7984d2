"""A load during an activation: the second order comes while the workers still open what the first one named."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
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


def serving(served: Installation) -> list[int]:
    """What the workers serve, by their heartbeats."""
    fleet = json.loads(served.relais("status", "--fleet", "--json", status=None).stdout)
    return [worker["sequence"] for worker in fleet["workers"]]


@pytest.fixture
def answers(served: Installation) -> Iterator[list[int]]:
    """The snapshots that answer somebody who asks all the time, as they come."""
    seen: list[int] = []
    over = threading.Event()

    def ask() -> None:
        with closing(served.connect()) as connection:  # stays with one worker
            while not over.is_set():
                reply = served.ask(served.example("open"), connection=connection)
                assert reply.status == 200
                seen.append(reply.json()["answer"]["source"]["snapshot"])

    caller = threading.Thread(target=ask)
    caller.start()
    yield seen
    over.set()
    caller.join()


def test_a_second_order_during_the_opening_of_the_first_wins_and_nothing_goes_back(
    served: Installation, victim: Victim, forge: Forge, second: Path, gate: Gate, answers: list[int]
):
    third = forge.rewrite(forge.copy(second, "third"), sequence=3)
    wait_until(lambda: serving(served) == [1, 1], 30, lambda: served.read_log("rights"))
    gate.shut()
    for sequence, folder in ((2, second), (3, third)):
        said = victim.load(folder)  # the order is given, and nobody can follow it
        assert said.status == 3
        lines = said.err.splitlines()
        assert len(lines) == 2
        assert all(line.startswith("relais: does not follow order ") for line in lines)
        assert all(line.endswith("snapshot 1") for line in lines)
        gate.await_somebody()
        assert (victim.state().active, victim.floor()["sequence"]) == (sequence, sequence)
        assert serving(served) == [1, 1]
        assert served.request("GET", "/readyz").json()["ready"]
    gate.open()
    wait_until(lambda: serving(served) == [3, 3], 30, lambda: served.read_log("rights"))
    wait_until(lambda: 3 in answers, 30, lambda: "no answer")
    # Snapshot 2 was opened to the end, and never served: nobody wanted it any more.
    assert set(answers) == {1, 3}
    assert answers == sorted(answers)
    assert served.read_log("rights").count('"event": "snapshot_serves"') == 4
    assert victim.held() == {1: "superseded", 2: "superseded", 3: "active"}
    assert served.request("GET", "/readyz").json() == {"ready": True, "reasons": []}
    victim.takes(forge.rewrite(forge.copy(second), sequence=4), 4)
    assert serving(served) == [4, 4]
