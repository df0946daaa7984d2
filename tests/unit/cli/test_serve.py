from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from service.cli.home import create_home
from service.cli.main import _run
from service.keyfiles import KeyUse, write_new_key
from tests.fleet import free_ports


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of the process that would take over."""
    words: list[str] = []
    monkeypatch.setattr(os, "execv", lambda _path, arguments: words.extend(arguments))
    return words


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose keys lie outside."""
    root = create_home(tmp_path / "home", tmp_path / "keys").root
    write_new_key(KeyUse.OFFICER, tmp_path / "officer.jwk")
    (tmp_path / "officer.pub.jwk").rename(tmp_path / "keys" / "officer.pub.jwk")
    monkeypatch.setenv("RELAIS_HOME", str(root))
    for server, port in zip(("RIGHTS", "ADMIN"), free_ports(2), strict=True):
        monkeypatch.setenv(f"RELAIS_{server}_PORT", str(port))
    return root


@pytest.mark.parametrize("server", ["rights", "admin"])
@pytest.mark.usefixtures("home")
def test_gunicorn_takes_over_with_our_application(server: str, started: list[str]):
    assert _run(["serve", server]) == 0
    assert f"service.app:{server}" in started


@pytest.mark.usefixtures("home")
def test_a_taken_port_is_one_line(started: list[str], capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", int(os.environ["RELAIS_RIGHTS_PORT"]))):
        assert _run(["serve", "rights"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "choose another port" in error
    assert not started


@pytest.mark.parametrize(
    ("server", "name"), [("rights", "officer.pub"), ("rights", "receipt"), ("rights", "order.pub"), ("admin", "order")]
)
def test_a_missing_key_is_one_line_before_any_worker_starts(
    server: str, name: str, home: Path, started: list[str], capsys: pytest.CaptureFixture[str]
):
    (home.parent / "keys" / f"{name}.jwk").unlink()
    assert _run(["serve", server]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{name}.jwk cannot be read" in error
    assert not started


def test_the_admin_server_needs_neither_receipt_nor_officer_key(home: Path, started: list[str]):
    for name in ("receipt", "officer.pub"):
        (home.parent / "keys" / f"{name}.jwk").unlink()
    assert _run(["serve", "admin"]) == 0
    assert started


@pytest.mark.parametrize("name", ["signer.jwk", "signer.json", ".backup", "keys/signer.jwk.old"])
def test_a_private_key_in_the_home_stops_the_start(
    home: Path, started: list[str], capsys: pytest.CaptureFixture[str], name: str
):
    (home / name).parent.mkdir(exist_ok=True)
    write_new_key(KeyUse.SNAPSHOT, home / name)
    assert _run(["serve", "rights"]) == 1
    assert f"{name} is a private key: it must not lie in a home that serves" in capsys.readouterr().err
    assert not started


@pytest.mark.parametrize("folder", ["snapshots", "incoming"])
def test_bytes_that_a_depot_made_look_like_a_key_do_not(home: Path, started: list[str], folder: str):
    place = home / folder / "7-abcdefghijklmnop"
    place.mkdir(parents=True)
    write_new_key(KeyUse.SNAPSHOT, place / "key.txt")
    (place / "key.txt").rename(place / "records.lmdb.part")
    for other in place.glob("*.pub*"):
        other.unlink()
    assert _run(["serve", "rights"]) == 0
    assert started
