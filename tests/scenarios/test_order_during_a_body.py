"""An order that comes while a body is still on its way holds for that request too."""

from __future__ import annotations

import json

from tests.faces.wire import Wire
from tests.fleet import Installation


def head(method: str, path: str, length: int, *headers: str) -> bytes:
    """A request's head; its body is for later."""
    common = ("Host: localhost", "Content-Type: application/json", f"Content-Length: {length}")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *common, *headers, "", ""]).encode()


def test_who_or_what_is_suspended_during_a_slow_body_is_not_answered(site: Installation):
    site.environment["RELAIS_LIMITS_BODY_SECONDS"] = "60"
    site.start("rights", workers=1)
    site.start("admin", workers=1)
    body = json.dumps(site.example("open")).encode()
    ask = head("POST", "/v1/rights", len(body), f"Authorization: {site.bearer()['Authorization']}")
    retry = ask.replace(b"\r\n\r\n", b"\r\nX-Request-Id: 0b0e6f4c-6b5e-4d0c-9c39-0d5a9e0b6a55\r\n\r\n")
    with Wire(site) as first:
        first.send(retry + body)
        assert first.answer().status == 200

    with Wire(site) as plain, Wire(site) as again:
        plain.send(ask + body[:9])
        again.send(retry + body[:9])
        site.set_mode("suspended")
        for wire in (plain, again):
            wire.send(body[9:])
            assert json.loads(wire.answer().body)["code"] == "service_suspended"
        site.set_mode("degraded")

    with Wire(site) as plain, Wire(site) as again:
        plain.send(ask + body[:9])
        again.send(retry + body[:9])
        site.relais("client", "suspend", "demo-pharmacy", "--reason", "a stolen computer")
        for wire in (plain, again):
            wire.send(body[9:])
            assert json.loads(wire.answer().body)["code"] == "client_suspended"

    token = site.bearer("demo-admin", "relais-droits-admin")["Authorization"]
    wish = json.dumps({"mode": "suspended", "reason": "essai"}).encode()
    with Wire(site, "admin") as wire:
        wire.send(head("PUT", "/admin/v1/modes/*", len(wish), f"Authorization: {token}", "If-Match: *") + wish[:9])
        site.relais("client", "suspend", "demo-admin", "--reason", "a stolen computer")
        wire.send(wish[9:])
        assert json.loads(wire.answer().body)["code"] == "client_suspended"
    assert site.request("GET", "/livez").headers["Relais-Mode"] == "degraded"
