from __future__ import annotations

import datetime as dt
import json
from typing import Any

from service.control.format import Kind
from service.control.intent import Intent
from service.web.admin.desk import DESK
from tests.fleet import write_client_key
from tests.unit.web.admin.conftest import Office, public


def registration(office: Office, name: str = "new", **more: Any) -> dict[str, Any]:
    """A pharmacy with a key of its own."""
    path = office.keys / f"{name}.jwk"
    if not path.exists():
        write_client_key(path)
    return {"class": "pharmacy", "finess": ["330012342"], "keys": [public(path)], "reason": "contrat signé", **more}


async def test_a_client_is_registered_read_and_listed(office: Office):
    assert (await office.get("clients/new")).code == "not_found"
    made = await office.write("PUT", "clients/new", registration(office))
    read = await office.get("clients/new")
    assert (made.status, made.json, made.etag) == (200, read.json, read.etag)
    assert (read.json["class"], read.json["finess"], read.json["daily"]) == ("pharmacy", ["330012342"], 800)
    assert read.json["keys"][0].keys() >= {"kid", "alg", "x"}
    listed = (await office.get("clients")).json["clients"]
    assert [one["id"] for one in listed] == ["anna", "aude", "bruno", "new", "olga", "shop"]
    assert read.json in listed


async def test_what_was_read_can_be_written_back(office: Office):
    await office.write("PUT", "clients/new", registration(office))
    before = (await office.get("clients/new")).json
    names = ("class", "finess", "keys", "daily", "burst", "unknown", "watch")
    again = await office.write("PUT", "clients/new", {**{name: before[name] for name in names}, "reason": "encore"})
    assert again.status == 200
    after = (await office.get("clients/new")).json
    assert {name: after[name] for name in names} == {name: before[name] for name in names}


async def test_a_limit_shows_beside_the_registration_until_its_end_and_no_write_makes_it_last(office: Office):
    end = office.clock.now() + dt.timedelta(hours=1)
    intent = Intent(kind=Kind.CLIENT_LIMIT, scope="shop", body={"daily": 9}, reason="x", actor="cli:test", until=end)
    office.app[DESK].decisions.decide(intent, office.clock.now())
    during = await office.get("clients/shop")
    assert (during.json["daily"], during.json["now"]["daily"]) == (800, 9)
    assert [limit["daily"] for limit in during.json["limits"]] == [9]
    names = ("class", "finess", "keys", "daily", "burst", "unknown", "watch")
    again = await office.write(
        "PUT", "clients/shop", {**{name: during.json[name] for name in names}, "reason": "encore"}
    )
    assert (again.status, again.json["now"]["daily"]) == (200, 9)
    office.clock.ahead = 3600
    after = await office.get("clients/shop")
    assert (after.json["daily"], after.json["now"]["daily"], after.json["limits"]) == (800, 800, [])
    assert after.etag != again.etag
    stale = await office.send("PUT", "clients/shop", registration(office), If_Match=again.etag)
    assert stale.code == "precondition_failed"


async def test_a_client_is_suspended_and_resumed_and_twice_changes_nothing(office: Office):
    before = len(office.orders())
    for _ in range(2):
        reply = await office.write("POST", "clients/shop/suspend", {"reason": "clé volée"}, seen="clients/shop")
        assert (reply.status, reply.json["suspended"], reply.json["reason"]) == (200, True, "clé volée")
    for _ in range(2):
        reply = await office.write("POST", "clients/shop/resume", {"reason": "nouvelle clé"}, seen="clients/shop")
        assert (reply.status, reply.json["suspended"], reply.json["reason"]) == (200, False, None)
    assert [order.kind for order in office.orders()[before:]] == [Kind.CLIENT_SUSPEND, Kind.CLIENT_RESUME]


async def test_nobody_suspends_whom_nobody_registered(office: Office):
    for verb in ("suspend", "resume"):
        reply = await office.send("POST", f"clients/nobody/{verb}", {"reason": "essai"}, If_Match="*")
        assert reply.code == "not_found"


async def test_a_known_client_is_not_made_another_unseen(office: Office):
    reply = await office.send("PUT", "clients/shop", registration(office), If_None_Match="*")
    assert reply.code == "precondition_failed"


async def test_a_private_key_is_refused_and_never_kept(office: Office):
    path = office.keys / "leaked.jwk"
    write_client_key(path)
    private = json.loads(path.read_bytes())
    reply = await office.write("PUT", "clients/new", registration(office, keys=[private]))
    assert (reply.code, reply.json["pointer"]) == ("invalid_field", "/keys/0")
    assert private["d"] not in str(reply.json)
    assert (await office.get("clients/new")).status == 404


async def test_a_bad_registration_is_pointed_at_and_not_repeated(office: Office):
    for more, pointer in (
        ({"class": "MARQUE"}, "/class"),
        ({"finess": []}, "/finess"),
        ({"finess": ["MARQUE"]}, "/finess/0"),
        ({"keys": []}, "/keys"),
        ({"keys": [{"kty": "MARQUE"}]}, "/keys/0"),
        ({"keys": ["MARQUE"]}, "/keys/0"),
        ({"daily": -1}, "/daily"),
        ({"daily": "MARQUE"}, "/daily"),
        ({"watch": "MARQUE"}, "/watch"),
        ({"MARQUE": 1}, ""),
        ({"until": "2099-01-01T00:00:00Z"}, ""),
    ):
        reply = await office.write("PUT", "clients/new", registration(office, **more))
        assert (reply.code, reply.json["pointer"]) == ("invalid_field", pointer), (more, reply.json)
        assert "MARQUE" not in str(reply.json)


async def test_a_hubs_long_list_fits(office: Office):
    pharmacies = [f"75{number:07d}" for number in range(10_000)]
    reply = await office.write("PUT", "clients/new", registration(office, **{"class": "hub", "finess": pharmacies}))
    assert (reply.status, len(reply.json["finess"])) == (200, 10_000)


async def test_what_is_no_id_is_not_found(office: Office):
    for name in ("MARQUE", "-a", "a" * 65, "%2e%2e%20"):
        reply = await office.send("PUT", f"clients/{name}", registration(office), If_None_Match="*")
        assert reply.code == "not_found"
        assert "MARQUE" not in str(reply.json)


async def test_where_two_people_decide_a_pharmacy_is_let_in_by_one_and_a_hub_by_two(careful: Office):
    assert (await careful.write("PUT", "clients/new", registration(careful))).status == 200
    hub = registration(careful, "hub", **{"class": "hub"})
    assert (await careful.write("PUT", "clients/hub", hub)).status == 202
    assert (await careful.get("clients/hub")).status == 404
    stop = await careful.write("POST", "clients/shop/suspend", {"reason": "clé volée"}, seen="clients/shop")
    assert (stop.status, stop.json["suspended"]) == (200, True)
    go = await careful.write("POST", "clients/shop/resume", {"reason": "nouvelle clé"}, seen="clients/shop")
    assert (go.status, go.json["loosens"]) == (202, "its suspension would end")
    assert (await careful.get("clients/shop")).json["suspended"] is True


async def test_a_limit_holds_until_its_end(office: Office):
    end = (office.clock.now() + dt.timedelta(hours=1)).isoformat()
    body = {"daily": 9, "until": end, "reason": "allure suspecte"}
    limited = await office.write("POST", "clients/shop/limit", body, seen="clients/shop")
    assert (limited.status, limited.json["daily"], limited.json["now"]["daily"]) == (200, 800, 9)
    assert limited.json == (await office.get("clients/shop")).json
    order = office.orders()[-1]
    assert (order.kind, order.body, order.actor, order.reason) == ("client.limit", {"daily": 9}, "anna", body["reason"])
    office.clock.ahead = 3601
    assert (await office.get("clients/shop")).json["now"]["daily"] == 800


async def test_a_limit_without_an_end_replaces_the_registration_and_twice_changes_nothing(office: Office):
    body = {"burst": 5, "watch": "report", "reason": "essai"}
    for _ in range(2):
        limited = await office.write("POST", "clients/shop/limit", body, seen="clients/shop")
        assert (limited.status, limited.json["burst"], limited.json["watch"]) == (200, 5, "report")
    assert [order.kind for order in office.orders()].count("client.limit") == 1


async def test_a_limit_that_is_none_is_refused_at_its_place(office: Office):
    before = len(office.orders())
    for more, pointer in (
        ({}, ""),
        ({"daily": -1}, "/daily"),
        ({"daily": True}, "/daily"),
        ({"watch": "MARQUE"}, "/watch"),
        ({"class": "admin"}, ""),
        ({"daily": 9, "until": "2001-01-01T00:00:00Z"}, "/until"),
        ({"daily": 9, "until": "MARQUE"}, "/until"),
    ):
        reply = await office.write("POST", "clients/shop/limit", {**more, "reason": "essai"}, seen="clients/shop")
        assert (reply.code, reply.json["pointer"]) == ("invalid_field", pointer), (more, reply.json)
        assert "MARQUE" not in str(reply.json)
    unknown = await office.send("POST", "clients/nobody/limit", {"daily": 9, "reason": "essai"}, If_Match='"x"')
    assert unknown.code == "not_found"
    assert len(office.orders()) == before


async def test_a_limit_above_the_class_waits_for_a_second_person(careful: Office):
    body = {"daily": 5_000, "reason": "grippe"}
    reply = await careful.write("POST", "clients/shop/limit", body, seen="clients/shop")
    assert (reply.status, reply.json["kind"]) == (202, "client.limit")
    assert (await careful.get("clients/shop")).json["daily"] == 800


async def test_a_key_is_rotated_with_an_end_for_the_former(office: Office):
    made = (await office.write("PUT", "clients/new", registration(office))).json
    end = int(office.clock.now().timestamp()) + 3600
    (former,) = made["keys"]
    (fresh,) = registration(office, "second")["keys"]
    keys = [fresh, {**former, "exp": end}]
    rotated = await office.write("PUT", "clients/new", registration(office, keys=keys))
    assert rotated.status == 200
    assert {key["kid"]: key.get("exp") for key in rotated.json["keys"]} == {
        former["kid"]: end,
        rotated.json["keys"][0]["kid"]: None,
    }
