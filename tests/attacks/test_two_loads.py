"""Two loads at once, in two processes: one wins, the other says so, and no folder is made of both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.forge import RECORDS, Forge
from tests.attacks.gates import OPENING, ORDERING, TIDYING, Gate
from tests.attacks.victim import Said, Victim
from tests.fleet import REPOSITORY

UNDER_WAY = "relais: another load is under way in this home: wait for it to end\n"


class Operator:
    """Somebody at another shell, whose command waits at a gate."""

    def __init__(self, victim: Victim, gate: Gate, folder: Path) -> None:
        gate.shut()
        self._gate = gate
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service", "snapshot", "load", str(folder), "--home", str(victim.home)],
            cwd=REPOSITORY,
            env={**os.environ, **gate.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        gate.await_somebody()

    def goes_on(self) -> Said:
        """Through the gate, to the end."""
        self._gate.open()
        out, err = self._process.communicate(timeout=60)
        return Said(self._process.returncode, out, err)

    def kill(self) -> None:
        """Like a lost connection or an empty battery; nothing where it has ended."""
        self._process.kill()
        self._process.communicate(timeout=60)


@pytest.fixture
def operators() -> Iterator[list[Operator]]:
    """Whoever is at a shell when a test ends, leaves."""
    made: list[Operator] = []
    yield made
    for operator in made:
        operator.kill()


@pytest.mark.parametrize("sequence", [2, 3], ids=["under one sequence", "of two sequences"])
def test_of_two_loads_at_once_one_wins_and_no_folder_is_mixed(
    victim: Victim, forge: Forge, second: Path, operators: list[Operator], sequence: int
):
    mine, theirs = forge.copy(second, "mine"), forge.copy(second, "theirs")
    forge.rewrite(theirs, sequence=sequence, counts={**forge.payload(second)["counts"], "dropped": 99})
    before = victim.state()
    first = Operator(victim, Gate(forge.room, OPENING), mine)
    operators.append(first)
    during = victim.state()
    said = victim.load(theirs)
    assert (said.status, said.out, said.err) == (1, "", UNDER_WAY)
    assert victim.state() == during
    assert not (forge.room / "theirs.verdict.json").exists()
    done = first.goes_on()
    assert (done.status, done.err) == (0, "")
    after = victim.state()
    assert (after.active, victim.held()) == (2, {1: "superseded", 2: "active"})
    assert after.folders == before.folders | {"2", "2.verdict.json"}
    assert forge.digest(victim.home / "snapshots" / "2") == forge.digest(mine)
    assert (victim.home / "snapshots" / "2" / RECORDS).read_bytes() == (mine / RECORDS).read_bytes()
    if sequence == 3:
        victim.takes(theirs, 3)
    else:
        victim.refuses(
            theirs,
            "5 sequence against the floor",
            f"digest {forge.digest(mine)} for sequence 2",
            f"digest {forge.digest(theirs)}: two snapshots under one sequence",
        )


def test_a_load_that_dies_holds_nobody_up_and_leaves_nothing(
    victim: Victim, forge: Forge, second: Path, operators: list[Operator]
):
    before = victim.state()
    dying = Operator(victim, Gate(forge.room, OPENING), forge.copy(second, "mine"))
    operators.append(dying)
    assert any(name.startswith(".staging-") for name in victim.state().folders)
    dying.kill()
    assert victim.state().orders == before.orders
    assert victim.held() == {1: "active", 2: "staged"}
    victim.takes(second, 2)


def test_a_load_judged_by_a_floor_that_another_raised_meanwhile_is_refused(
    victim: Victim, forge: Forge, second: Path, operators: list[Operator]
):
    """Nothing is activated that was compared with what no longer serves, be it lower or higher."""
    slow = Operator(victim, Gate(forge.room, ORDERING), forge.rewrite(forge.copy(second, "slow"), sequence=4))
    operators.append(slow)
    victim.takes(second, 2)
    before = victim.state()
    said = slow.goes_on()
    assert said.status == 1
    assert said.err == (
        "relais: another snapshot was activated while this one was judged by the former: load it again\n"
    )
    assert (victim.state().orders, victim.floor()["sequence"]) == (before.orders, 2)
    assert victim.held() == {1: "superseded", 2: "active", 4: "verified"}
    victim.takes(forge.room / "slow", 4)


def test_a_slow_load_does_not_bring_an_older_snapshot_back(
    victim: Victim, forge: Forge, second: Path, operators: list[Operator]
):
    slow = Operator(victim, Gate(forge.room, ORDERING), forge.copy(second, "slow"))
    operators.append(slow)
    third = forge.rewrite(forge.copy(second, "third"), sequence=3)
    victim.takes(third, 3)
    before = victim.state()
    said = slow.goes_on()
    assert (said.status, said.err.count("\n")) == (1, 1), said
    assert (victim.state().orders, victim.state().active, victim.floor()["sequence"]) == (before.orders, 3, 3)
    victim.takes(forge.rewrite(forge.copy(second), sequence=4), 4)


def test_a_load_that_gave_its_order_succeeds_though_another_has_begun(
    victim: Victim, forge: Forge, second: Path, operators: list[Operator]
):
    """What is left to do then is tidying up: the next load does it."""
    former = Operator(victim, Gate(forge.room, TIDYING), forge.copy(second, "former"))
    operators.append(former)
    assert victim.state().active == 2
    third = forge.rewrite(forge.copy(second, "third"), sequence=3)
    latter = Operator(victim, Gate(forge.room, OPENING), third)
    operators.append(latter)
    done = former.goes_on()
    assert done.status == 0, done
    left = "superseded snapshots are left to the next load: "
    assert done.err == UNDER_WAY.replace("relais: ", f"relais: warning: {left}")
    done = latter.goes_on()
    assert (done.status, done.err) == (0, ""), done
    assert (victim.state().active, victim.floor()["sequence"]) == (3, 3)
    assert victim.held() == {1: "superseded", 2: "superseded", 3: "active"}
