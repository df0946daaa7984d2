"""`relais client import`, `limit` and `rotate`, in a home where what loosens takes two people."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.access.enrolment import ENROLMENT_TYP
from service.control.fleet import FleetStore
from service.control.store import SqliteOrderStore
from service.jws import sign_compact
from service.keyfiles import KeyUse, load_private, write_new_key
from service.settings import Home
from tests.unit.cli.logins import BOB, Relais, logged_in

NUMBERS = ("750012346", "750012353", "750012361")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    for folder in (home.keys, home.orders.parent, home.node):
        folder.mkdir(parents=True)
    home.settings.write_text('[instance]\nname = "ici"\n')
    write_new_key(KeyUse.ORDER, home.keys / "order.jwk")
    for name in ("vendor", "a", "b", "c", "d"):
        write_new_key(KeyUse.CLIENT, home.keys / f"{name}.jwk")
    SqliteOrderStore.create(home.orders)
    FleetStore.create(home.fleet)
    (tmp_path / "allowed.txt").write_text("\n".join(NUMBERS))
    return home


@pytest.fixture
def relais(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Relais:
    return logged_in(home, tmp_path / "loginuid", capsys, monkeypatch)


@pytest.fixture
def vendor(home: Home, relais: Relais) -> str:
    assert relais("client", "add", "editor", "--class", "vendor", "--key", home.keys / "vendor.pub.jwk")[0] == 0
    return "editor"


def head(home: Home) -> int:
    return SqliteOrderStore(home.orders).head()


def public(home: Home, name: str) -> dict[str, Any]:
    return json.loads((home.keys / f"{name}.pub.jwk").read_text())


def entry(home: Home, key: str, finess: str = NUMBERS[0], **members: Any) -> dict[str, Any]:
    return {"id": f"ph-{key}", "finess": finess, "jwk": public(home, key), **members}


def listing(home: Home, *entries: Any, key: str = "vendor", **members: Any) -> Path:
    payload = {"iss": "editor", "aud": "ici", "iat": int(time.time()), "clients": list(entries), **members}
    file = home.root / "list.jws"
    file.write_text(sign_compact(json.dumps(payload).encode(), ENROLMENT_TYP, load_private(home.keys / f"{key}.jwk")))
    return file


def imported(home: Home, file: Path, *more: str) -> tuple[str | Path, ...]:
    return ("client", "import", file, "--vendor", "editor", "--allowed", home.root.parent / "allowed.txt", *more)


def shown(relais: Relais) -> dict[str, Any]:
    return {one["id"]: one for one in json.loads(relais("client", "list", "--json")[1])["clients"]}


def waiting(relais: Relais) -> list[dict[str, Any]]:
    found = json.loads(relais("orders", "proposals", "--json")[1])["proposals"]
    return [one for one in found if one["state"] == "waiting"]


def add(home: Home, key: str, *more: str) -> tuple[str | Path, ...]:
    where = ("--class", "pharmacy", "--finess", NUMBERS[0], "--key", home.keys / f"{key}.pub.jwk")
    return ("client", "add", f"ph-{key}", *where, *more)


# --- import ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("vendor")
def test_a_list_is_proposed_whole_and_given_whole(home: Home, relais: Relais):
    file = listing(home, entry(home, "a"), entry(home, "b", NUMBERS[1]), entry(home, "c", "750099999"))
    status, out, err = relais(*imported(home, file))
    assert (status, err, head(home)) == (4, "", 1)
    assert "2 to register, 0 registered so already, 1 refused" in out
    assert "  1 finess_not_allowed\n  entry 2 (ph-c): the FINESS is not on the allowed list\n" in out
    found = re.search(r"proposed ([0-9a-f-]{36}): 2 clients would be registered", out)
    assert found is not None
    (proposal,) = waiting(relais)
    assert f"(list {proposal['body']['digest']})" in relais("orders", "proposals")[1]
    assert proposal["body"]["digest"] in out
    assert relais("orders", "approve", found[1])[0] == 1
    status, out, err = relais("orders", "approve", found[1], by=BOB)
    assert (status, out, err) == (0, "orders 2 to 5: 2 clients would be registered\n", "")
    clients = shown(relais)
    assert set(clients) == {"editor", "ph-a", "ph-b"}
    for name in ("ph-a", "ph-b"):
        assert (clients[name]["daily"], clients[name]["unknown"], clients[name]["burst"]) == (200, 75, 60)
    assert re.search(r"daily 200 .*limited until \d{4}-", relais("client", "list")[1])
    again = relais(*imported(home, file))
    assert (again[0], head(home)) == (0, 5)
    assert "0 to register, 2 registered so already, 1 refused" in again[1]


@pytest.mark.usefixtures("vendor")
def test_whoever_approves_reads_who_would_be_registered(home: Home, relais: Relais):
    relais(*imported(home, listing(home, entry(home, "a"), entry(home, "b", NUMBERS[1]))))
    (proposal,) = waiting(relais)
    status, out, err = relais("orders", "proposals", "--show", proposal["id"], by=BOB)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split("{")[0] for line in lines[1:]] == [
        "client.register ph-a ",
        "client.limit ph-a for 7 days, 0:00:00 ",
        "client.register ph-b ",
        "client.limit ph-b for 7 days, 0:00:00 ",
    ]
    assert public(home, "a")["x"] in lines[1]
    assert NUMBERS[0] in lines[1]
    shown = json.loads(relais("orders", "proposals", "--show", proposal["id"], "--json")[1])
    assert shown["id"] == proposal["id"]
    assert [(item["kind"], item["scope"]) for item in shown["list"][:2]] == [
        ("client.register", "ph-a"),
        ("client.limit", "ph-a"),
    ]
    assert relais("orders", "proposals", "--show", "none")[0] == 1


@pytest.mark.usefixtures("vendor")
def test_a_list_that_was_changed_where_it_lies_is_not_shown(home: Home, relais: Relais):
    relais(*imported(home, listing(home, entry(home, "a"))))
    (proposal,) = waiting(relais)
    with closing(sqlite3.connect(home.fleet)) as store, store:
        store.execute("UPDATE proposed_lists SET payload = CAST(replace(payload, 'ph-a', 'ph-x') AS BLOB)")
    status, out, err = relais("orders", "proposals", "--show", proposal["id"])
    assert (status, out) == (1, "")
    assert "not the one it was made for" in err


@pytest.mark.usefixtures("vendor")
def test_the_status_counts_what_waits(home: Home, relais: Relais):
    assert json.loads(relais("status", "--json")[1])["proposals_waiting"] == 0
    relais(*imported(home, listing(home, entry(home, "a"))))
    assert "\n1 proposal waits for a second person, the first until " in relais("status")[1]
    relais("mode", "set", "suspended", "--reason", "doubt")
    relais("mode", "set", "degraded", "--reason", "no doubt")
    assert "\n2 proposals wait for a second person" in relais("status")[1]
    assert json.loads(relais("status", "--json")[1])["proposals_waiting"] == 2
    relais("client", "suspend", "editor", "--reason", "its seal was stolen")
    assert json.loads(relais("status", "--json")[1])["proposals_waiting"] == 1


def test_the_status_names_the_keys_that_end(home: Home, relais: Relais):
    relais(*add(home, "a"))
    assert json.loads(relais("status", "--json")[1])["keys_ending"] == []
    relais("client", "rotate", "ph-a", "--key", home.keys / "b.pub.jwk", "--overlap", "2d")
    (proposal,) = waiting(relais)
    relais("orders", "approve", proposal["id"], by=BOB)
    kid = public(home, "a")["kid"]
    assert f"warning client_key_ends: ph-a: key {kid} ends at " in relais("status")[1]
    (key,) = json.loads(relais("status", "--json")[1])["keys_ending"]
    assert (key["client"], key["kid"], key["last"]) == ("ph-a", kid, False)


@pytest.mark.usefixtures("vendor")
def test_a_dry_run_says_the_same_and_proposes_nothing(home: Home, relais: Relais):
    file = listing(home, entry(home, "a"), entry(home, "b", "75"))
    status, out, _ = relais(*imported(home, file, "--dry-run", "--json"))
    told = json.loads(out)
    assert (status, told["dry_run"], told["register"], told["proposals"]) == (0, True, ["ph-a"], [])
    assert told["refused"] == [
        {"entry": 1, "id": "ph-b", "code": "finess_invalid", "detail": "not a FINESS number"},
    ]
    assert (waiting(relais), head(home)) == ([], 1)
    proposed = json.loads(relais(*imported(home, file, "--json"))[1])
    assert proposed["list"] == told["list"] == waiting(relais)[0]["body"]["digest"]
    assert (proposed["orders"], len(proposed["proposals"])) == (0, 1)


@pytest.mark.usefixtures("vendor")
def test_a_list_of_which_nothing_is_left_is_refused(home: Home, relais: Relais):
    assert relais(*imported(home, listing(home, entry(home, "a", "75"))))[0] == 1
    assert (waiting(relais), head(home)) == ([], 1)


@pytest.mark.usefixtures("vendor")
def test_a_vendors_list_replaces_no_key(home: Home, relais: Relais):
    assert relais(*add(home, "a"))[0] == 0
    status, out, _ = relais(*imported(home, listing(home, {**entry(home, "b"), "id": "ph-a"})))
    assert (status, head(home)) == (1, 2)
    assert "a list replaces nobody" in out


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize(
    ("key", "members", "said"),
    [
        ("a", {}, "signed by a key that is not known here"),
        ("vendor", {"aud": "la-bas"}, "another instance"),
        ("vendor", {"iat": 1}, "signed more than"),
    ],
)
def test_a_list_that_is_not_the_vendors_is_refused(
    home: Home, relais: Relais, key: str, members: dict[str, Any], said: str
):
    status, out, err = relais(*imported(home, listing(home, entry(home, "a"), key=key, **members)))
    assert (status, out, head(home)) == (1, "", 1)
    assert said in err
    assert err.count("\n") == 1


def test_somebody_who_is_no_vendor_lists_nobody(home: Home, relais: Relais):
    file = listing(home, entry(home, "a"))
    assert "no client of the vendor's id" in relais(*imported(home, file))[2]
    relais("client", "add", "editor", "--class", "pharmacy", "--finess", NUMBERS[1], "--key", home.keys / "vendor.jwk")
    status, _, err = relais(*imported(home, file))
    assert (status, head(home)) == (1, 1)
    assert "not as a vendor" in err


@pytest.mark.usefixtures("vendor")
def test_a_suspended_vendor_lists_nobody_and_what_it_listed_is_over(home: Home, relais: Relais):
    file = listing(home, entry(home, "a"))
    relais(*imported(home, file))
    (proposal,) = waiting(relais)
    relais("client", "suspend", "editor", "--reason", "its key was stolen")
    assert relais("orders", "approve", proposal["id"], by=BOB)[0] == 1
    assert "is suspended" in relais(*imported(home, file))[2]
    assert head(home) == 2


@pytest.mark.usefixtures("vendor")
def test_files_that_are_none_are_named(home: Home, relais: Relais, tmp_path: Path):
    file = listing(home, entry(home, "a"))
    allowed = tmp_path / "allowed.txt"
    for content, said in ((b"75\n", "line 1"), (b"", "no FINESS"), (b"\xff\xfe", "UTF-8")):
        allowed.write_bytes(content)
        status, _, err = relais(*imported(home, file))
        assert status == 1
        assert said in err
        assert "allowed.txt" in err
    file.write_bytes(b"\xe9")
    allowed.write_text(NUMBERS[0])
    assert "list.jws: not a compact JWS" in relais(*imported(home, file))[2]


# --- limit -------------------------------------------------------------------------------------------------------


def test_a_limit_below_the_class_is_ordered_and_ends_by_itself(home: Home, relais: Relais):
    relais(*add(home, "a"))
    status, out, _ = relais("client", "limit", "ph-a", "--daily", "40", "--until", "2d", "--reason", "odd pace")
    assert (status, out) == (0, "order 2: client.limit ph-a\n")
    client = shown(relais)["ph-a"]
    assert (client["daily"], client["burst"], [limit["daily"] for limit in client["limits"]]) == (40, 60, [40])
    told = json.loads(relais("client", "limit", "ph-a", "--daily", "50", "--reason", "explained", "--json")[1])
    assert (told["limits"], told["until"], told["order_version"]) == ({"daily": 50}, None, 3)
    assert (shown(relais)["ph-a"]["daily"], shown(relais)["ph-a"]["limits"]) == (50, [])
    assert "no change" in relais("client", "limit", "ph-a", "--daily", "50", "--reason", "again")[1]
    assert head(home) == 3


def test_a_limit_above_the_class_takes_a_second_person(home: Home, relais: Relais):
    relais(*add(home, "a"))
    status, out, _ = relais("client", "limit", "ph-a", "--daily", "5000", "--until", "2h", "--reason", "flu season")
    assert (status, head(home)) == (4, 1)
    assert "its budget daily would be 5000, above the 800 of its class" in out
    assert relais("orders", "approve", waiting(relais)[0]["id"], by=BOB)[0] == 0
    assert shown(relais)["ph-a"]["daily"] == 5000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "say what to limit"),
        (("--daily", "-1"), "daily:"),
        (("--daily", "1", "--until", "yesterday"), "--until takes"),
        (("--daily", "1", "--until", "2020-01-01T00:00:00Z"), "past"),
    ],
)
def test_a_limit_that_is_none_is_refused(home: Home, relais: Relais, options: tuple[str, ...], said: str):
    relais(*add(home, "a"))
    status, _, err = relais("client", "limit", "ph-a", *options, "--reason", "x")
    assert (status, head(home)) == (1, 1)
    assert said in err
    assert relais("client", "limit", "ph-z", "--daily", "1", "--reason", "x")[0] == 1


def test_registering_anew_leaves_a_limit_in_force(home: Home, relais: Relais):
    relais(*add(home, "a"))
    relais("client", "limit", "ph-a", "--daily", "40", "--until", "2d", "--reason", "odd pace")
    assert "no change" in relais(*add(home, "a"))[1]
    assert relais(*add(home, "a", "--daily", "500", "--replace"))[0] == 0
    assert shown(relais)["ph-a"]["daily"] == 40


# --- rotate ------------------------------------------------------------------------------------------------------


def rotate(home: Home, key: str, *more: str) -> tuple[str | Path, ...]:
    return ("client", "rotate", "ph-a", "--key", home.keys / f"{key}.pub.jwk", *more)


def keys(relais: Relais) -> dict[str, bool]:
    """The kids of ph-a, and whether each has an end."""
    return {jwk["kid"]: "exp" in jwk for jwk in shown(relais)["ph-a"]["keys"]}


def test_a_new_key_takes_two_people_and_the_former_ends(home: Home, relais: Relais):
    relais(*add(home, "a", "--daily", "500"))
    a, b, c = (public(home, name)["kid"] for name in "abc")
    status, out, _ = relais(*rotate(home, "b", "--overlap", "2d"))
    assert (status, head(home)) == (4, 1)
    assert "it would have a key it did not have" in out
    assert relais("orders", "approve", waiting(relais)[0]["id"], by=BOB)[0] == 0
    assert keys(relais) == {b: False, a: True}
    assert shown(relais)["ph-a"]["daily"] == 500
    text, warned = relais("client", "list")[1:]
    assert re.search(rf"keys {b}, {a} until \d{{4}}-", text)
    assert f"warning: ph-a: key {a} ends at" in warned
    relais(*rotate(home, "c", "--overlap", "0m", "--reason", "b was stolen"))
    relais("orders", "approve", waiting(relais)[0]["id"], by=BOB)
    assert keys(relais) == {c: False}


def test_rotating_leaves_a_limit_and_a_suspension_in_force(home: Home, relais: Relais):
    relais(*add(home, "a"))
    relais("client", "limit", "ph-a", "--daily", "40", "--until", "2d", "--reason", "odd pace")
    relais("client", "suspend", "ph-a", "--reason", "odd pace")
    relais(*rotate(home, "b"))
    relais("orders", "approve", waiting(relais)[0]["id"], by=BOB)
    client = shown(relais)["ph-a"]
    assert (client["daily"], client["suspended"], len(client["keys"])) == (40, True, 2)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("a.pub.jwk", "has this key already"),
        ("d.pub.jwk", "ph-d has this key"),
        ("rsa.jwk", "only Ed25519 and P-256"),
        ("weak.jwk", "weak"),
        ("set.jwks", "holds 2 keys"),
        ("none.jwk", "No such file"),
    ],
)
def test_a_key_that_may_not_follow_is_refused(home: Home, relais: Relais, key: str, said: str):
    (home.keys / "rsa.jwk").write_text('{"kty":"RSA","n":"AQAB","e":"AQAB"}')
    (home.keys / "weak.jwk").write_text(json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}))
    (home.keys / "set.jwks").write_text(json.dumps({"keys": [public(home, "b"), public(home, "c")]}))
    relais(*add(home, "a"))
    where = ("--finess", NUMBERS[1], "--key", home.keys / "d.pub.jwk")
    relais("client", "add", "ph-d", "--class", "pharmacy", *where)
    status, _, err = relais("client", "rotate", "ph-a", "--key", home.keys / key)
    assert (status, head(home), waiting(relais)) == (1, 2, [])
    assert said in err


def test_nobody_unknown_is_rotated(home: Home, relais: Relais):
    status, _, err = relais(*rotate(home, "b"))
    assert (status, "no client of this id" in err) == (1, True)
    relais(*add(home, "a"))
    assert relais(*rotate(home, "b", "--overlap", "2020-01-01T00:00:00Z"))[0] == 1
    assert relais(*rotate(home, "b", "--overlap", "soon"))[0] == 1
    assert head(home) == 1
