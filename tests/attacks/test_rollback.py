"""Rollback and equivocation: an older snapshot, another one under the same number, and a home made to forget."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.attacks.forge import Forge
from tests.attacks.victim import Victim

SEQUENCE = "5 sequence against the floor"


def test_rollback_to_the_snapshot_before_is_refused(victim: Victim, first: Path, forge: Forge, second: Path):
    victim.takes(second, 2)
    folder = forge.copy(first)
    victim.refuses(folder, SEQUENCE, "sequence 2 or above", "1: a rollback")
    assert (victim.state().active, victim.floor()["sequence"]) == (2, 2)
    assert victim.held() == {1: "superseded", 2: "active"}
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)


def test_rollback_by_a_held_snapshot_needs_a_pin(victim: Victim, second: Path, forge: Forge):
    victim.takes(second, 2)
    before = victim.state()
    said = victim.relais("snapshot", "activate", "1")
    assert said.status == 1
    assert said.err == f"relais: refused at step {SEQUENCE}: expected sequence 2 or above; found 1: a rollback\n"
    assert victim.state() == before
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)


def test_old_people_under_fresh_dates_are_still_an_old_sequence(
    victim: Victim, first: Path, forge: Forge, second: Path
):
    victim.takes(second, 2)
    dates = {name: forge.payload(second)[name] for name in ("created_at", "valid_until")}
    folder = forge.rewrite(forge.copy(first), **dates)
    victim.refuses(folder, SEQUENCE, "sequence 2 or above", "1: a rollback")


def test_equivocation_two_snapshots_under_one_sequence_is_refused(
    victim: Victim, first: Path, forge: Forge, second: Path
):
    folder = forge.rewrite(forge.copy(second), sequence=1)
    victim.refuses(
        folder,
        SEQUENCE,
        f"digest {forge.digest(first)} for sequence 1",
        f"digest {forge.digest(folder)}: two snapshots under one sequence",
    )
    victim.takes(second, 2)


def test_equivocation_with_a_snapshot_in_quarantine_is_refused(victim: Victim, forge: Forge, second: Path):
    """A pin goes back; what it left behind comes back neither by itself nor in another shape."""
    victim.takes(second, 2)
    assert victim.relais("snapshot", "pin", "1", "--reason", "doubt about 2", "--until", "2h").status == 0
    folder = forge.rewrite(forge.copy(second), counts={**forge.payload(second)["counts"], "dropped": 1})
    victim.refuses(
        folder,
        SEQUENCE,
        f"digest {forge.digest(second)} for sequence 2",
        f"digest {forge.digest(folder)}: two snapshots under one sequence",
    )
    for attempt in ("load", second), ("activate", "2"):
        said = victim.relais("snapshot", *attempt)
        assert (said.status, "is pinned by order" in said.err, said.err.count("\n")) == (1, True, 1)
    assert victim.relais("snapshot", "unpin", "--reason", "the doubt is over").status == 0
    for attempt in ("load", second), ("activate", "2"):
        said = victim.relais("snapshot", *attempt)
        assert (said.status, "put in quarantine by a pin" in said.err, said.err.count("\n")) == (1, True, 1)
    assert (victim.state().active, victim.held()) == (1, {1: "active", 2: "quarantined"})
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)


@pytest.mark.parametrize("forgotten", ["the control store", "the node"])
def test_a_home_made_to_forget_half_of_its_floor_is_not_rolled_back(
    victim: Victim, first: Path, forge: Forge, second: Path, forgotten: str
):
    """Yesterday's backup of either place brings no old snapshot back: the higher floor counts."""
    yesterday = Path(shutil.copytree(victim.home, victim.home.with_name("yesterday")))
    victim.takes(second, 2)
    if forgotten == "the control store":
        shutil.rmtree(victim.home / "control")
        (yesterday / "control").rename(victim.home / "control")
        assert victim.state().active == 1
    else:
        (yesterday / "node" / "floor.json").replace(victim.home / "node" / "floor.json")
        assert victim.floor()["sequence"] == 1
    again = forge.rewrite(forge.copy(first), counts={**forge.payload(first)["counts"], "dropped": 1})
    mended = frozenset({"node/floor.json"})  # by the first load after it, from the store
    victim.refuses(forge.copy(first, "old"), SEQUENCE, "sequence 2 or above", "1: a rollback", but=mended)
    assert victim.floor()["sequence"] == 2
    victim.refuses(again, SEQUENCE, "sequence 2 or above", "1: a rollback")
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)


def test_two_memories_of_one_sequence_stop_every_load(victim: Victim, forge: Forge, second: Path):
    """Either the store or the node was misled: which one, only a person can tell."""
    path = victim.home / "node" / "floor.json"
    good = path.read_bytes()
    digest = json.loads(good)["digest"]
    other = digest[::-1]
    path.write_bytes(good.replace(digest.encode(), other.encode()))
    before = victim.state()
    said = victim.load(second)
    line = f"expected one floor, sequence 1 digest {digest}; found also digest {other}"
    assert (said.status, said.out, said.err) == (1, "", f"relais: refused at step {SEQUENCE}: {line}\n")
    assert victim.state() == before
    path.write_bytes(good)
    victim.takes(second, 2)
