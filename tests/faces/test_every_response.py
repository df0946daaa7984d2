"""What every response carries, errors included, and what none gives away."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest

from tests.faces.desk import COUNTER, HUB, NOBODY, Counter
from tests.fleet import Installation, Reply

JSON = {"Content-Type": "application/json"}
CALLERS_ID = "0B5C2E2A-9F39-4B8F-8C0B-3A1D2E4F5061"
Ask = Callable[[Installation, dict[str, str]], Reply]


def rights(body: bytes = b"{}", **headers: str) -> Ask:
    """`POST /v1/rights` with a good token."""
    sent = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return lambda served, more: served.ask(body, COUNTER, {**sent, **more})


def plain(method: str, path: str, body: bytes | None = None) -> Ask:
    """A request to the rights server without a token."""
    return lambda served, more: served.request(method, path, body, {**JSON, **more})


def admin(method: str, path: str, client: str = "demo-admin") -> Ask:
    """A request to the admin server."""
    return lambda served, more: served.admin(method, path, client=client, headers=more)


OPEN_QUERY = b'{"beneficiary": {"nir": "185057599900150", "birth_date": "1985-05-12"}}'
RESPONSES: dict[str, tuple[int, Ask]] = {
    "an answer": (200, rights(OPEN_QUERY)),
    "an invalid field": (422, rights()),
    "malformed JSON": (400, rights(b"{")),
    "a wrong media type": (415, rights(Content_Type="text/plain")),
    "a body too large": (413, rights(b" " * 70_000)),
    "no token": (401, plain("POST", "/v1/rights", OPEN_QUERY)),
    "a hub without a pharmacy": (403, lambda served, more: served.ask(OPEN_QUERY, HUB, more)),
    "no such route": (404, plain("GET", "/v1/nothing")),
    "no such method": (405, plain("DELETE", "/v1/rights")),
    "a receipt that is none": (422, plain("POST", "/v1/receipts/verify", b"{}")),
    "keys": (200, plain("GET", "/.well-known/jwks.json")),
    "status": (200, plain("GET", "/v1/status")),
    "alive": (200, plain("GET", "/livez")),
    "ready": (200, plain("GET", "/readyz")),
    "a mode": (200, admin("GET", "/admin/v1/modes/*")),
    "a write without If-Match": (428, admin("PUT", "/admin/v1/modes/*")),
    "no such scope": (404, admin("GET", "/admin/v1/modes/MARQUE")),
    "an auditor who writes": (403, admin("PUT", "/admin/v1/modes/*", "auditor")),
    "the snapshots": (200, admin("GET", "/admin/v1/snapshots")),
    "the clients": (200, admin("GET", "/admin/v1/clients", "auditor")),
    "the orders": (200, admin("GET", "/admin/v1/orders?limit=3", "operator")),
    "the exposure": (200, admin("GET", "/admin/v1/exposure?sort=trend", "auditor")),
    "the exposure of nobody": (404, admin("GET", "/admin/v1/exposure?client=MARQUE")),
    "a sort that is none": (422, admin("GET", "/admin/v1/exposure?sort=MARQUE")),
    "a filter that is none": (422, admin("GET", "/admin/v1/orders?MARQUE=1")),
    "a notice that is not there": (404, admin("GET", "/admin/v1/notices/none")),
    "a mode that always holds": (405, admin("DELETE", "/admin/v1/modes/*")),
    "no such admin route": (404, admin("GET", "/v1/rights")),
}
every_response = pytest.mark.parametrize(("status", "ask"), RESPONSES.values(), ids=RESPONSES)


@every_response
def test_it_names_mode_and_snapshot(served: Installation, status: int, ask: Ask):
    reply = ask(served, {})
    assert reply.status == status, reply.body
    assert reply.headers.get_all("Relais-Mode") == ["degraded"]
    assert reply.headers.get_all("Relais-Snapshot") == ["1"]


@every_response
def test_it_repeats_the_callers_request_id_where_that_is_a_uuid(served: Installation, status: int, ask: Ask):
    fresh = str(uuid.uuid4())
    assert ask(served, {"X-Request-Id": fresh}).headers.get_all("X-Request-Id") == [fresh]
    assert ask(served, {"X-Request-Id": CALLERS_ID}).headers["X-Request-Id"] == CALLERS_ID


@every_response
@pytest.mark.parametrize(
    "given",
    ["", "4711", f"{{{CALLERS_ID}}}", f"urn:uuid:{CALLERS_ID}", CALLERS_ID[:-1], f"{CALLERS_ID}0", f"{CALLERS_ID}, x"],
)
def test_it_has_a_request_id_of_ours_otherwise(served: Installation, status: int, ask: Ask, given: str):
    first, second = (ask(served, {"X-Request-Id": given}).headers["X-Request-Id"] for _ in range(2))
    assert str(uuid.UUID(first)) == first
    assert given == "" or given not in first
    assert first != second


@every_response
def test_it_is_not_stored(served: Installation, status: int, ask: Ask):
    reply = ask(served, {})
    if ask is RESPONSES["status"][1]:
        assert reply.headers["Cache-Control"] == "public, max-age=5"
    else:
        assert reply.headers.get_all("Cache-Control") == ["no-store"]


@every_response
def test_it_does_not_say_what_it_runs_on(served: Installation, status: int, ask: Ask):
    reply = ask(served, {})
    assert reply.headers.get_all("Server") == ["relais-droits"]
    told = (str(reply.headers) + reply.body.decode()).lower()
    for name in ("aiohttp", "python", "gunicorn", "uvloop", "traceback", "msgspec"):
        assert name not in told


@every_response
def test_it_is_json_and_an_error_is_a_whole_problem(served: Installation, status: int, ask: Ask):
    reply = ask(served, {})
    if status == 200:
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.json()
        return
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json()
    assert re.fullmatch(r"/problems/[a-z_]+", problem["type"])
    assert problem["status"] == reply.status == status
    assert problem["action"] in {"fix", "retry", "check_card", "contact"}
    assert problem["title"]
    assert problem["counter_text"].endswith(".")
    assert set(problem) <= {
        *("type", "title", "status", "code", "detail", "counter_text", "action", "pointer", "server_time")
    }
    assert ("server_time" in problem) == (status == 401)


def test_a_nir_never_leaves_the_request(counter: Counter):
    reply = counter.post({"beneficiary": NOBODY})
    assert NOBODY["nir"][:13] not in str(reply.headers) + reply.body.decode()
    known = counter.an_open_row()
    reply = counter.post({"beneficiary": {name: known[name] for name in ("nir", "birth_date", "birth_rank")}})
    assert known["nir"][:13].encode() not in reply.body
