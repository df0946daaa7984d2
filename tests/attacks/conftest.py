"""One demo home and its next snapshot, made once by the product's commands; every test bends copies."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.forge import SIGNERS, Forge
from tests.attacks.victim import Contracts, Victim
from tests.attacks.wrong_clock import WrongClock, set_wrong
from tests.fleet import Installation

PEOPLE = 300


@dataclass(frozen=True, slots=True)
class Template:
    """A demo home on snapshot 1, and the night after it: snapshot 2, of the same people, signed by both."""

    home: Path
    second: Path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    room = tmp_path_factory.mktemp("attacks")
    maker = Victim(Installation.make(room / "home", PEOPLE).home)
    second, demo = room / "second", maker.home / "demo"
    sources = ("--source", demo / "rows.ndjson", "--policy", demo / "policy.toml")
    said = maker.relais("snapshot", "build", *sources, "--sequence", "2", "--valid-for", "45", "--out", second)
    assert said.status == 0, said.err
    for signer in SIGNERS:
        assert maker.relais("snapshot", "sign", second, "--key", maker.home / "keys" / f"{signer}.jwk").status == 0
    return Template(maker.home, second)


@pytest.fixture
def victim(template: Template, tmp_path: Path) -> Victim:
    """A home of this test's own."""
    return Victim(Path(shutil.copytree(template.home, tmp_path / "home")))


@pytest.fixture
def first(template: Template) -> Path:
    """Snapshot 1 as it was loaded. To be copied, never bent."""
    return template.home / "snapshots" / "1"


@pytest.fixture
def second(template: Template) -> Path:
    """Snapshot 2, good, not loaded yet. To be copied, never bent."""
    return template.second


@pytest.fixture
def forge(victim: Victim, tmp_path: Path) -> Forge:
    """Bends snapshots with the victim's own keys."""
    room = tmp_path / "forge"
    room.mkdir()
    return Forge(victim.home, room)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WrongClock:
    """The clock every command of this process reads."""
    return set_wrong(monkeypatch)


@pytest.fixture
def truth(victim: Victim) -> dict[str, Contracts]:
    """What the good snapshot knows of everybody in it, by each of their identities."""
    rows = [json.loads(line) for line in (victim.home / "demo" / "rows.ndjson").read_bytes().splitlines()]
    persons = [f"{row['birth_date']}|{row['birth_rank']}" for row in rows]
    people = [f"nir|{row['nir'][:13]}|{person}" for row, person in zip(rows, persons, strict=True)]
    members = [f"amc|{row['amc']}|{row['member']}|{person}" for row, person in zip(rows, persons, strict=True)]
    found = victim.find(dict.fromkeys([*people, *members]))
    assert any(isinstance(contracts, tuple) for contracts in found.values())
    return {one: contracts for one, contracts in found.items() if isinstance(contracts, tuple)}


@pytest.fixture
def people(truth: dict[str, Contracts]) -> list[str]:
    """Identities by NIR of people who are known, each once."""
    return [one for one in truth if one.startswith("nir|")]
