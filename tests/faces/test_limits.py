"""Routes, methods, media types, sizes and time: what is refused before a body is read as a query."""

from __future__ import annotations

import gzip
import zlib

import pytest

from tests.faces.desk import COUNTER, NOBODY, Counter
from tests.fleet import Installation

QUERY = {"beneficiary": NOBODY}
BODY = b'{"beneficiary": {"nir": "185057599900150", "birth_date": "1985-05-12"}}'
LIMIT = 64 * 1024


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/v1/", "/v1/right", "/v1/rights/", "/v1/rights/x", "/v1/Rights", "/v2/rights", "/status/x"),
        *("/admin/v1/modes/*", "/admin/v1/modes/0990000011", "/admin", "/favicon.ico", "/.env"),
        "/v1/rights/185057511600159",
    ],
)
def test_what_is_not_a_route_is_not_found(served: Installation, path: str):
    for method in ("GET", "POST"):
        reply = served.request(method, path, headers=served.bearer(COUNTER))
        assert (reply.status, reply.code) == (404, "not_found")
        assert "185057511600159" not in reply.body.decode()


@pytest.mark.parametrize("path", ["/v1/rights", "/v1/receipts/verify", "/v1/status", "/.well-known/jwks.json"])
def test_the_rights_servers_routes_are_not_on_the_admin_server(served: Installation, path: str):
    for method in ("GET", "POST"):
        assert served.admin(method, path).code == "not_found"


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("path", ["/admin/v1/modes/*", "/admin/v1/modes/0990000011"])
def test_the_admin_servers_routes_are_not_on_the_rights_server(served: Installation, method: str, path: str):
    for audience in ("relais-droits", "relais-droits-admin"):
        reply = served.request(method, path, headers=served.bearer("demo-admin", audience))
        assert reply.code == "not_found"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/rights", "POST"),
        ("/v1/receipts/verify", "POST"),
        ("/v1/status", "GET,HEAD"),
        ("/.well-known/jwks.json", "GET,HEAD"),
        ("/livez", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
    ],
)
def test_another_method_is_told_which_there_are(served: Installation, path: str, allowed: str):
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} - set(allowed.split(",")):
        reply = served.request(method, path, headers=served.bearer(COUNTER))
        assert (reply.status, reply.code, reply.headers["Allow"]) == (405, "method_not_allowed", allowed)


@pytest.mark.parametrize("path", ["/v1/status", "/.well-known/jwks.json", "/livez", "/readyz"])
def test_head_is_get_without_a_body(served: Installation, path: str):
    got, head = (served.request(method, path) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "text/json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        *("application/jsonx", "application/problem+json", "application/fhir+json", "*/*", "MARQUE", "", "application"),
    ],
)
def test_another_media_type_is_refused(counter: Counter, media_type: str):
    reply = counter.post(QUERY, headers={"Content-Type": media_type})
    assert (reply.status, reply.code) == (415, "media_type")
    assert "MARQUE" not in reply.body.decode()


def test_a_missing_media_type_is_refused(served: Installation):
    reply = served.request("POST", "/v1/rights", BODY, served.bearer(COUNTER))
    assert (reply.status, reply.code) == (415, "media_type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"])
def test_json_may_be_spelt_in_its_ways(counter: Counter, media_type: str):
    assert counter.post(QUERY, headers={"Content-Type": media_type}).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "MARQUE", "gzip, gzip", ""])
def test_a_content_coding_is_refused_known_or_not(counter: Counter, coding: str):
    packed = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY)}.get(coding, BODY)
    reply = counter.post(packed, headers={"Content-Encoding": coding})
    assert (reply.status, reply.code) == (415, "media_type")
    assert "MARQUE" not in reply.body.decode()


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(counter: Counter):
    assert counter.post(BODY + b" " * (LIMIT - len(BODY))).status == 200
    reply = counter.post(BODY + b" " * (LIMIT - len(BODY) + 1))
    assert (reply.status, reply.code) == (413, "body_too_large")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"beneficiary":' * 50_000, b"\0" * 1_000_000])
def test_a_body_far_beyond_the_limit_is_refused_unread(counter: Counter, body: bytes):
    reply = counter.post(body)
    assert (reply.status, reply.code) == (413, "body_too_large")


def test_the_token_is_asked_for_before_the_body_is_looked_at(served: Installation):
    for body in (b"{", b" " * 70_000):
        reply = served.request("POST", "/v1/rights", body, {"Content-Type": "text/plain"})
        assert (reply.status, reply.code) == (401, "token_missing")
