from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.cli.main import _run
from service.control.fleet import FleetStore
from service.control.leases import SqliteLeaseStore
from service.control.store import SqliteOrderStore
from service.control.suspicions import SqliteSuspicions, Suspicion
from service.keyfiles import KeyUse, write_new_key
from service.paris import paris_date
from service.settings import Home

Relais = Callable[..., tuple[int, str, str]]
FINESS, SECOND = "750012346", "330012342"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for folder in (home.keys, home.orders.parent, home.node):
        folder.mkdir()
    home.settings.write_text('[control]\ntwo_person = "never"\n')
    write_new_key(KeyUse.ORDER, home.keys / "order.jwk")
    write_new_key(KeyUse.CLIENT, home.keys / "a.jwk")
    SqliteOrderStore.create(home.orders)
    FleetStore.create(home.fleet)
    return home


@pytest.fixture
def relais(home: Home, capsys: pytest.CaptureFixture[str]) -> Relais:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = _run([*arguments, "--home", str(home.root)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def asked(home: Home, relais: Relais) -> Relais:
    """A pharmacy and a hub that have asked, an admin that has not."""
    for client, client_class, finess in (
        ("ph", "pharmacy", [FINESS]),
        ("hub", "hub", [FINESS, SECOND]),
        ("ann", "admin", []),
    ):
        options = [word for number in finess for word in ("--finess", number)]
        key = str(home.keys / "a.pub.jwk")
        assert relais("client", "add", client, "--class", client_class, "--key", key, *options)[0] == 0
    spend(home, "ph", 400, 100)
    spend(home, "hub", 780, 0, SECOND)
    spend(home, "ph", 100, 0, days_ago=1)
    return relais


def spend(home: Home, client: str, lookups: int, unknown: int = 0, finess: str = FINESS, days_ago: int = 0) -> None:
    store, day = SqliteLeaseStore(home.fleet), paris_date(dt.datetime.now(dt.UTC)) - dt.timedelta(days_ago)
    store.settle(store.draw(day.isoformat(), client, finess, "n/0", lambda *_: lookups), (lookups, unknown))
    store.close()


def shown(out: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]


def document(relais: Relais, *words: str) -> dict[str, Any]:
    status, out, _ = relais("exposure", "--json", *words)
    assert status == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_each_client_stands_against_what_it_may_the_closest_first(asked: Relais):
    status, out, err = asked("exposure")
    assert (status, err) == (0, "")
    head, titles, hub, pharmacy, worst = shown(out)
    assert head[0].endswith("in Paris: 2 of 2 clients asked, 1180 lookups, at most 1080 people")
    assert titles == ["client", "today", "share", "people", "7 days", "share", "people", "trend"]
    assert hub == ["hub", "780", "98%", "780", "780", "14%", "780", "-", "new"]
    assert pharmacy == ["ph", "400", "50%", "300", "500", "9%", "400", "x4.0"]
    assert worst == [f"hub: most for FINESS {SECOND}, 780 of 800 lookups"]


def test_one_client_is_told_of_by_pharmacy(home: Home, asked: Relais):
    spend(home, "hub", 20, 20)
    _, out, _ = asked("exposure", "--client", "hub")
    lines = shown(out)
    assert [line[:2] for line in lines if re.fullmatch(r"[0-9]{9}", line[0])] == [[SECOND, "780"], [FINESS, "20"]]
    told = document(asked, "--client", "hub")
    assert told["client"]["today"]["lookups"] == 800
    assert [one["finess"] for one in told["finess"]] == [SECOND, FINESS]


def test_so_many_are_shown_and_the_rest_is_counted(asked: Relais):
    _, out, _ = asked("exposure", "--top", "1", "--sort", "trend")
    assert [line[0] for line in shown(out)[2:]] == [
        "hub",
        f"hub: most for FINESS {SECOND}, 780 of 800 lookups",
        "and 1 more: --top",
    ]
    told = document(asked, "--top", "1", "--sort", "today")
    assert ([one["client"] for one in told["clients"]], told["left_out"], told["sort"]) == (["hub"], 1, "today")
    status, _, err = asked("exposure", "--top", "0")
    assert status == 1
    assert "--top" in err


def test_flags_say_until_when_and_the_sentinel_why(home: Home, asked: Relais):
    asked("client", "limit", "ph", "--daily", "500", "--until", "2099-01-01T00:00:00Z", "--reason", "essai")
    store = SqliteSuspicions(home.fleet)
    store.add([Suspicion(dt.datetime.now(dt.UTC), FINESS, ("ph",), "slow", ("pace", "nights"), "figures", "report")])
    store.close()
    _, out, _ = asked("exposure", "--client", "ph")
    assert "noted, limited until 2099-01-01T00:00:00.000Z" in out
    assert re.search(rf"ph: sentinel slow at \S+ for FINESS {FINESS}: pace, nights, only told \(report\)", out)


def test_nobody_of_that_name_is_one_line(asked: Relais):
    status, out, err = asked("exposure", "--client", "nobody")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1


def test_without_the_store_there_are_no_figures(home: Home, asked: Relais):
    home.fleet.unlink()
    status, out, err = asked("exposure")
    assert (status, out) == (3, "")
    assert "fleet.db" in err


def test_status_names_the_client_that_is_closest_to_a_limit(home: Home, relais: Relais):
    assert "most exposed" not in relais("status")[1]
    key = str(home.keys / "a.pub.jwk")
    relais("client", "add", "ph", "--class", "pharmacy", "--key", key, "--finess", FINESS)
    assert "most exposed" not in relais("status")[1]
    spend(home, "ph", 400, 100)
    assert "most exposed ph: 400 of 800 lookups today, at most 300 people\n" in relais("status")[1]
    assert json.loads(relais("status", "--json")[1])["most_exposed"]["client"] == "ph"
