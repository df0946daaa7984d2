"""Indefinite freeze: somebody goes on offering what is already here, so that nobody notices that nothing new comes.

A snapshot cannot prove that there is none after it. It ends: from then on it is not loaded, and answers no rights
(`scenarios/test_clock.py::test_a_clock_beyond_the_snapshots_end_knows_nobody`).
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from tests.attacks.forge import Forge
from tests.attacks.victim import Victim
from tests.attacks.wrong_clock import WrongClock

DATES = "4 dates"
SEQUENCE = "5 sequence against the floor"
DAY = dt.timedelta(days=1)


def test_freeze_the_active_snapshot_again_and_again_changes_nothing_and_ends(
    victim: Victim, forge: Forge, second: Path, clock: WrongClock
):
    victim.takes(second, 2)
    before = victim.state()
    floor = victim.floor()
    until = forge.payload(second)["valid_until"]
    for days in (1, 20, 44):
        clock.shift = days * DAY
        said = victim.load(second, "--json")
        assert (said.status, said.err) == (0, "")
        assert json.loads(said.out)["outcome"] == "unchanged"
        now = victim.state()
        assert (now.orders, now.folders, victim.floor()) == (before.orders, before.folders, floor)
    clock.shift = 45 * DAY
    victim.refuses(
        forge.copy(second),
        DATES,
        f"valid_until after {clock.text()}, now by this machine's clock",
        f"{until}: expired, unless this clock is ahead",
    )
    assert victim.held() == {1: "superseded", 2: "active"}
    clock.shift = dt.timedelta(0)
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)


def test_freeze_an_older_valid_snapshot_night_after_night_loads_nothing(
    victim: Victim, forge: Forge, first: Path, second: Path, clock: WrongClock
):
    """What the bucket once held is offered instead of what it holds: valid still, and below the floor."""
    victim.takes(second, 2)
    before = victim.state()
    for night in (1, 2, 30):
        clock.shift = night * DAY
        victim.refuses(forge.copy(first), SEQUENCE, "sequence 2 or above", "1: a rollback")
        assert victim.state() == before
    clock.shift = dt.timedelta(0)
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)
