"""A home where what loosens takes two people: no demo, and the setting left as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.control.fleet import FleetStore
from service.control.replica import Replica
from service.control.store import SqliteOrderStore
from service.keyfiles import KeyUse, write_new_key
from service.settings import Home
from tests.unit.cli.logins import ANN, BOB, Relais, logged_in

AMC = "0775671993"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    for folder in (home.keys, home.orders.parent, home.node):
        folder.mkdir(parents=True)
    home.settings.write_text('[upstream]\nurl = "https://droits.example"\n')
    write_new_key(KeyUse.ORDER, home.keys / "order.jwk")
    for name in ("a", "b"):
        write_new_key(KeyUse.CLIENT, home.keys / f"{name}.jwk")
    SqliteOrderStore.create(home.orders)
    FleetStore.create(home.fleet)
    return home


@pytest.fixture
def relais(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Relais:
    return logged_in(home, tmp_path / "loginuid", capsys, monkeypatch)


def head(home: Home) -> int:
    return SqliteOrderStore(home.orders).head()


def listed(relais: Relais) -> list[dict[str, Any]]:
    return json.loads(relais("orders", "proposals", "--json")[1])["proposals"]


def add(home: Home, client_id: str, kind: str, *more: str, key: str = "a") -> tuple[str | Path, ...]:
    return ("client", "add", client_id, "--class", kind, "--key", home.keys / f"{key}.pub.jwk", *more)


LIVE = ("mode", "set", "live", "--reason", "the portal is back")


def test_what_loosens_is_proposed_and_given_by_somebody_else(relais: Relais, home: Home):
    status, out, err = relais(*LIVE, "--until", "2h")
    assert (status, err, head(home)) == (4, "", 0)
    found = re.fullmatch(
        r"proposed ([0-9a-f-]{36}): mode\.set \*: everything would be live instead of degraded  "
        r"\(relais orders approve \1, by somebody else\)\n",
        out,
    )
    assert found is not None
    made = found[1]
    line = relais("orders", "proposals")[1]
    assert made in line
    assert f"cli:uid-{ANN}: the portal is back" in line
    status, _, err = relais("orders", "approve", made)
    assert (status, "somebody else" in err, head(home)) == (1, True, 0)
    assert relais("orders", "approve", made, by=BOB) == (0, "order 1: mode.set *\n", "")
    (order,) = json.loads(relais("orders", "list", "--json")[1])["orders"]
    assert (order["actor"], order["approved_by"]) == (f"cli:uid-{ANN}", f"cli:uid-{BOB}")
    assert f"cli:uid-{ANN} with cli:uid-{BOB}" in relais("orders", "list")[1]
    assert f"approved by cli:uid-{BOB} as order 1" in relais("orders", "proposals")[1]
    status, _, err = relais("orders", "approve", made, by=BOB)
    assert (status, "approved already" in err) == (1, True)


def test_for_machines_proposal_and_approval_are_told(relais: Relais):
    status, out, err = relais(*LIVE, "--json")
    told = json.loads(out)
    assert (status, told["orders"], told["order_version"], told["follows"]) == (4, [], 0, True)
    (proposal,) = told["proposals"]
    assert (proposal["kind"], proposal["scope"]) == ("mode.set", "*")
    assert proposal["loosens"] == "everything would be live instead of degraded"
    assert err.startswith(f"proposed {proposal['id']}: ")
    (shown,) = listed(relais)
    assert (shown["id"], shown["ends"], shown["state"]) == (proposal["id"], proposal["ends"], "waiting")
    status, out, err = relais("orders", "approve", proposal["id"], "--json", by=BOB)
    assert (status, err) == (0, "order 1: mode.set *\n")
    assert json.loads(out) == {
        "id": proposal["id"],
        "order_version": 1,
        "orders": [{"version": 1, "kind": "mode.set", "scope": "*"}],
        "proposals": [],
        "follows": True,
    }


def test_what_tightens_one_person_orders(relais: Relais, home: Home):
    assert relais("mode", "set", "suspended", "--reason", "doubt")[0] == 0
    assert relais("mode", "set", "suspended", "--scope", AMC, "--reason", "no extract")[0] == 0
    assert relais(*add(home, "ph-1", "pharmacy", "--finess", "750012346"))[0] == 0
    assert relais("client", "suspend", "ph-1", "--reason", "odd pace")[0] == 0
    assert relais("notice", "put", "n", "--severity", "info", "--text", "Bonjour.", "--reason", "x")[0] == 0
    assert (head(home), listed(relais)) == (5, [])


def test_each_command_that_loosens_proposes(relais: Relais, home: Home):
    for words in (
        ("mode", "set", "suspended", "--reason", "doubt"),
        ("mode", "set", "suspended", "--scope", AMC, "--reason", "no extract"),
        add(home, "ph-1", "pharmacy", "--finess", "750012346"),
        ("client", "suspend", "ph-1", "--reason", "odd pace"),
    ):
        assert relais(*words)[0] == 0
    for words in (
        ("mode", "set", "degraded", "--all", "--reason", "well"),
        ("client", "resume", "ph-1", "--reason", "explained"),
        add(home, "hub-1", "hub", "--finess", "750012346"),
        add(home, "ph-1", "pharmacy", "--finess", "750012346", "--replace", key="b"),
    ):
        assert relais(*words)[0] == 4
    assert head(home) == 4
    loosened = [one["loosens"] for one in listed(relais)]
    assert loosened == [
        "everything would be degraded instead of suspended",
        f"AMC {AMC} would be degraded instead of suspended",
        "its suspension would end",
        "a client of class hub would be registered",
        "it would have a key it did not have",
    ]
    resumed = json.loads(relais("client", "resume", "ph-1", "--reason", "explained", "--json")[1])
    assert resumed["suspended"] is True
    assert len(listed(relais)) == 5


def test_a_rejection_has_a_reason_and_ends_it(relais: Relais, home: Home):
    made = json.loads(relais(*LIVE, "--json")[1])["proposals"][0]["id"]
    assert relais("orders", "reject", made)[0] == 2
    assert relais("orders", "reject", made, "--reason", " ")[0] == 1
    assert relais("orders", "reject", made, "--reason", "not yet", by=BOB) == (0, f"rejected {made}: mode.set *\n", "")
    assert f"rejected by cli:uid-{BOB}: not yet" in relais("orders", "proposals")[1]
    status, _, err = relais("orders", "approve", made, by=BOB)
    assert (status, "rejected already" in err, head(home)) == (1, True, 0)
    told = json.loads(relais("orders", "reject", relais_id(relais), "--reason", "a slip", "--json")[1])
    assert (told["state"], told["decided_by"], told["decided_reason"]) == ("rejected", f"cli:uid-{ANN}", "a slip")


def relais_id(relais: Relais) -> str:
    return json.loads(relais(*LIVE, "--json")[1])["proposals"][0]["id"]


def test_what_was_changed_since_is_over_and_an_unknown_one_is_said(relais: Relais):
    made = relais_id(relais)
    relais("mode", "set", "suspended", "--reason", "doubt", by=BOB)
    assert "  over  " in relais("orders", "proposals")[1]
    status, _, err = relais("orders", "approve", made, by=BOB)
    assert (status, err) == (
        1,
        "relais: order 1 changed since what this proposal would change: propose it anew\n",
    )
    assert relais("orders", "approve", "nonsense", by=BOB)[::2] == (1, "relais: no proposal of this id\n")


def test_nothing_waits_at_first(relais: Relais):
    assert relais("orders", "proposals") == (0, "nothing waits for a second person\n", "")


@pytest.mark.parametrize(("setting", "status"), [("never", 0), ("always", 4)])
def test_the_setting_says_whether_it_takes_two(
    relais: Relais, setting: str, status: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RELAIS_INSTANCE_DEMO", "true")
    monkeypatch.setenv("RELAIS_CONTROL_TWO_PERSON", setting)
    assert relais(*LIVE)[0] == status


def test_proposals_that_nobody_can_keep_are_unavailable_and_a_suspension_is_not(relais: Relais, home: Home):
    for file in home.fleet.parent.glob("fleet.db*"):
        file.unlink()
    assert relais(*LIVE)[0] == 3
    assert head(home) == 0
    # The order is in force; only who follows it is not known.
    status, _, err = relais("mode", "set", "suspended", "--reason", "doubt")
    assert (status, "order 1 is given" in err, head(home)) == (3, True, 1)


# --- orders list -------------------------------------------------------------------------------------------------


def test_orders_are_listed_by_what_one_looks_for(relais: Relais, home: Home):
    relais("mode", "set", "suspended", "--reason", "doubt")
    relais("mode", "set", "suspended", "--scope", AMC, "--reason", "no extract", by=BOB)
    relais(*add(home, "ph-1", "pharmacy", "--finess", "750012346"))
    relais("orders", "approve", relais_id(relais), by=BOB)

    def versions(*words: str) -> list[int]:
        status, out, _ = relais("orders", "list", *words, "--json")
        assert status == 0
        return [order["version"] for order in json.loads(out)["orders"]]

    assert versions() == [1, 2, 3, 4]
    assert versions("--kind", "mode.set") == [1, 2, 4]
    assert versions("--scope", "775671993") == [2]
    assert versions("--scope", "ph-1") == [3]
    assert versions("--actor", f"cli:uid-{BOB}") == [2, 4]
    assert versions("--limit", "2") == [3, 4]
    assert versions("--kind", "mode.set", "--limit", "1") == [4]
    assert versions("--since", "1h") == [1, 2, 3, 4]
    assert versions("--since", "2099-01-01T00:00:00Z") == []
    assert relais("orders", "list", "--limit", "0")[0] == 1
    assert relais("orders", "list", "--kind", "mode.dance")[0] == 1
    status, _, err = relais("orders", "list", "--since", "2024-01-01T00:00:00")
    assert (status, "--since takes a time" in err, "offset" in err) == (1, True, True)


# --- orders restore ----------------------------------------------------------------------------------------------


def test_a_lost_store_comes_back_from_the_node_s_copy(relais: Relais, home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert relais("orders", "restore")[0] == 1
    relais("mode", "set", "suspended", "--reason", "doubt")
    Replica(home.node / "orders.jsonl").extend(SqliteOrderStore(home.orders).read(1))
    status, _, err = relais("orders", "restore")
    assert (status, err) == (1, "relais: the store is sound, up to order 1: there is nothing to restore\n")
    home.orders.write_bytes(b"no database")
    assert relais("mode", "show")[0] == 0
    assert relais("mode", "set", "suspended", "--reason", "again")[0] == 3
    assert relais("orders", "restore") == (0, "orders.db is written anew, up to order 1\n", "")
    (kept,) = home.orders.parent.glob("orders.db.replaced-*Z")
    assert kept.read_bytes() == b"no database"
    assert relais("mode", "set", "suspended", "--reason", "again")[0] == 0
    home.orders.unlink()
    assert json.loads(relais("orders", "restore", "--json")[1]) == {"order_version": 1, "follows": True}
