from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.cli.main import _run
from service.cli.ordering import open_ledger
from service.cli.upstream import Upstream, order_live, parse_upstream
from service.control.fleet import FleetStore
from service.control.store import SqliteOrderStore
from service.errors import OperatorError
from service.jwk import private_jwk
from service.settings import Home, load_settings


@pytest.mark.parametrize(
    ("environ", "upstream"),
    [
        ({}, None),
        ({"UPSTREAM": ""}, None),
        ({"STUB_PORT": "x"}, None),
        ({"UPSTREAM": "stub"}, Upstream("http://127.0.0.1:8090", 8090)),
        ({"UPSTREAM": "stub", "STUB_PORT": "9000"}, Upstream("http://127.0.0.1:9000", 9000)),
        ({"UPSTREAM": "https://upstream.example/base"}, Upstream("https://upstream.example/base")),
        ({"UPSTREAM": "http://[::1]:8090"}, Upstream("http://[::1]:8090")),
    ],
)
def test_what_the_environment_says_is_the_upstream(environ: dict[str, str], upstream: Upstream | None):
    assert parse_upstream(environ) == upstream


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        *(
            ({"UPSTREAM": text}, "UPSTREAM is stub, or an address")
            for text in ("Stub", "ftp://x", "https://", "http://[")
        ),
        *(({"UPSTREAM": "stub", "STUB_PORT": text}, "STUB_PORT is a port") for text in ("0", "65536", "-1", "x", "٣")),
    ],
)
def test_what_is_no_upstream_is_refused(environ: dict[str, str], said: str):
    with pytest.raises(OperatorError, match=said):
        parse_upstream(environ)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "keys").mkdir()
    jwk = private_jwk(Ed25519PrivateKey.generate())
    (tmp_path / "keys" / "order.jwk").write_text(json.dumps(jwk))
    (tmp_path / "keys" / "order.pub.jwk").write_text(json.dumps({k: v for k, v in jwk.items() if k != "d"}))
    (tmp_path / "relais.toml").write_text("[instance]\ndemo = true\n")
    SqliteOrderStore.create(tmp_path / "control" / "orders.db")
    FleetStore.create(tmp_path / "control" / "fleet.db")
    return Home(tmp_path)


def modes(home: Home) -> list[tuple[str, str]]:
    with open_ledger(home, load_settings(home, {})) as ledger:
        return [(order.scope, order.body["mode"]) for order in ledger.orders()]


def test_live_is_ordered_once_where_nobody_ordered_a_mode_of_all(home: Home, capsys: pytest.CaptureFixture[str]):
    settings = load_settings(home, {"RELAIS_UPSTREAM_STEP_SECONDS": "7.5"})
    assert order_live(home, settings)
    assert not order_live(home, settings)
    assert modes(home) == [("*", "live")]
    assert capsys.readouterr().out == ("order 1: mode live; the upstream is asked in steps, all queries after 15 s\n")


def test_what_somebody_ordered_stays_also_after_its_end(home: Home):
    words = ["mode", "set", "suspended", "--reason", "doubt", "--until", "1m", "--home", str(home.root)]
    assert _run([*words, "--scope", "0990000011"]) == 0
    assert order_live(home, load_settings(home, {}))
    assert _run(words) == 0
    assert not order_live(home, load_settings(home, {}))
    assert modes(home) == [("0990000011", "suspended"), ("*", "live"), ("*", "suspended")]


def test_a_stand_in_answers_for_no_real_people(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (home.root / "relais.toml").write_text("")
    for name in ("RELAIS_HOME", "RELAIS_UPSTREAM_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("UPSTREAM", "stub")
    assert _run(["run", "--home", str(home.root)]) == 1
    assert "this home is no demo" in capsys.readouterr().err
    assert modes(home) == []
