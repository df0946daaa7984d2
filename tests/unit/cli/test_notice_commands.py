from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli.main import _run
from service.control.fleet import FleetStore
from service.control.store import SqliteOrderStore
from service.keyfiles import KeyUse, write_new_key
from service.settings import Home

AMC = "0775671993"
TEXT = "Le portail Visiodroits est fermé : les réponses viennent de l'extrait de la nuit."
Relais = Callable[..., tuple[int, str, str]]


@pytest.fixture
def relais(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Relais:
    home = Home(tmp_path)
    for folder in (home.keys, home.orders.parent, home.node):
        folder.mkdir()
    home.settings.write_text("")
    write_new_key(KeyUse.ORDER, home.keys / "order.jwk")
    SqliteOrderStore.create(home.orders)
    FleetStore.create(home.fleet)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = _run([*arguments, "--home", str(tmp_path)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def put(relais: Relais, *more: str, notice: str = "portail", text: str = TEXT) -> tuple[int, str, str]:
    return relais("notice", "put", notice, "--severity", "warning", "--text", text, "--reason", "outage", *more)


def listed(relais: Relais) -> dict[str, dict[str, object]]:
    return {one["id"]: one for one in json.loads(relais("notice", "list", "--json")[1])["notices"]}


def test_a_notice_is_put_shown_and_withdrawn(relais: Relais):
    assert relais("notice", "list") == (0, "there is no notice\n", "")
    assert put(relais, "--scope", "775671993", "--until", "2h") == (0, f"order 1: notice.put {AMC}\n", "")
    shown = listed(relais)["portail"]
    assert {name: shown[name] for name in ("scope", "severity", "text", "state", "order")} == {
        "scope": AMC,
        "severity": "warning",
        "text": TEXT,
        "state": "shown",
        "order": 1,
    }
    assert str(shown["until"]) > str(shown["from"])
    assert f"portail  shown  warning {AMC} from " in relais("notice", "list")[1]
    assert relais("notice", "withdraw", "portail", "--reason", "over") == (0, f"order 2: notice.withdraw {AMC}\n", "")
    assert listed(relais) == {}


def test_it_may_begin_later_and_replaces_the_one_of_its_id(relais: Relais):
    put(relais, "--from", "1h")
    assert listed(relais)["portail"]["state"] == "to come"
    put(relais, "--from", "2024-01-29T12:00:00+01:00", text="Autre chose.")
    shown = listed(relais)["portail"]
    assert (shown["state"], shown["from"], shown["text"]) == ("shown", "2024-01-29T11:00:00.000Z", "Autre chose.")


def test_for_machines_the_order_is_told(relais: Relais):
    status, out, err = put(relais, "--json")
    assert (status, err) == (0, "order 1: notice.put *\n")
    assert json.loads(out) == {
        "id": "portail",
        "order_version": 1,
        "orders": [{"version": 1, "kind": "notice.put", "scope": "*"}],
        "proposals": [],
        "follows": True,
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--scope", "12"), "a scope is"),
        (("--until", "soon"), "--until takes"),
        (("--from", "soon"), "--from takes"),
        (("--from", "2024-01-29T12:00:00"), "--from takes a time"),
        (("--until", "2020-01-01T00:00:00Z"), "the end lies in the past"),
    ],
)
def test_what_may_not_be_ordered_is_refused(relais: Relais, more: tuple[str, ...], said: str):
    status, _, err = put(relais, *more)
    assert (status, said in err) == (1, True)
    assert listed(relais) == {}


@pytest.mark.parametrize("text", ["", "x" * 501, "NIR 1 85 05 75 116 001 59"])
def test_a_text_that_may_not_be_shown_is_refused_and_not_repeated(relais: Relais, text: str):
    status, _, err = put(relais, text=text)
    assert (status, listed(relais)) == (1, {})
    assert not text or text not in err


def test_one_that_is_not_there_is_not_withdrawn(relais: Relais):
    assert relais("notice", "withdraw", "nothing", "--reason", "x")[::2] == (1, "relais: no notice of this id\n")
    assert put(relais, notice="Not An Id")[0] == 1
