"""Tokens as the two servers take them: who is let in, and what the others are told."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from typing import Any

import jwt
import pytest

from tests.faces.desk import COUNTER, NOBODY, Counter
from tests.fleet import Installation, Reply, write_client_key

QUERY = {"beneficiary": NOBODY}


def mint(
    served: Installation, client: str = COUNTER, signer: str | None = None, header: Any = None, **claims: Any
) -> str:
    """A token of a client with some claims changed (`...`: left out), signed by the key of `signer`."""
    now = int(time.time())
    good = {"iss": client, "sub": client, "aud": "relais-droits", "iat": now, "exp": now + 300, "jti": "j-1"}
    key = jwt.PyJWK(json.loads(served.key(signer or client).read_bytes()))
    payload = {name: value for name, value in {**good, **claims}.items() if value is not ...}
    raw = json.dumps(payload).encode()
    return jwt.api_jws.encode(raw, key.key, algorithm="EdDSA", headers={"typ": "JWT", **(header or {})})


def ask(counter: Counter, authorization: str | None) -> Reply:
    headers = {"Content-Type": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    return counter.served.request("POST", "/v1/rights", json.dumps(QUERY).encode(), headers)


def refused(reply: Reply, code: str, status: int = 401) -> None:
    assert (reply.status, reply.code) == (status, code), reply.body
    if status == 401:
        told = dt.datetime.fromisoformat(reply.json()["server_time"])
        assert abs(told.timestamp() - time.time()) < 60
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_made_elsewhere_is_good_until_it_expires_and_as_often_as_one_likes(counter: Counter):
    token = mint(counter.served)
    for _ in range(3):
        assert ask(counter, f"Bearer {token}").status == 200
    assert ask(counter, f"bearer {token}").status == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic bWFycXVlOg==", "MARQUE", "Token x"])
def test_no_bearer_token_is_a_missing_one(counter: Counter, authorization: str | None):
    reply = ask(counter, authorization)
    refused(reply, "token_missing")
    assert "MARQUE" not in reply.body.decode()


@pytest.mark.parametrize("ago", [130, 3600])
def test_an_expired_token_is_told_so_with_the_right_time(counter: Counter, ago: int):
    now = int(time.time())
    refused(ask(counter, f"Bearer {mint(counter.served, iat=now - ago - 300, exp=now - ago)}"), "token_expired")


def test_a_pharmacys_clock_may_be_wrong_by_less_than_two_minutes(counter: Counter):
    now = int(time.time())
    for claims in ({"iat": now - 400, "exp": now - 100}, {"iat": now + 100, "exp": now + 400}):
        assert ask(counter, f"Bearer {mint(counter.served, **claims)}").status == 200


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"aud": "relais-droits-admin"}, id="for the admin server"),
        pytest.param({"aud": "another"}, id="for another instance"),
        pytest.param({"aud": ["relais-droits"]}, id="audience as a list"),
        pytest.param({"aud": ...}, id="for nobody"),
        pytest.param({"sub": "demo-pharmacy"}, id="about somebody else"),
        pytest.param({"iss": "demo-pharmacy", "sub": "demo-pharmacy"}, id="in another's name"),
        pytest.param({"iss": "unheard-of", "sub": "unheard-of"}, id="of an unknown client"),
        pytest.param({"iss": "MARQUE", "sub": "MARQUE"}, id="of an impossible client"),
        pytest.param({"exp": "9999999999"}, id="expiry as text"),
        pytest.param({"exp": ...}, id="without expiry"),
        pytest.param({"iat": ...}, id="without issue time"),
        pytest.param({"jti": ...}, id="without jti"),
        pytest.param({"exp": int(time.time()) + 86_400}, id="valid for a day"),
        pytest.param({"iat": int(time.time()) + 100_000, "exp": int(time.time()) + 100_300}, id="from the future"),
    ],
)
def test_a_token_with_wrong_claims_is_invalid(counter: Counter, claims: dict[str, Any]):
    reply = ask(counter, f"Bearer {mint(counter.served, **claims)}")
    refused(reply, "token_invalid")
    assert "MARQUE" not in reply.body.decode()


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"typ": None},
        {"crit": ["x"]},
        {"jku": "https://marque"},
        {"jwk": {}},
        {"zip": "DEF"},
        {"kid": "x"},
    ],
)
def test_a_token_with_another_header_is_invalid(counter: Counter, header: dict[str, Any]):
    refused(ask(counter, f"Bearer {mint(counter.served, header=header)}"), "token_invalid")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "..",
        "MARQUE.MARQUE.MARQUE",
        "x" * 6000,
        "e30.e30.",
        f"{base64.urlsafe_b64encode(b'{}').decode()}.e30.e30",
    ],
)
def test_what_is_no_token_is_invalid(counter: Counter, token: str):
    reply = ask(counter, f"Bearer {token}")
    refused(reply, "token_invalid")
    assert "MARQUE" not in reply.body.decode()


def test_a_forged_token_is_invalid(counter: Counter):
    good = mint(counter.served)
    header, payload, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    for forged in (
        f"{header}.{payload}.{flipped}",
        f"{header}.{payload}.",
        f"{none}.{payload}.",
        f"{good}=",
        f"{good}x",
    ):
        refused(ask(counter, f"Bearer {forged}"), "token_invalid")
    refused(ask(counter, f"Bearer {mint(counter.served, signer='neighbour')}"), "token_invalid")


def test_two_spaces_or_a_comma_do_not_make_a_token(counter: Counter):
    good = mint(counter.served)
    for odd in (f"Bearer  {good}", f"Bearer {good}, Bearer {good}", f"Bearer {good},"):
        assert ask(counter, odd).status == 401


@pytest.mark.parametrize("client", ["auditor", "operator", "demo-admin", "vendor"])
def test_only_pharmacies_and_hubs_ask_for_rights(counter: Counter, client: str):
    reply = ask(counter, f"Bearer {mint(counter.served, client)}")
    refused(reply, "scope_missing", 403)
    assert "server_time" not in reply.json()


def test_an_admins_token_for_the_admin_server_is_foreign_on_the_rights_server(counter: Counter):
    refused(ask(counter, f"Bearer {mint(counter.served, 'demo-admin', aud='relais-droits-admin')}"), "token_invalid")


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_pharmacys_token_opens_nothing_on_the_admin_server(served: Installation, method: str):
    foreign = served.request(method, "/admin/v1/modes/*", headers=served.bearer(COUNTER), server="admin")
    refused(foreign, "token_invalid")
    for client in (COUNTER, "test-hub", "vendor"):
        refused(served.admin(method, "/admin/v1/modes/*", client=client), "scope_missing", 403)
    refused(served.request(method, "/admin/v1/modes/*", server="admin"), "token_missing")


def test_a_suspended_client_is_told_so_only_with_a_good_signature(counter: Counter):
    served = counter.served
    served.register("leaver", "pharmacy", "130012342")
    good = f"Bearer {mint(served, 'leaver')}"
    assert ask(counter, good).status == 200
    served.relais("client", "suspend", "leaver", "--reason", "test")
    refused(ask(counter, good), "client_suspended", 403)
    refused(ask(counter, f"Bearer {mint(served, 'leaver')}"), "client_suspended", 403)
    refused(ask(counter, f"Bearer {mint(served, 'leaver', signer='neighbour')}"), "token_invalid")
    refused(ask(counter, f"Bearer {mint(served, 'leaver', aud='another')}"), "token_invalid")
    assert ask(counter, f"Bearer {mint(served)}").status == 200
    served.relais("client", "resume", "leaver", "--reason", "test")
    assert ask(counter, good).status == 200


def test_a_token_ends_with_its_key(counter: Counter):
    served = counter.served
    served.register("renewer", "pharmacy", "130012342")
    former = f"Bearer {mint(served, 'renewer')}"
    assert ask(counter, former).status == 200
    write_client_key(served.key("renewer"))
    served.register("renewer", "pharmacy", "130012342", options=["--replace"])
    refused(ask(counter, former), "token_invalid")
    assert ask(counter, f"Bearer {mint(served, 'renewer')}").status == 200
