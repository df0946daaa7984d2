"""Fast-forward: a sequence so high that no later snapshot can pass it, and the way back the documentation gives."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.attacks.forge import Forge
from tests.attacks.victim import Victim

SEQUENCE = "5 sequence against the floor"
FORMAT = "3 parse and format"


@pytest.mark.parametrize("sequence", [1 + 1_001, 2**31, 2**53 - 1])
def test_fast_forward_is_refused(victim: Victim, forge: Forge, second: Path, sequence: int):
    folder = forge.rewrite(forge.copy(second), sequence=sequence)
    victim.refuses(folder, SEQUENCE, "sequence 1001 or below", f"{sequence}: more than 1000 ahead")
    assert victim.floor()["sequence"] == 1
    victim.takes(second, 2)


@pytest.mark.parametrize("sequence", [0, -1, 2**53, 2**63, 2**64, 10**400, 2.0, 2.5, "2", True, None, [2]])
def test_a_sequence_that_is_no_number_of_ours_is_refused(victim: Victim, forge: Forge, second: Path, sequence: object):
    folder = forge.rewrite(forge.copy(second), sequence=sequence)
    victim.refuses(folder, FORMAT, "a manifest of format relais-snapshot/1", re.compile(r".*`\$\.sequence`.*"))
    victim.takes(second, 2)


def test_recovery_from_a_leap_within_the_limit_is_to_publish_above_it(victim: Victim, forge: Forge, second: Path):
    """docs/trust_format.md, Floor: "A sequence that went up by mistake (1,000 at most) stays: publish above it."."""
    victim.takes(forge.rewrite(forge.copy(second, "leap"), sequence=1_001), 1_001)
    victim.refuses(forge.copy(second), SEQUENCE, "sequence 1001 or above", "2: a rollback")
    victim.takes(forge.rewrite(forge.copy(second, "above"), sequence=1_002), 1_002)


def test_recovery_from_sequences_that_ran_away_is_a_new_installation(
    victim: Victim, forge: Forge, first: Path, second: Path
):
    """docs/trust_format.md, Floor: "Where the sequences have run away for good, begin a new installation".

    The people, their keys, the trust file and the pepper stay; the sequences begin again.
    """
    for leap in range(1_001, 5_002, 1_000):
        victim.takes(forge.rewrite(forge.copy(second, "leap"), sequence=leap), leap)
    new = Victim(victim.home.with_name("new"))
    assert new.relais("init", new.home).status == 0
    shutil.copy(victim.home / "trust.json", new.home / "trust.json")
    shutil.copy(victim.home / "keys" / "pepper.jwk", new.home / "keys" / "pepper.jwk")
    said = new.takes(forge.copy(first), 1)
    assert "this installation never activated a snapshot: there was no floor to compare with" in said.out
    new.takes(second, 2)
