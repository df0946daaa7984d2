"""A start hashes what is active, whatever notes say, and goes on when it is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from service.cli.boot import verify_active
from service.cli.common import open_home
from service.cli.main import _run
from service.cli.ordering import open_ledger
from service.control.state import Activation
from service.settings import Home, Settings
from service.snapshot import folder as folder_module
from tests.fleet import Installation, free_ports


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Installation.make(tmp_path_factory.mktemp("template") / "home", people=100).home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "home"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    parts = folder_module.parts

    def noticed(name: str, *others: object) -> object:
        names.append(name)
        return parts(name, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_module, "parts", noticed)
    return names


def opened(home: Path) -> tuple[Home, Settings, Activation | None]:
    place, settings = open_home(home)
    with open_ledger(place, settings) as ledger:
        return place, settings, ledger.state.activation


def note(home: Path) -> Path:
    return home / "node" / "verified" / "1.json"


def data(home: Path) -> Path:
    return home / "snapshots" / "1" / "records.lmdb"


def test_the_active_snapshot_is_hashed_at_every_start_and_noted(
    home: Path, hashed: list[str], capsys: pytest.CaptureFixture[str]
):
    former = note(home).read_bytes()  # of the load, before the home was copied
    for _ in range(2):
        assert verify_active(*opened(home))
    assert hashed == ["records.lmdb", "records.lmdb"]
    assert note(home).read_bytes() != former
    assert capsys.readouterr().err == ""


def test_a_damaged_snapshot_is_said_in_one_line_and_no_note_is_left(home: Path, capsys: pytest.CaptureFixture[str]):
    assert verify_active(*opened(home))
    data(home).chmod(0o644)
    os.truncate(data(home), 4096)
    assert not verify_active(*opened(home))
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("relais: snapshot 1: refused at step 7 file list, sizes, SHA-256: ")
    assert error.endswith("cut short; the rights server starts, and is not ready\n")
    assert not note(home).exists()


def test_a_server_starts_whose_snapshot_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shutil.rmtree(home / "snapshots" / "1")
    started: list[str] = []
    monkeypatch.setattr(os, "execv", lambda _path, words: started.extend(words))
    monkeypatch.setenv("RELAIS_HOME", str(home))
    monkeypatch.setenv("RELAIS_RIGHTS_PORT", str(free_ports(1)[0]))
    assert _run(["serve", "rights", "--home", str(home)]) == 0
    assert "service.app:rights" in started
    said = capsys.readouterr().err
    assert "relais: snapshot 1 is not held here" in said
    assert '"snapshot_verified": false' in said


@pytest.mark.parametrize("name", ["keys/pepper.jwk", "trust.json"])
def test_what_verification_needs_and_lacks_is_said_too(home: Path, name: str, capsys: pytest.CaptureFixture[str]):
    (home / name).unlink()
    assert not verify_active(*opened(home))
    assert capsys.readouterr().err.count("\n") == 1


def test_crashes_of_the_server_before_are_forgotten(home: Path):
    (home / "run").mkdir(exist_ok=True)
    for name in ("crashes.jsonl", "rights-1.fault"):
        (home / "run" / name).touch()
    assert verify_active(*opened(home))
    assert not any((home / "run").iterdir())


def test_the_admin_server_verifies_nothing(home: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "execv", lambda *_: None)
    monkeypatch.setenv("RELAIS_HOME", str(home))
    monkeypatch.setenv("RELAIS_ADMIN_PORT", str(free_ports(1)[0]))
    assert _run(["serve", "admin", "--home", str(home)]) == 0
    assert hashed == []
