from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.unit.web.admin.conftest import Office

PATH = "notices/2024-01-29-viamedis"


def notice(**more: Any) -> dict[str, Any]:
    return {"severity": "warning", "text": "Extrait d'hier : vérifiez la carte.", "reason": "incident", **more}


async def test_a_notice_is_put_read_listed_and_withdrawn(office: Office):
    assert (await office.get(PATH)).code == "not_found"
    put = await office.write("PUT", PATH, notice(), "olga")
    assert put.status == 200
    assert (put.json, put.etag) == ((await office.get(PATH)).json, (await office.get(PATH)).etag)
    assert (await office.get("notices")).json["notices"] == [put.json]
    assert (put.json["scope"], put.json["until"], put.json["shown"], put.json["etag"]) == ("*", None, True, put.etag)
    withdrawn = await office.write("DELETE", PATH, {"reason": "fini"}, "olga")
    assert (withdrawn.status, withdrawn.json["withdrawn"]) == (200, True)
    assert (await office.get("notices")).json["notices"] == []
    assert (await office.write("DELETE", PATH, {"reason": "fini"}, seen="notices/2024")).code == "not_found"


async def test_on_a_slow_machine_too_what_is_put_is_told_as_it_is_shown(office: Office):
    office.clock.look = 0.01
    put = await office.write("PUT", PATH, notice(), "olga")
    assert put.json["shown"] is True


async def test_a_notice_of_an_amc_is_withdrawn_by_an_order_of_its_scope(office: Office):
    await office.write("PUT", PATH, notice(scope="990000011"))
    await office.write("DELETE", PATH, {"reason": "fini"})
    assert [(one.kind, one.scope) for one in office.orders()[-2:]] == [
        ("notice.put", "0990000011"),
        ("notice.withdraw", "0990000011"),
    ]


async def test_an_id_is_made_only_where_it_is_not_and_changed_only_as_it_was_seen(office: Office):
    made = await office.send("PUT", PATH, notice(), If_None_Match="*")
    assert (await office.send("PUT", PATH, notice(), If_None_Match="*")).code == "precondition_failed"
    assert (await office.send("PUT", "notices/new", notice(), If_Match="*")).code == "precondition_failed"
    changed = await office.send("PUT", PATH, notice(severity="critical"), If_Match=made.etag)
    assert (changed.status, changed.json["severity"]) == (200, "critical")
    assert (await office.send("DELETE", PATH, {"reason": "fini"}, If_Match=made.etag)).code == "precondition_failed"


async def test_what_is_to_come_and_what_is_over_is_listed_and_not_shown(office: Office):
    start, end = (office.clock.now() + dt.timedelta(hours=hours) for hours in (1, 2))
    body = notice(**{"from": start.isoformat(), "until": end.isoformat()})
    assert (await office.write("PUT", PATH, body)).json["shown"] is False
    office.clock.ahead = 3601
    assert (await office.get(PATH)).json["shown"] is True
    office.clock.ahead = 7201
    assert [one["shown"] for one in (await office.get("notices")).json["notices"]] == [False]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (notice(text=""), "/text"),
        (notice(text="M" * 501), "/text"),
        (notice(text="Patient 1850575116001"), "/text"),
        (notice(text="MARQUE\u202e"), "/text"),
        (notice(severity="MARQUE"), "/severity"),
        (notice(scope="MARQUE"), "/scope"),
        (notice(until="MARQUE"), "/until"),
        (notice(until="2024-01-29T15:00:00Z"), "/until"),
        (notice(**{"from": "2024-01-29"}), "/from"),
        (notice(**{"from": "2099-01-02T00:00:00Z", "until": "2099-01-01T00:00:00Z"}), "/until"),
        (notice(id="MARQUE"), ""),
    ],
)
async def test_a_bad_notice_is_named_and_not_repeated(office: Office, body: dict[str, Any], pointer: str):
    reply = await office.write("PUT", PATH, body)
    assert (reply.code, reply.json["pointer"]) == ("invalid_field", pointer)
    assert "MARQUE" not in str(reply.json)
    assert "1850575116001" not in str(reply.json)


@pytest.mark.parametrize("name", ["MARQUE", "-a", "a b", "%0a", "a" * 65, "é"])
async def test_what_is_no_id_is_not_found(office: Office, name: str):
    reply = await office.send("PUT", f"notices/{name}", notice(), If_None_Match="*")
    assert reply.code == "not_found"
    assert "MARQUE" not in str(reply.json)
