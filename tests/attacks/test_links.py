"""Links: a name that leads, or will lead, to other bytes than those that were verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.forge import MANIFEST, RECORDS, Forge
from tests.attacks.victim import Victim

FILES = "7 file list, sizes, SHA-256"


@pytest.mark.parametrize("name", [MANIFEST, RECORDS])
def test_a_symbolic_link_is_refused_even_to_the_very_same_bytes(victim: Victim, forge: Forge, second: Path, name: str):
    folder = forge.copy(second)
    (folder / name).unlink()
    (folder / name).symlink_to(second / name)
    found = "a link or unreadable: Too many levels of symbolic links"
    victim.refuses(folder, FILES, f"a regular file {name}", found)
    victim.takes(second, 2)


@pytest.mark.parametrize("name", [MANIFEST, RECORDS])
def test_a_hard_link_is_refused_because_its_other_name_can_change_it(
    victim: Victim, forge: Forge, second: Path, name: str
):
    folder = forge.copy(second)
    (forge.room / "other").hardlink_to(folder / name)
    victim.refuses(folder, FILES, f"{name} under one name", "a hard link")
    victim.takes(second, 2)


@pytest.mark.parametrize("name", [MANIFEST, RECORDS])
def test_a_hard_link_to_a_file_of_the_home_is_refused(victim: Victim, forge: Forge, second: Path, name: str):
    folder = forge.copy(second)
    (folder / name).unlink()
    (folder / name).hardlink_to(victim.home / "snapshots" / "1" / name)
    victim.refuses(folder, FILES, f"{name} under one name", "a hard link")
    (folder / name).unlink()
    victim.takes(second, 2)


def test_a_source_that_is_itself_a_link_is_copied_and_not_linked(victim: Victim, forge: Forge, second: Path):
    """`nights/latest` may lead to `nights/2`: what is served is the copy, wherever the link leads afterwards."""
    link = forge.room / "latest"
    link.symlink_to(forge.copy(second))
    victim.takes(link, 2)
    held = victim.home / "snapshots" / "2"
    assert not held.is_symlink()
    link.unlink()
    link.symlink_to(victim.home)
    forge.put(forge.room / "candidate" / RECORDS, b"changed afterwards")
    assert victim.relais("snapshot", "verify", held).status == 0
    assert (held / RECORDS).read_bytes() == (second / RECORDS).read_bytes()


@pytest.mark.parametrize("leads_to", ["a good copy", "nowhere", "the snapshots of the home"])
def test_a_link_planted_where_the_next_snapshot_will_lie_is_not_followed(
    victim: Victim, forge: Forge, second: Path, leads_to: str
):
    """Whoever planted it could change what was verified: the folder of a snapshot is the home's own."""
    planted = victim.home / "snapshots" / "2"
    targets = {"a good copy": forge.copy(second), "nowhere": forge.room / "nowhere"}
    planted.symlink_to(targets.get(leads_to, victim.home / "snapshots"))
    victim.takes(second, 2)
    assert not planted.is_symlink()
    assert sorted(path.name for path in planted.iterdir()) == [MANIFEST, RECORDS]


def test_a_file_planted_where_the_next_snapshot_will_lie_stops_nothing(victim: Victim, second: Path):
    (victim.home / "snapshots" / "2").write_bytes(b"in the way")
    victim.takes(second, 2)


def test_a_link_among_the_held_snapshots_is_not_activated(victim: Victim, forge: Forge, second: Path):
    planted = victim.home / "snapshots" / "2"
    planted.symlink_to(forge.copy(second))
    before = victim.state()
    said = victim.relais("snapshot", "activate", "2")
    assert (said.status, said.err) == (
        1,
        "relais: snapshot 2 is not held here: relais snapshot list shows those that are\n",
    )
    assert victim.state() == before
    assert victim.held() == {1: "active"}
    victim.takes(second, 2)


def test_a_held_file_that_became_a_link_does_not_open(victim: Victim, forge: Forge, second: Path):
    victim.takes(second, 2)
    held = victim.home / "snapshots" / "2"
    for name in (MANIFEST, RECORDS):
        (held / name).rename(forge.room / name)
        (held / name).symlink_to(forge.room / name)
        said = victim.relais("snapshot", "activate", "2")
        assert said.status == 1
        assert said.err == (
            f"relais: refused at step {FILES}: expected a regular file {name}; "
            "found a link or unreadable: Too many levels of symbolic links\n"
        )
        (held / name).unlink()
        (forge.room / name).rename(held / name)
    assert victim.relais("snapshot", "activate", "2").status == 0
