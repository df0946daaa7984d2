"""A fresh node offered an old snapshot: with no floor to compare with, the end protects it, and it says so."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest

from tests.attacks.forge import Forge
from tests.attacks.victim import Victim
from tests.attacks.wrong_clock import WrongClock

SEQUENCE = "5 sequence against the floor"
FIRST = "this installation never activated a snapshot: there was no floor to compare with\n"
DAY = dt.timedelta(days=1)


@pytest.fixture
def fresh(victim: Victim) -> Victim:
    """A home of the same people and secrets that never activated anything."""
    home = victim.home.with_name("fresh")
    new = Victim(home)
    assert new.relais("init", home).status == 0
    shutil.copy(victim.home / "trust.json", home / "trust.json")
    shutil.copy(victim.home / "keys" / "pepper.jwk", home / "keys" / "pepper.jwk")
    return new


def test_an_expired_snapshot_is_refused_by_a_fresh_node(fresh: Victim, forge: Forge, second: Path, clock: WrongClock):
    folder = forge.copy(second)
    until = forge.payload(second)["valid_until"]
    clock.shift = 45 * DAY
    fresh.refuses(
        folder,
        "4 dates",
        f"valid_until after {clock.text()}, now by this machine's clock",
        f"{until}: expired, unless this clock is ahead",
    )
    assert (fresh.state().active, fresh.held()) == (None, {})
    assert not (fresh.home / "node" / "floor.json").exists()
    clock.shift = dt.timedelta(0)
    assert fresh.takes(second, 2).out.endswith(FIRST + "order 1: snapshot.activate *\n")


def test_an_old_snapshot_within_its_days_is_taken_and_said_to_be_the_first(
    fresh: Victim, forge: Forge, first: Path, second: Path
):
    """It may be rolled back by those 45 days at most; whoever loads reads that nothing was compared."""
    said = fresh.takes(forge.copy(first), 1)
    assert FIRST in said.out
    assert fresh.verdict()["first_load"]
    assert FIRST not in fresh.takes(second, 2).out
    assert not fresh.verdict()["first_load"]
    fresh.refuses(forge.copy(first), SEQUENCE, "sequence 2 or above", "1: a rollback")


def test_a_fresh_node_in_json_says_that_nothing_was_compared(fresh: Victim, forge: Forge, first: Path):
    told = json.loads(fresh.load(forge.copy(first), "--json").out)
    assert (told["sequence"], told["first_load"]) == (1, True)


def test_what_needs_no_floor_holds_on_a_fresh_node_too(fresh: Victim, forge: Forge, second: Path):
    """Signatures, a sequence that leaves room above it, the probe, and a limit of the operator's own."""
    unsigned = forge.copy(second, "unsigned")
    forge.sign(unsigned, b"{}", ["signer-1"])
    fresh.refuses(unsigned, "2 signatures and threshold", "2 of signer-1, signer-2", "1 of them (signer-1)")
    leapt = forge.rewrite(forge.copy(second, "leapt"), sequence=2**53 - 1)
    fresh.refuses(leapt, SEQUENCE, f"a first sequence of {10**12} or below", f"{2**53 - 1}")
    salted = forge.rewrite(forge.copy(second, "salted"), salt="A" * 22)
    fresh.refuses(
        salted,
        "8 pepper and probe",
        f"the probe to open under pepper {forge.payload(second)['pepper_kid']}",
        "the probe does not open: another pepper, another salt, or a damaged layer",
    )
    said = fresh.load(forge.copy(second), "--at-least", "3")
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert fresh.state().active is None
    fresh.takes(second, 2)
