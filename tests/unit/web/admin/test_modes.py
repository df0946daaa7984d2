from __future__ import annotations

import datetime as dt

import pytest

from tests.unit.web.admin.conftest import Office, OpenOffice

AMC = "modes/0990000011"


async def test_a_mode_is_set_and_read_with_its_etag(office: Office):
    written = await office.write("PUT", "modes/*", {"mode": "suspended", "reason": "essai"}, "olga")
    read = await office.get("modes/*")
    assert (written.status, written.json, written.etag) == (200, read.json, read.etag)
    assert (read.json["mode"], read.json["own"], read.json["reason"]) == ("suspended", True, "essai")
    assert office.orders()[-1].actor == "olga"


async def test_without_its_own_mode_an_amc_shows_everybodys(office: Office):
    assert (await office.get(AMC)).json["own"] is False
    await office.write("PUT", "modes/*", {"mode": "live", "reason": "essai"})
    inherited = (await office.get(AMC)).json
    assert (inherited["mode"], inherited["own"]) == ("live", False)


async def test_an_amcs_own_mode_is_ended_and_everybodys_holds_again(office: Office):
    await office.write("PUT", AMC, {"mode": "suspended", "reason": "essai"})
    reply = await office.write("DELETE", AMC, {"reason": "fini"}, "olga")
    assert (reply.status, reply.json["mode"], reply.json["own"]) == (200, "degraded", False)
    assert (office.orders()[-1].kind, office.orders()[-1].reason) == ("mode.clear", "fini")


async def test_there_is_nothing_to_end_where_an_amc_has_none_or_it_ended_by_itself(office: Office):
    assert (await office.write("DELETE", AMC, {"reason": "fini"})).code == "not_found"
    until = (office.clock.now() + dt.timedelta(minutes=5)).isoformat()
    await office.write("PUT", AMC, {"mode": "live", "reason": "essai", "until": until})
    office.clock.ahead = 301
    assert (await office.write("DELETE", AMC, {"reason": "fini"})).code == "not_found"
    assert office.orders()[-1].kind == "mode.set"


async def test_everywhere_some_mode_always_holds(office: Office):
    reply = await office.write("DELETE", "modes/*", {"reason": "fini"})
    assert (reply.code, reply.headers["Allow"]) == ("method_not_allowed", "GET,HEAD,PUT")


@pytest.mark.parametrize(("environment", "status"), [({}, 409), ({"UPSTREAM_URL": "http://127.0.0.1:9"}, 200)])
async def test_live_takes_an_upstream(open_office: OpenOffice, environment: dict[str, str], status: int):
    office = await open_office(**environment)
    for path in ("modes/*", AMC):
        reply = await office.write("PUT", path, {"mode": "live", "reason": "essai"})
        assert reply.status == status
        if status == 409:
            assert (reply.code, reply.json["pointer"]) == ("conflict", "/mode")


async def test_where_two_people_decide_live_waits_and_suspended_does_not(careful: Office):
    proposed = await careful.write("PUT", "modes/*", {"mode": "live", "reason": "essai"})
    assert (proposed.status, proposed.json["kind"], proposed.json["state"]) == (202, "mode.set", "waiting")
    assert proposed.headers["Location"] == f"/admin/v1/proposals/{proposed.json['id']}"
    assert proposed.etag == (await careful.get(f"proposals/{proposed.json['id']}")).etag
    assert (await careful.get("modes/*")).json["mode"] == "degraded"
    assert (await careful.write("PUT", "modes/*", {"mode": "suspended", "reason": "essai"})).status == 200
    assert (await careful.write("PUT", "modes/*", {"mode": "degraded", "reason": "essai"})).status == 202
    assert (await careful.get("modes/*")).json["mode"] == "suspended"


async def test_of_two_at_once_one_is_told_that_the_other_was_first(office: Office):
    seen = (await office.get("modes/*")).etag
    assert (
        await office.send("PUT", "modes/*", {"mode": "suspended", "reason": "a"}, "anna", If_Match=seen)
    ).status == 200
    second = await office.send("PUT", "modes/*", {"mode": "degraded", "reason": "b"}, "bruno", If_Match=seen)
    assert second.code == "precondition_failed"
    assert (await office.get("modes/*")).json["mode"] == "suspended"
