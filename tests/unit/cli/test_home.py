from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.home import create_home
from service.cli.main import _run
from service.control.store import SqliteOrderStore

EMPTY = "# every default\n"


def test_a_home_is_not_made_among_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "anne.jwk").write_text("{}")
    assert _run(["init", str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["anne.jwk"]


def test_a_fresh_volume_may_be_a_home(tmp_path: Path):
    (tmp_path / "lost+found").mkdir()
    assert _run(["init", str(tmp_path)]) == 0


def test_a_home_refused_for_a_key_in_the_way_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "receipt.jwk").write_text("{}")
    asked = ["init", str(tmp_path / "home"), "--keys", str(keys)]
    assert _run(asked) == 1
    assert "receipt.jwk exists" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()
    assert [path.name for path in keys.iterdir()] == ["receipt.jwk"]
    (keys / "receipt.jwk").unlink()
    assert _run(asked) == 0


def test_a_whole_home_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    home = create_home(tmp_path / "home")
    former = home.orders.read_bytes()
    assert _run(["init", str(home.root)]) == 1
    assert "is a home already" in capsys.readouterr().err
    assert home.orders.read_bytes() == former


def test_a_home_with_nothing_but_settings_gets_its_stores_and_no_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "relais.toml").write_text(EMPTY)
    assert _run(["init", str(tmp_path)]) == 0
    assert "control/orders.db, control/fleet.db" in capsys.readouterr().out
    assert SqliteOrderStore(tmp_path / "control" / "orders.db").head() == 0
    assert not (tmp_path / "keys").exists()
    assert (tmp_path / "relais.toml").read_text() == EMPTY


def test_a_lost_store_of_heartbeats_is_made_anew(tmp_path: Path):
    home = create_home(tmp_path / "home")
    home.fleet.unlink()
    assert _run(["init", str(home.root)]) == 0
    assert home.fleet.exists()


@pytest.mark.parametrize("witness", ["node/orders.jsonl", "journal/1.jsonl", "snapshots/1"])
def test_orders_that_were_followed_are_not_replaced_by_none(
    witness: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    home = create_home(tmp_path / "home")
    (home.root / witness).write_text("")
    home.orders.unlink()
    assert _run(["init", str(home.root)]) == 1
    assert "restore it from a backup" in capsys.readouterr().err
    assert not home.orders.exists()
