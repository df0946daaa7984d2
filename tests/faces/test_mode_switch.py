"""The mode switch over HTTP, and what it does to answers."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faces.desk import COUNTER, NOBODY, Counter, person
from tests.fleet import Installation, Reply, wait_until

ALL = "/admin/v1/modes/*"
AMC = "0990000011"
ONE = f"/admin/v1/modes/{AMC}"


@pytest.fixture(autouse=True)
def as_found(served: Installation) -> Iterator[None]:
    """Whatever a test does to the modes is undone."""
    before = [etag(served, path) for path in (ALL, ONE)]
    yield
    if before == [etag(served, path) for path in (ALL, ONE)]:
        return
    served.relais("mode", "set", "degraded", "--all", "--reason", "after a test")


def etag(served: Installation, path: str = ALL) -> str:
    return served.admin("GET", path).headers["ETag"]


def put(served: Installation, path: str, body: Any, client: str = "demo-admin", match: str | None = "now") -> Reply:
    headers = {} if match is None else {"If-Match": etag(served, path) if match == "now" else match}
    return served.admin("PUT", path, body, client, headers)


def wish(mode: str, **more: Any) -> dict[str, Any]:
    return {"mode": mode, "reason": "essai", **more}


def everywhere(served: Installation, mode: str) -> bool:
    """Whether several fresh connections, which fall to any worker, all say this mode."""
    return all(served.request("GET", "/livez").headers["Relais-Mode"] == mode for _ in range(8))


def follows(served: Installation, mode: str) -> None:
    wait_until(lambda: everywhere(served, mode), 15, lambda: f"not every worker is {mode}")


# Reading


def test_a_mode_is_read_with_its_etag(served: Installation):
    reply = served.admin("GET", ALL)
    assert reply.status == 200
    assert set(reply.json()) == {"scope", "mode", "own", "since", "until", "reason", "order"}
    assert (reply.json()["scope"], reply.json()["mode"]) == ("*", "degraded")
    assert reply.headers["ETag"].startswith('"')
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("client", ["auditor", "operator", "demo-admin"])
def test_operators_admins_and_auditors_may_read(served: Installation, client: str):
    assert served.admin("GET", ALL, client=client).status == 200


def test_a_scope_is_one_however_its_number_is_written(served: Installation):
    short, encoded = served.admin("GET", f"/admin/v1/modes/{AMC[1:]}"), served.admin("GET", "/admin/v1/modes/%2A")
    assert short.json()["scope"] == AMC
    assert short.headers["ETag"] == etag(served, ONE)
    assert encoded.json()["scope"] == "*"


@pytest.mark.parametrize(
    "scope", ["MARQUE", "1234567", "12345678901", "%2A%2A", "0990000011%20", "*/", "%D9%A1" * 10, "**"]
)
def test_what_is_no_scope_is_not_found(served: Installation, scope: str):
    for method in ("GET", "PUT"):
        reply = served.admin(method, f"/admin/v1/modes/{scope}", headers={"If-Match": "*"})
        assert (reply.status, reply.code) == (404, "not_found")
        assert "MARQUE" not in reply.body.decode()


# Writing


def test_a_mode_is_set_for_all_and_every_worker_follows(served: Installation, counter: Counter):
    before = etag(served)
    reply = put(served, ALL, wish("suspended"))
    assert reply.status == 200
    assert (reply.json()["mode"], reply.json()["reason"]) == ("suspended", "essai")
    assert reply.headers["ETag"] != before
    follows(served, "suspended")
    assert counter.post({"beneficiary": NOBODY}).code == "service_suspended"
    assert etag(served) == reply.headers["ETag"]
    assert put(served, ALL, wish("degraded")).status == 200
    follows(served, "degraded")
    assert counter.post({"beneficiary": NOBODY}).status == 200


def test_an_answer_names_the_order_that_set_its_mode(served: Installation, counter: Counter):
    order = put(served, ALL, wish("degraded")).json()["order"]

    def named() -> bool:
        answers = [counter.ask({"beneficiary": NOBODY}) for _ in range(8)]
        return all(answer["mode_order"] == order and answer["mode"] == "degraded" for answer in answers)

    wait_until(named, 15, lambda: "not every worker names the order")


def test_a_write_without_if_match_is_told_to_name_what_it_saw(served: Installation):
    reply = put(served, ALL, wish("suspended"), match=None)
    assert (reply.status, reply.code) == (428, "precondition_required")
    assert everywhere(served, "degraded")


@pytest.mark.parametrize("match", ['"stale"', "W/stale", "", '""'])
def test_a_write_on_a_stale_etag_is_refused(served: Installation, match: str):
    reply = put(served, ALL, wish("suspended"), match=match)
    assert (reply.status, reply.code) == (412, "precondition_failed")
    assert everywhere(served, "degraded")


def test_of_two_who_saw_the_same_only_the_first_writes(served: Installation):
    seen = etag(served)
    assert put(served, ALL, wish("degraded"), match=seen).status == 200
    assert put(served, ALL, wish("suspended"), match=seen).code == "precondition_failed"
    assert put(served, ALL, wish("degraded")).status == 200


def test_another_scopes_write_does_not_make_an_etag_stale(served: Installation):
    seen = etag(served)
    assert put(served, ONE, wish("suspended")).status == 200
    assert put(served, ALL, wish("degraded"), match=seen).status == 200


def test_an_operator_may_write_and_an_auditor_may_not(served: Installation):
    assert put(served, ALL, wish("degraded"), "operator").status == 200
    reply = put(served, ALL, wish("suspended"), "auditor")
    assert (reply.status, reply.code) == (403, "scope_missing")
    assert everywhere(served, "degraded")


def test_checks_come_in_their_order(served: Installation):
    bad = b"{"
    assert served.request("PUT", ALL, bad, server="admin").status == 401
    assert put(served, ALL, bad, "auditor", match=None).status == 403
    assert put(served, ALL, bad, match=None).status == 428
    assert put(served, ALL, bad, match='"stale"').status == 412
    assert put(served, ALL, bad).status == 400
    assert put(served, ALL, {"mode": "MARQUE"}).status == 422
    assert put(served, ALL, wish("live")).status == 409


def test_live_without_an_upstream_is_a_conflict(served: Installation):
    for path in (ALL, ONE):
        reply = put(served, path, wish("live"))
        assert (reply.status, reply.code) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"mode": "degraded"}, ""),
        ({"mode": "degraded", "reason": ""}, "/reason"),
        ({"mode": "degraded", "reason": "  "}, "/reason"),
        ({"mode": "degraded", "reason": None}, "/reason"),
        ({"mode": "degraded", "reason": "M" * 501}, "/reason"),
        ({"mode": "degraded", "reason": "MARQUE 1850575116001"}, "/reason"),
        ({"mode": "degraded", "reason": "MARQUE 185057511600159 et plus"}, "/reason"),
        ({"mode": "degraded", "reason": "MARQUE 1 85 05 75 116 001 59"}, "/reason"),
        ({"mode": "degraded", "reason": "MARQUE \uff11850575116001"}, "/reason"),
        ({"mode": "degraded", "reason": "MARQUE\u0000"}, "/reason"),
        ({"mode": "degraded", "reason": "MARQUE\u202e"}, "/reason"),
        ({"mode": "MARQUE", "reason": "essai"}, "/mode"),
        ({"mode": None, "reason": "essai"}, "/mode"),
        ({"reason": "essai"}, ""),
        ({"mode": "degraded", "reason": "essai", "MARQUE": 1}, ""),
        ({"mode": "degraded", "reason": "essai", "scope": "*"}, ""),
        ({"mode": "degraded", "reason": "essai", "until": 4711}, "/until"),
        ({"mode": "degraded", "reason": "essai", "until": "MARQUE"}, "/until"),
        ({"mode": "degraded", "reason": "essai", "until": "2099-01-01T00:00:00"}, "/until"),
        ({"mode": "degraded", "reason": "essai", "until": "2099-01-01"}, "/until"),
        ({"mode": "degraded", "reason": "essai", "until": "2024-01-29T15:00:00Z"}, "/until"),
        ({"mode": "degraded", "reason": "essai", "until": "9999-12-31T23:59:59-23:59"}, "/until"),
        ({"mode": "degraded", "reason": "essai", "until": "0001-01-01T00:00:00+23:59"}, "/until"),
        ([], ""),
    ],
)
def test_a_bad_wish_is_named_and_not_repeated(served: Installation, body: Any, pointer: str):
    before = etag(served)
    reply = put(served, ALL, body)
    assert (reply.status, reply.code, reply.json()["pointer"]) == (422, "invalid_field", pointer), reply.body
    for secret in ("MARQUE", "1850575116001"):
        assert secret not in reply.body.decode()
    assert etag(served) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"mode": "degraded", "reason": "a", "reason": "b"}',
        b'{"mode": "degraded", "\\u006dode": "suspended", "reason": "b"}',
        b'{"mode": "degraded", "reason": "\xff"}',
        b'{"mode": "degraded", "reason": "a"} x',
    ],
)
def test_a_wish_that_is_not_json_is_malformed(served: Installation, body: bytes):
    before = etag(served)
    assert put(served, ALL, body).code == "malformed_json"
    assert etag(served) == before


def test_a_wish_in_another_media_type_is_refused(served: Installation):
    headers = {"If-Match": etag(served), "Content-Type": "text/plain"}
    assert served.admin("PUT", ALL, json.dumps(wish("suspended")).encode(), headers=headers).code == "media_type"


def test_an_end_is_kept_and_shown(served: Installation):
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)).replace(microsecond=0)
    paris = until.astimezone(dt.timezone(dt.timedelta(hours=1))).isoformat()
    reply = put(served, ONE, wish("suspended", until=paris))
    assert dt.datetime.fromisoformat(reply.json()["until"]) == until


def test_a_suspension_ends_by_itself_in_degraded(served: Installation):
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)).isoformat()
    assert put(served, ALL, wish("suspended", until=until)).status == 200
    follows(served, "suspended")
    follows(served, "degraded")
    assert served.admin("GET", ALL).json()["mode"] == "degraded"


# What a suspension does


def test_suspended_everywhere_is_503_for_rights_and_200_for_probes(served: Installation, counter: Counter):
    served.set_mode("suspended")
    waits = set()
    for _ in range(30):
        reply = counter.post(counter.served.example("open"))
        assert (reply.status, reply.code) == (503, "service_suspended")
        problem = reply.json()
        assert problem["action"] == "check_card"
        assert "carte" in problem["counter_text"]
        assert reply.headers["Relais-Mode"] == "suspended"
        waits.add(int(reply.headers["Retry-After"]))
    assert min(waits) >= 30
    assert max(waits) <= 90
    assert len(waits) > 3
    for server in ("rights", "admin"):
        assert served.request("GET", "/readyz", server=server).status == 200
        assert served.request("GET", "/livez", server=server).status == 200
    status = served.request("GET", "/v1/status")
    assert (status.status, status.json()["modes"][0]["mode"]) == (200, "suspended")


def test_a_suspended_service_still_asks_who_is_there_first(served: Installation, counter: Counter):
    served.set_mode("suspended")
    assert served.request("POST", "/v1/rights", b"{}").code == "token_missing"
    assert counter.post(b"{", "auditor").code == "scope_missing"
    assert counter.post(b"{").code == "service_suspended"
    assert served.request("POST", "/v1/receipts/verify", b"{}", {"Content-Type": "application/json"}).status == 422


def test_an_amc_that_is_suspended_is_excluded_and_never_a_503(served: Installation, counter: Counter):
    row = counter.an_open_row(lambda row: row["amc"] == AMC)
    queries = [{"beneficiary": person(row)}, {"beneficiary": person(row), "amc": AMC}]
    assert put(served, ONE, wish("suspended")).status == 200

    def excluded() -> bool:
        answers = [counter.ask(query) for query in queries for _ in range(4)]
        return all(answer["reasons"] == ["upstream_disabled", "amc_excluded"] for answer in answers)

    wait_until(excluded, 15, lambda: "not every worker excludes it")
    for query in queries:
        answer = counter.ask(query)
        (contract,) = answer["contracts"]
        assert answer["status"] == "unknown"
        assert set(contract) == {"amc", "amc_name", "status", "reasons"}
    assert everywhere(served, "degraded")
    other = counter.an_open_row(lambda row: row["amc"] != AMC)
    assert counter.ask({"beneficiary": person(other)})["status"] == "open"


def test_suspended_everywhere_wins_over_an_amcs_own_mode(served: Installation, counter: Counter):
    assert put(served, ONE, wish("degraded")).status == 200
    served.set_mode("suspended")
    reply = counter.post({"beneficiary": NOBODY, "amc": AMC}, COUNTER)
    assert reply.code == "service_suspended"


def test_the_public_status_says_mode_since_when_and_how_old(served: Installation):
    assert put(served, ONE, wish("suspended")).status == 200

    def modes() -> list[tuple[str, str]]:
        return [(mode["scope"], mode["mode"]) for mode in served.request("GET", "/v1/status").json()["modes"]]

    said = [("*", "degraded"), (AMC, "suspended")]
    wait_until(lambda: all(modes() == said for _ in range(8)), 15, lambda: "the status does not follow")
    status = served.request("GET", "/v1/status").json()
    assert status["modes"][1]["since"] is not None
    assert status["modes"][1]["reason"] == "essai"
    assert status["snapshot"]["sequence"] == 1
    assert {amc["amc"] for amc in status["snapshot"]["amcs"]} >= {AMC, "0990000022"}
    assert all(amc["extracted_at"] and amc["freshness"] == "fresh" for amc in status["snapshot"]["amcs"])
    assert "demo-admin" not in json.dumps(status)
