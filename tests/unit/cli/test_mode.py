from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.cli.main import _run
from service.cli.ordering import give_orders, parse_until
from service.clock import SystemClock
from service.control.fleet import FleetStore, Heartbeat, pid_space
from service.control.format import Kind
from service.control.intent import Intent
from service.control.replica import Replica
from service.control.store import SqliteOrderStore
from service.errors import OperatorError
from service.jwk import private_jwk
from service.settings import Home, load_settings

AMC = "0775671993"


@pytest.fixture
def home(tmp_path: Path):
    (tmp_path / "keys").mkdir()
    jwk = private_jwk(Ed25519PrivateKey.generate())
    (tmp_path / "keys" / "order.jwk").write_text(json.dumps(jwk))
    (tmp_path / "keys" / "order.pub.jwk").write_text(json.dumps({k: v for k, v in jwk.items() if k != "d"}))
    (tmp_path / "relais.toml").write_text('[control]\ntwo_person = "never"\n')
    SqliteOrderStore.create(tmp_path / "control" / "orders.db")
    FleetStore.create(tmp_path / "control" / "fleet.db")
    return tmp_path


@pytest.fixture
def relais(home: Path, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: str) -> tuple[int, str, str]:
        status = _run([*arguments, "--home", str(home)])
        out, err = capsys.readouterr()
        return status, out, err

    return call


def beat(home: Path, **members: Any) -> None:
    known = {"node": "node-1", "server": "rights", "worker": 1, "pid": os.getpid(), "pid_space": pid_space()}
    fleet = FleetStore(home / "control" / "fleet.db")
    fleet.beat(Heartbeat(**{**known, "sequence": None, "order_version": 0, "at": SystemClock().now(), **members}))
    fleet.close()


def activate(home: Path, amc: str) -> None:
    """An activation order for a snapshot that names one AMC."""
    place = Home(home)
    body = {"sequence": 1, "digest": "d" * 43, "counts": {amc: {}}, "accepted": []}
    intent = Intent(kind=Kind.SNAPSHOT_ACTIVATE, scope="*", body=body, reason="night", actor="ann")
    give_orders(place, load_settings(place, {}), lambda _: [intent])


def shown(relais: Any) -> Any:
    return json.loads(relais("mode", "show", "--json")[1])


def modes(relais: Any) -> dict[str, Any]:
    return {mode["scope"]: mode for mode in shown(relais)["modes"]}


def test_mode_is_set_shown_and_listed_with_its_author_and_reason(relais: Any):
    assert modes(relais)["*"] == {
        "scope": "*",
        "mode": "degraded",
        "order": None,
        "since": None,
        "until": None,
        "reason": None,
    }
    status, out, err = relais("mode", "set", "suspended", "--reason", "doubt about extract 42")
    assert (status, out, err) == (0, "order 1: mode.set *\n", "")
    mode = modes(relais)["*"]
    assert (mode["mode"], mode["order"], mode["reason"]) == ("suspended", 1, "doubt about extract 42")
    (order,) = json.loads(relais("orders", "list", "--json")[1])["orders"]
    assert order["actor"].startswith("cli:")
    assert order["body"] == {"mode": "suspended"}
    assert "doubt about extract 42" in relais("orders", "list")[1]
    assert "doubt about extract 42" in relais("mode", "show")[1]


def test_scope_and_end_are_kept(relais: Any):
    assert relais("mode", "set", "suspended", "--scope", "775671993", "--until", "2h", "--reason", "no extract")[0] == 0
    mode = modes(relais)[AMC]
    assert mode["until"] > mode["since"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["live", "--reason", "back"], 1),
        (["suspended", "--reason", ""], 1),
        (["suspended", "--reason", "NIR 1 85 05 75 116 001 59"], 1),
        (["suspended", "--reason", "x", "--scope", "12"], 1),
        (["suspended", "--reason", "x", "--until", "2020-01-01T00:00:00Z"], 1),
        (["suspended", "--reason", "x", "--until", "2099-01-01T00:00:00"], 1),
        (["suspended", "--reason", "x", "--until", "soon"], 1),
        (["off", "--reason", "x"], 2),
        (["suspended"], 2),
    ],
)
def test_refused_mode_leaves_no_order(relais: Any, home: Path, arguments: list[str], status: int):
    result, _, err = relais("mode", "set", *arguments)
    assert result == status
    assert "85 05" not in err
    assert SqliteOrderStore(home / "control" / "orders.db").head() == 0


def test_setting_all_names_what_still_differs_and_clears_it_on_demand(relais: Any):
    relais("mode", "set", "suspended", "--scope", AMC, "--reason", "no extract")
    _, out, _ = relais("mode", "set", "degraded", "--reason", "portal off")
    assert f"still differs: {AMC} suspended" in out
    assert AMC in modes(relais)
    relais("mode", "set", "degraded", "--all", "--reason", "portal off")
    assert list(modes(relais)) == ["*"]


def test_an_amc_s_own_mode_is_cleared_where_it_has_one(relais: Any):
    assert relais("mode", "clear", "--scope", AMC, "--reason", "x")[:2] == (
        0,
        f"{AMC} has no mode of its own: no change\n",
    )
    relais("mode", "set", "suspended", "--scope", AMC, "--reason", "no extract")
    assert relais("mode", "clear", "--scope", "775671993", "--reason", "back") == (
        0,
        f"order 2: mode.clear {AMC}\n",
        "",
    )
    assert list(modes(relais)) == ["*"]
    cleared = json.loads(relais("mode", "clear", "--scope", AMC, "--reason", "x", "--json")[1])
    assert cleared == {"order_version": 2, "orders": [], "proposals": [], "follows": True}


def test_live_takes_an_upstream_to_ask(relais: Any, home: Path):
    status, _, err = relais("mode", "set", "live", "--reason", "back")
    assert (status, "no upstream is configured" in err) == (1, True)
    with (home / "relais.toml").open("a") as settings:
        settings.write('[upstream]\nurl = "https://droits.example"\n')
    assert relais("mode", "set", "live", "--reason", "back")[0] == 0
    assert modes(relais)["*"]["mode"] == "live"


def test_under_a_suspension_of_all_no_amc_is_said_to_differ(relais: Any):
    relais("mode", "set", "degraded", "--scope", AMC, "--reason", "extract checked")
    out = relais("mode", "set", "suspended", "--reason", "doubt")[1]
    assert "differs" not in out
    assert f"suspended as well, with a mode of its own for afterwards: {AMC} degraded" in out


def test_a_refused_mode_says_nothing_of_what_would_differ(relais: Any):
    relais("mode", "set", "suspended", "--scope", AMC, "--reason", "no extract")
    assert relais("mode", "set", "degraded", "--reason", "x" * 501)[:2] == (1, "")


def test_an_excluded_amc_that_no_snapshot_names_is_a_warning(relais: Any, home: Path):
    activate(home, AMC)
    assert not relais("mode", "set", "suspended", "--scope", AMC, "--reason", "no extract")[2]
    status, _, err = relais("mode", "set", "suspended", "--scope", "0775671994", "--reason", "a slip")
    assert status == 0
    assert "no AMC 0775671994 is in the snapshot that serves" in err


def test_ending_a_pin_that_is_none_gives_no_order(relais: Any, home: Path):
    assert relais("snapshot", "unpin", "--reason", "again") == (0, "no snapshot is pinned: no change\n", "")
    assert SqliteOrderStore(home / "control" / "orders.db").head() == 0


def test_for_machines_the_order_and_who_follows_are_told_and_for_people_on_standard_error(relais: Any):
    relais("mode", "set", "suspended", "--scope", AMC, "--reason", "no extract")
    status, out, err = relais("mode", "set", "degraded", "--reason", "portal off", "--json")
    assert (status, err) == (0, "order 2: mode.set *\n")
    assert json.loads(out) == {
        "order_version": 2,
        "orders": [{"version": 2, "kind": "mode.set", "scope": "*"}],
        "proposals": [],
        "follows": True,
        "differing": [{"scope": AMC, "mode": "suspended"}],
    }
    cleared = json.loads(relais("mode", "set", "degraded", "--all", "--reason", "portal off", "--json")[1])
    assert [(order["version"], order["kind"], order["scope"]) for order in cleared["orders"]] == [
        (3, "mode.set", "*"),
        (4, "mode.clear", AMC),
    ]
    assert cleared["differing"] == []
    nothing = relais("snapshot", "unpin", "--reason", "again", "--json")
    assert json.loads(nothing[1]) == {"order_version": 4, "orders": [], "proposals": [], "follows": True}
    assert nothing[2] == "no snapshot is pinned: no change\n"


def test_for_machines_it_is_told_when_a_worker_does_not_follow(
    relais: Any, home: Path, monkeypatch: pytest.MonkeyPatch
):
    beat(home)
    monkeypatch.setattr("service.cli.ordering.FOLLOW_SECONDS", 0.1)
    status, out, err = relais("mode", "set", "suspended", "--reason", "doubt", "--json")
    assert (status, json.loads(out)["follows"]) == (3, False)
    assert "node-1 rights worker 1: order 0" in err


def test_returns_three_and_names_a_worker_that_does_not_follow(
    relais: Any, home: Path, monkeypatch: pytest.MonkeyPatch
):
    beat(home)
    monkeypatch.setattr("service.cli.ordering.FOLLOW_SECONDS", 0.1)
    status, _, err = relais("mode", "set", "suspended", "--reason", "doubt")
    assert status == 3
    assert "node-1 rights worker 1: order 0" in err
    assert shown(relais)["order_version"] == 1


def test_store_that_is_gone_is_status_three_and_stays_gone(relais: Any, home: Path):
    (home / "control" / "orders.db").unlink()
    status, _, err = relais("mode", "set", "suspended", "--reason", "doubt")
    assert status == 3
    assert "orders.db" in err
    assert not (home / "control" / "orders.db").exists()


def test_node_s_copy_is_shown_while_the_store_is_lost(relais: Any, home: Path):
    relais("mode", "set", "suspended", "--reason", "doubt")
    Replica(home / "node" / "orders.jsonl").extend(SqliteOrderStore(home / "control" / "orders.db").read(1))
    (home / "control" / "orders.db").unlink()
    status, out, err = relais("mode", "show")
    assert (status, "suspended" in out, "copy" in err) == (0, True, True)
    assert relais("mode", "set", "degraded", "--reason", "guess")[0] == 3
    assert relais("status")[0] == 3


def test_status_proves_that_all_follow_or_names_who_does_not(relais: Any, home: Path):
    relais("mode", "set", "suspended", "--reason", "doubt")
    beat(home, order_version=1)
    beat(home, order_version=0, worker=2)
    status, out, _ = relais("status", "--fleet")
    assert status == 3
    assert "2 live workers, 1 follow" in out
    assert "does not follow: node-1 rights worker 2: order 0" in out
    beat(home, order_version=1, worker=2)
    status, out, _ = relais("status", "--json")
    document = json.loads(out)
    assert (status, document["order_version"], document["sequence"]) == (0, 1, None)
    assert [worker["follows"] for worker in document["workers"]] == [True, True]


def test_missing_order_key_is_said(relais: Any, home: Path):
    (home / "keys" / "order.jwk").unlink()
    status, _, err = relais("mode", "set", "suspended", "--reason", "doubt")
    assert (status, "order.jwk" in err) == (1, True)


def test_end_in_days_beyond_the_calendar_is_refused():
    with pytest.raises(OperatorError):
        parse_until("99999999d", SystemClock().now())


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_end_that_utc_cannot_hold_is_refused(text: str):
    with pytest.raises(OperatorError):
        parse_until(text, SystemClock().now())
