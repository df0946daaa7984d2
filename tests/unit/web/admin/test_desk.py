"""What every write goes through, whatever its resource."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from typing import Any

import pytest

from service.control.decisions import Decisions
from service.control.format import Kind, parse_instant
from service.control.intent import Intent
from service.errors import InvalidField, PreconditionRequired, VersionConflict
from service.keyring import load_order_key
from service.settings import load_settings
from service.web.admin.desk import _precondition, parse_until
from service.web.context import CONTEXT
from service.web.routes import ADMIN
from tests.unit.web.admin.conftest import Office

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
WRITES = [(route.method, route.path) for route in ADMIN if route.method not in ("GET", "HEAD")]
#: A path of each write, with something that is there, and the body it takes.
EXAMPLES: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("PUT", "/admin/v1/modes/{scope}"): ("modes/*", {"mode": "suspended"}),
    ("DELETE", "/admin/v1/modes/{scope}"): ("modes/0990000011", {}),
    ("POST", "/admin/v1/snapshots/{sequence}/activate"): ("snapshots/1/activate", {}),
    ("POST", "/admin/v1/snapshots/{sequence}/pin"): ("snapshots/1/pin", {"until": "2099-01-01T00:00:00Z"}),
    ("DELETE", "/admin/v1/pin"): ("pin", {}),
    ("PUT", "/admin/v1/notices/{id}"): ("notices/known", {"severity": "info", "text": "Bonjour."}),
    ("DELETE", "/admin/v1/notices/{id}"): ("notices/known", {}),
    ("PUT", "/admin/v1/clients/{id}"): ("clients/shop", {"class": "pharmacy", "keys": [], "finess": []}),
    ("POST", "/admin/v1/clients/{id}/limit"): ("clients/shop/limit", {"daily": 9}),
    ("POST", "/admin/v1/clients/{id}/suspend"): ("clients/shop/suspend", {}),
    ("POST", "/admin/v1/clients/{id}/resume"): ("clients/shop/resume", {}),
    ("POST", "/admin/v1/proposals/{id}/approve"): ("proposals/{id}/approve", {}),
    ("POST", "/admin/v1/proposals/{id}/reject"): ("proposals/{id}/reject", {}),
}
ONLY_ADMINS = ("clients", "proposals")


def test_every_write_is_among_the_examples():
    assert set(EXAMPLES) == set(WRITES)


@pytest.fixture
async def stocked(careful: Office) -> tuple[Office, str]:
    """An office with a notice and a proposal that waits; and the proposal's id."""
    notice = {"severity": "info", "text": "Bonjour.", "reason": "essai"}
    assert (await careful.write("PUT", "notices/known", notice)).status == 200
    proposed = await careful.write("PUT", "modes/*", {"mode": "live", "reason": "essai"}, "olga")
    assert proposed.status == 202
    return careful, proposed.json["id"]


async def test_writes_are_checked_in_one_order_and_a_bad_one_orders_nothing(stocked: tuple[Office, str]):
    office, waiting = stocked
    before = office.orders()
    for (method, _), (pattern, body) in EXAMPLES.items():
        path = pattern.replace("{id}", waiting)
        url = f"/admin/v1/{path}"
        async with office.client.request(method, url, data=b"{") as response:
            assert response.status == 401, path
        assert (await office.send(method, path, b"{", "aude")).code == "scope_missing", path
        assert (await office.send(method, path, b"{")).code == "precondition_required", path
        assert (await office.send(method, path, b"{", If_Match='"stale"')).code == "precondition_failed", path
        assert (await office.send(method, path, b"{", If_Match="*")).code == "malformed_json", path
        for bad, pointer in (({}, ""), ({"reason": "a", "MARQUE": 1}, ""), ({**body, "reason": ""}, "/reason")):
            reply = await office.send(method, path, bad, If_Match="*")
            assert (reply.code, reply.json["pointer"]) == ("invalid_field", pointer), (path, reply.json)
            assert "MARQUE" not in str(reply.json)
    assert office.orders() == before


async def test_an_operator_writes_all_but_clients_and_decisions_on_proposals(stocked: tuple[Office, str]):
    office, waiting = stocked
    for (method, _), (pattern, _body) in EXAMPLES.items():
        path = pattern.replace("{id}", waiting)
        reply = await office.send(method, path, b"{", "olga", If_Match="*")
        assert reply.status == (403 if path.startswith(ONLY_ADMINS) else 400), path


async def test_everybody_of_the_admin_server_reads_everything(stocked: tuple[Office, str]):
    office, waiting = stocked
    (office.home.root / "trust.json").unlink(missing_ok=True)
    for route in ADMIN:
        if route.method == "GET" and route.path.startswith("/admin"):
            path = route.path.removeprefix("/admin/v1/").replace("{scope}", "*")
            path = path.replace("{id}", {"clients": "shop", "notices": "known"}.get(path.split("/")[0], waiting))
            for who in ("aude", "olga", "anna"):
                reply = await office.get(path, who)
                # Without a trust file nobody can say what the snapshots are worth; the proposal is none of a list.
                expected = 409 if path == "snapshots" else 404 if path.endswith("/list") else 200
                assert reply.status == expected, (path, reply.json)
            assert (await office.client.get(f"/admin/v1/{path}")).status == 401


async def test_who_is_suspended_while_the_body_comes_orders_nothing(office: Office):
    async def slow_body() -> Any:
        yield b'{"mode": "suspended", '
        intent = Intent(kind=Kind.CLIENT_SUSPEND, scope="olga", body={}, reason="stolen", actor="anna")
        key = load_order_key(office.home, load_settings(office.home, {}))
        office.ledger.issue(intent, key, office.clock.now())
        registry = office.app[CONTEXT].registry
        while not (client := registry.get("olga")) or not client.suspended:  # noqa: ASYNC110 - nobody tells a test
            await asyncio.sleep(0.01)
        yield b'"reason": "essai"}'

    headers = {**office.bearer("olga"), "If-Match": "*", "Content-Type": "application/json"}
    async with office.client.put("/admin/v1/modes/*", headers=headers, data=slow_body()) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (403, "client_suspended")
    assert office.orders()[-1].kind == "client.suspend"


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (Kind.CLIENT_SUSPEND, {}, "client_suspended"),
        (Kind.CLIENT_REGISTER, {"class": "auditor", "finess": [], "keys": []}, "scope_missing"),
    ],
)
async def test_who_loses_the_right_between_the_body_and_the_order_orders_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch, kind: Kind, body: dict[str, Any], code: str
):
    decide = Decisions.decide

    def overtaken(self: Decisions, *arguments: Any) -> Any:
        intent = Intent(kind=kind, scope="olga", body=body, reason="stolen", actor="anna")
        self.ledger.issue(intent, load_order_key(office.home, load_settings(office.home, {})), office.clock.now())
        return decide(self, *arguments)

    monkeypatch.setattr(Decisions, "decide", overtaken)
    reply = await office.write("PUT", "modes/*", {"mode": "suspended", "reason": "essai"}, "olga")
    assert (reply.status, reply.code) == (403, code)
    assert office.orders()[-1].kind == kind


async def test_orders_given_at_once_by_others_are_a_conflict_and_not_our_fault(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    def overtaken(*_: Any) -> None:
        raise VersionConflict("others keep appending orders: try again")

    monkeypatch.setattr(Decisions, "decide", overtaken)
    reply = await office.write("PUT", "modes/*", {"mode": "suspended", "reason": "essai"})
    assert (reply.status, reply.code) == (409, "conflict")


# What a header may say


@pytest.mark.parametrize(
    ("header", "value", "fits", "fails"),
    [
        ("If-Match", '"a-1"', ['"a-1"'], ['"a-2"', None]),
        ("If-Match", '"a-1", "a-2"', ['"a-1"', '"a-2"'], ['"a-3"', None]),
        ("If-Match", "*", ['"a-1"'], [None]),
        ("If-Match", 'W/"a-1"', [], ['"a-1"', None]),
        ("If-Match", "", [], ['"a-1"', None]),
        ("If-None-Match", "*", [None], ['"a-1"']),
    ],
)
def test_a_precondition_is_read_as_rfc_9110_says(header: str, value: str, fits: list[Any], fails: list[Any]):
    holds = _precondition({header: value})
    assert all(holds(tag) for tag in fits)
    assert not any(holds(tag) for tag in fails)


@pytest.mark.parametrize("headers", [{}, {"If-None-Match": '"a-1"'}])
def test_a_write_without_a_precondition_is_told_so(headers: dict[str, str]):
    with pytest.raises(PreconditionRequired):
        _precondition(headers)


@pytest.mark.parametrize(
    "text", ["MARQUE", "2099-01-01", "2099-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
)
def test_what_is_no_instant_is_pointed_at_and_not_repeated(text: str):
    with pytest.raises(InvalidField) as caught:
        parse_instant(text, "/from")
    assert caught.value.pointer == "/from"
    assert not re.search("MARQUE", caught.value.detail)


def test_an_end_is_yet_to_come():
    assert parse_until("2024-02-05T10:30:01+01:00", NOW) == NOW + dt.timedelta(seconds=1)
    assert parse_until(None, NOW) is None
    with pytest.raises(InvalidField):
        parse_until("2024-02-05T10:30:00+01:00", NOW)


# When a store is gone


async def test_what_tightens_needs_no_store_of_proposals_and_what_loosens_waits_for_it(careful: Office):
    careful.home.fleet.unlink()
    assert (await careful.write("PUT", "modes/*", {"mode": "suspended", "reason": "doute"})).status == 200
    reply = await careful.write("PUT", "modes/*", {"mode": "degraded", "reason": "fini"})
    assert (reply.status, reply.code) == (500, "internal")
    assert (await careful.get("modes/*")).json["mode"] == "suspended"


async def test_without_the_store_of_orders_the_last_state_is_read_and_nothing_is_written(office: Office):
    await office.write("PUT", "modes/*", {"mode": "suspended", "reason": "doute"})
    office.home.orders.rename(office.home.orders.with_name("away.db"))
    assert (await office.get("modes/*")).json["mode"] == "suspended"
    reply = await office.write("PUT", "modes/*", {"mode": "degraded", "reason": "fini"})
    assert (reply.status, reply.code) == (500, "internal")
    office.home.orders.with_name("away.db").rename(office.home.orders)
    assert (await office.get("modes/*")).json["mode"] == "suspended"
    assert (await office.write("PUT", "modes/*", {"mode": "degraded", "reason": "fini"})).status == 200
