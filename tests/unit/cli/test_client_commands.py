from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.access.gate import Gate
from service.access.registry import Registry
from service.cli.common import open_home
from service.cli.main import _run
from service.cli.ordering import open_ledger
from service.clock import SystemClock
from service.control.fleet import FleetStore, Heartbeat, pid_space
from service.control.store import SqliteOrderStore
from service.errors import ClientSuspended, TokenInvalid
from service.jwk import parse_private_jwk, private_jwk
from service.keyfiles import KeyUse, write_new_key
from service.settings import Home

Relais = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for folder in (home.keys, home.orders.parent, home.node):
        folder.mkdir()
    home.settings.write_text('[instance]\nname = "ici"\n[control]\ntwo_person = "never"\n')
    write_new_key(KeyUse.ORDER, home.keys / "order.jwk")
    for name in ("a", "b"):
        write_new_key(KeyUse.CLIENT, home.keys / f"{name}.jwk")
    SqliteOrderStore.create(home.orders)
    FleetStore.create(home.fleet)
    return home


@pytest.fixture
def relais(home: Home, capsys: pytest.CaptureFixture[str]) -> Relais:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = _run([*map(str, arguments), "--home", str(home.root)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def add(home: Home, *more: str | Path, client_id: str = "ph-1", key: str = "a.pub.jwk") -> tuple[str | Path, ...]:
    where = ("--class", "pharmacy", "--finess", "750012346", "--key", home.keys / key)
    return ("client", "add", client_id, *where, *more)


def listed(relais: Relais) -> dict[str, dict[str, object]]:
    status, out, _ = relais("client", "list", "--json")
    assert status == 0
    return {client["id"]: client for client in json.loads(out)["clients"]}


def orders(home: Home) -> int:
    with open_ledger(*open_home(home.root)) as ledger:
        return ledger.state.version


def gate(home: Home, audience: str = "ici") -> Gate:
    registry = Registry()
    with open_ledger(*open_home(home.root)) as ledger:
        registry.update(ledger.state.clients)
    return Gate(audience, registry, token_entries=4)


def authenticate(home: Home, token: str, audience: str = "ici") -> str:
    return gate(home, audience).authenticate(f"Bearer {token}", SystemClock().now()).id


def minted(relais: Relais, home: Home, *more: str, client_id: str = "ph-1", key: str = "a.jwk") -> str:
    status, out, _ = relais("token", "mint", "--client", client_id, "--key", home.keys / key, *more)
    assert status == 0
    return out.splitlines()[-1]


# --- add and list ------------------------------------------------------------------------------------------------


def test_a_registration_is_stored_and_shown_with_all_its_options(home: Home, relais: Relais):
    options = ("--daily", "40", "--burst", "7", "--unknown", "9", "--watch", "report")
    status, out, err = relais(*add(home, *options))
    assert (status, err) == (0, "")
    assert "order 1: client.register ph-1" in out
    shown = listed(relais)["ph-1"]
    assert {name: shown[name] for name in ("daily", "burst", "unknown", "watch")} == {
        "daily": 40,
        "burst": 7,
        "unknown": 9,
        "watch": "report",
    }
    assert (shown["class"], shown["finess"], shown["suspended"]) == ("pharmacy", ["750012346"], False)
    _, text, _ = relais("client", "list")
    for word in ("ph-1", "pharmacy", "daily 40", "burst 7", "unknown 9", "watch report", "750012346", "active"):
        assert word in text


def test_absent_budgets_are_those_of_the_class_and_shown(home: Home, relais: Relais):
    relais(*add(home))
    shown = listed(relais)["ph-1"]
    assert (shown["daily"], shown["burst"], shown["unknown"], shown["watch"]) == (800, 60, 300, "enforce")


def test_a_hub_has_a_list_of_finess(home: Home, relais: Relais):
    numbers = [f"75001234{digit}" for digit in range(6)]
    options = [option for number in numbers for option in ("--finess", number)]
    status, _, _ = relais("client", "add", "hub", "--class", "hub", "--key", home.keys / "a.jwk", *options)
    assert status == 0
    assert listed(relais)["hub"]["finess"] == numbers
    assert "and 3 more" in relais("client", "list")[1]


def test_of_a_private_key_only_the_public_part_is_kept(home: Home, relais: Relais):
    assert relais(*add(home, key="a.jwk"))[0] == 0
    secret = json.loads((home.keys / "a.jwk").read_text())["d"]
    with open_ledger(*open_home(home.root)) as ledger:
        stored = [jws for _, jws in ledger.store.read(1)]
        assert "d" not in ledger.state.clients["ph-1"].body["keys"][0]
    assert secret not in "".join(stored)
    assert secret not in relais("client", "list", "--json")[1]


def test_a_jwk_set_registers_all_its_keys(home: Home, relais: Relais):
    keys = [json.loads((home.keys / name).read_text()) for name in ("a.jwk", "b.pub.jwk")]
    (home.keys / "both.jwks").write_text(json.dumps({"keys": keys}))
    assert relais(*add(home, key="both.jwks"))[0] == 0
    for key in ("a.jwk", "b.jwk"):
        assert authenticate(home, minted(relais, home, key=key)) == "ph-1"


def test_a_finess_with_a_wrong_check_digit_is_a_warning_only(home: Home, relais: Relais):
    where = ("--finess", "750012345", "--key", home.keys / "a.jwk")
    status, _, err = relais("client", "add", "x", "--class", "pharmacy", *where)
    assert status == 0
    assert "warning: the check digit" in err
    assert relais(*add(home))[2] == ""


def test_a_kid_that_is_not_the_thumbprint_is_a_warning(home: Home, relais: Relais):
    jwk = {**json.loads((home.keys / "a.pub.jwk").read_text()), "kid": "my-key"}
    (home.keys / "named.jwk").write_text(json.dumps(jwk))
    status, _, err = relais(*add(home, key="named.jwk"))
    assert status == 0
    assert "warning: tokens name this key" in err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"client_id": "PH 1"}, "a client id is"),
        ({"more": ("--daily", "-1")}, "daily:"),
        ({"more": ("--finess", "2A0012346")}, "finess: a pharmacy has exactly one"),
        ({"more": ("--finess", "75001234")}, "finess/1:"),
        ({"more": ("--reason", "1 85 05 75 116 001 59")}, "NIR"),
        ({"more": ("--reason", "  ")}, "reason"),
        ({"key": "missing.jwk"}, "No such file"),
        ({"key": "order.txt"}, "not a JWK"),
        ({"key": "rsa.jwk"}, "keys/0: only Ed25519 and P-256"),
    ],
    ids=str,
)
def test_a_bad_registration_is_refused_and_nothing_is_ordered(
    home: Home, relais: Relais, change: dict[str, object], said: str
):
    (home.keys / "order.txt").write_text("not json")
    (home.keys / "rsa.jwk").write_text('{"kty":"RSA","n":"AQAB","e":"AQAB"}')
    more = change.pop("more", ())
    assert isinstance(more, tuple)
    status, _, err = relais(*add(home, *more, **change))
    assert status == 1
    assert said in err
    assert err.count("\n") == 1
    assert orders(home) == 0


@pytest.mark.parametrize("option", [("--class", "king"), ("--watch", "off"), ("--daily", "many"), ("--colour", "red")])
def test_an_option_nobody_knows_is_a_usage_error(home: Home, relais: Relais, option: tuple[str, str]):
    assert relais(*add(home, *option))[0] == 2
    assert orders(home) == 0


# --- registering again -------------------------------------------------------------------------------------------


def test_the_same_registration_again_changes_nothing(home: Home, relais: Relais):
    relais(*add(home))
    status, out, _ = relais(*add(home, key="a.jwk"))
    assert (status, orders(home)) == (0, 1)
    assert "no change" in out


@pytest.mark.parametrize(
    ("again", "said"), [({"key": "b.jwk"}, "other keys"), ({"more": ("--daily", "9000")}, "other daily")], ids=str
)
def test_a_known_id_is_not_replaced_silently(home: Home, relais: Relais, again: dict[str, object], said: str):
    relais(*add(home))
    more = again.pop("more", ())
    assert isinstance(more, tuple)
    status, _, err = relais(*add(home, *more, **again))
    assert (status, orders(home)) == (1, 1)
    assert said in err
    assert relais(*add(home, "--replace", *more, **again))[0] == 0
    assert orders(home) == 2


def test_a_replaced_key_stops_and_the_new_one_opens(home: Home, relais: Relais):
    relais(*add(home))
    former = minted(relais, home)
    relais(*add(home, "--replace", key="b.jwk"))
    with pytest.raises(TokenInvalid):
        authenticate(home, former)
    assert authenticate(home, minted(relais, home, key="b.jwk")) == "ph-1"


def test_registering_anew_does_not_lift_a_suspension(home: Home, relais: Relais):
    relais(*add(home))
    relais("client", "suspend", "ph-1", "--reason", "odd pace")
    status, _, err = relais(*add(home, "--replace", key="b.jwk"))
    assert status == 0
    assert "stays suspended" in err
    assert listed(relais)["ph-1"]["suspended"] is True


# --- suspend and resume ------------------------------------------------------------------------------------------


def test_for_machines_each_order_is_told_and_none_where_nothing_changed(home: Home, relais: Relais):
    status, out, err = relais(*add(home, "--json"))
    told = json.loads(out)
    assert (status, err) == (0, "order 1: client.register ph-1\n")
    assert [key["alg"] for key in told.pop("keys")] == ["EdDSA"]
    order = {"version": 1, "kind": "client.register", "scope": "ph-1"}
    assert told == {"id": "ph-1", "order_version": 1, "orders": [order], "proposals": [], "follows": True}
    again = relais(*add(home, "--json"))
    assert (json.loads(again[1])["orders"], again[2]) == ([], "ph-1 is registered so already: no change\n")
    for word, suspended, kinds in (
        ("suspend", True, ["client.suspend"]),
        ("suspend", True, []),
        ("resume", False, ["client.resume"]),
        ("resume", False, []),
    ):
        told = json.loads(relais("client", word, "ph-1", "--reason", "odd pace", "--json")[1])
        assert (told["id"], told["suspended"], told["follows"]) == ("ph-1", suspended, True)
        assert [order["kind"] for order in told["orders"]] == kinds
    assert told["order_version"] == 3


def test_suspend_and_resume_are_orders_with_a_reason(home: Home, relais: Relais):
    relais(*add(home))
    token = minted(relais, home)
    assert relais("client", "suspend", "ph-1", "--reason", "odd pace")[0] == 0
    with pytest.raises(ClientSuspended):
        authenticate(home, token)
    shown = listed(relais)["ph-1"]
    assert (shown["suspended"], shown["reason"]) == (True, "odd pace")
    assert "suspended since" in relais("client", "list")[1]
    assert "no change" in relais("client", "suspend", "ph-1", "--reason", "again")[1]
    assert relais("client", "resume", "ph-1", "--reason", "explained")[0] == 0
    assert authenticate(home, token) == "ph-1"
    assert "no change" in relais("client", "resume", "ph-1", "--reason", "again")[1]
    assert orders(home) == 3


@pytest.mark.parametrize("verb", ["suspend", "resume"])
def test_nothing_is_said_about_who_is_not_registered(home: Home, relais: Relais, verb: str):
    status, _, err = relais("client", verb, "ph-9", "--reason", "odd pace")
    assert (status, orders(home)) == (1, 0)
    assert "no client of this id" in err
    assert relais("client", verb, "ph-9")[0] == 2


# --- following ---------------------------------------------------------------------------------------------------


def test_a_worker_that_does_not_follow_is_named(home: Home, relais: Relais, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.cli.ordering.FOLLOW_SECONDS", 0.2)
    fleet = FleetStore(home.fleet)
    fleet.beat(Heartbeat("node-7", "rights", 3, 1, pid_space(), 42, 0, SystemClock().now()))
    status, _, err = relais(*add(home))
    assert status == 3
    assert "node-7 rights worker 3" in err
    fleet.beat(Heartbeat("node-7", "rights", 3, 1, pid_space(), 42, 1, SystemClock().now()))
    assert relais(*add(home))[0] == 0
    fleet.close()


def test_a_lost_store_is_unavailable_and_nothing_is_pretended(home: Home, relais: Relais):
    relais(*add(home))
    home.orders.write_bytes(b"")
    assert relais(*add(home, client_id="ph-2"))[0] == 3
    assert relais("client", "suspend", "ph-1", "--reason", "odd pace")[0] == 3


# --- mint --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hub", "vendor", "operator", "admin", "auditor"])
def test_the_audience_follows_the_class(home: Home, relais: Relais, kind: str):
    relais("client", "add", "x", "--class", kind, "--key", home.keys / "a.jwk")
    audience, other = ("ici-admin", "ici") if kind in {"operator", "admin", "auditor"} else ("ici", "ici-admin")
    token = minted(relais, home, client_id="x")
    assert authenticate(home, token, audience) == "x"
    with pytest.raises(TokenInvalid):
        authenticate(home, token, other)
    assert authenticate(home, minted(relais, home, "--aud", other, client_id="x"), other) == "x"


def test_with_an_audience_given_no_home_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    key = parse_private_jwk(private_jwk(Ed25519PrivateKey.generate()))
    file = tmp_path / "key.jwk"
    file.write_text(json.dumps(private_jwk(key.key)))
    arguments = ["token", "mint", "--client", "ph-1", "--key", str(file), "--home", str(tmp_path / "nowhere")]
    assert _run([*arguments, "--aud", "ici"]) == 0
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", capsys.readouterr().out)
    assert _run(arguments) == 1
    assert "not a relais home" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--client", "ph-9", "--key", "a.jwk"), "not registered here"),
        (("--client", "PH 1", "--key", "a.jwk"), "client id"),
        (("--client", "ph-1", "--key", "a.pub.jwk"), "private part"),
        (("--client", "ph-1", "--key", "a.jwk", "--lifetime", "601"), "1 to 600 seconds"),
    ],
)
def test_what_no_server_would_accept_is_not_minted(
    home: Home, relais: Relais, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(home.keys)
    relais(*add(home))
    status, out, err = relais("token", "mint", *arguments)
    assert (status, out) == (1, "")
    assert said in err


def test_a_token_that_will_be_refused_comes_with_a_warning(home: Home, relais: Relais):
    relais(*add(home))
    relais("client", "suspend", "ph-1", "--reason", "odd pace")
    _, out, err = relais("token", "mint", "--client", "ph-1", "--key", home.keys / "b.jwk")
    assert len(out.splitlines()) == 1
    assert "not registered for ph-1" in err
    assert "ph-1 is suspended" in err
