"""A new installation: everything is there but a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.desk import COUNTER, NOBODY
from tests.fleet import Installation, free_ports


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A home as `relais init` makes it, with an officer's public key and one pharmacy; the rights server runs."""
    desk: Path = tmp_path_factory.mktemp("empty")
    ports = free_ports(2)
    made = Installation(desk / "home", {}, {"rights": ports[0], "admin": ports[1]})
    made.relais("init", str(made.home), at_home=False)
    made.relais("keys", "new", "--use", "officer", "--out", str(desk / "officer.jwk"), at_home=False)
    (desk / "officer.pub.jwk").rename(made.home / "keys" / "officer.pub.jwk")
    made.register(COUNTER, "pharmacy", "330012342")
    # The pharmacy's key lies with the pharmacy: a home that serves holds none.
    outside = desk / f"{COUNTER}.jwk"
    made.key(COUNTER).rename(outside)
    made.start("rights", workers=1, ready=False)
    made.key(COUNTER).symlink_to(outside)
    yield made
    made.close()


def test_it_lives_and_is_not_ready_and_says_why(empty: Installation):
    assert empty.request("GET", "/livez").status == 200
    ready = empty.request("GET", "/readyz")
    assert (ready.status, ready.json()["ready"]) == (503, False)
    assert [(reason["code"], reason["blocking"]) for reason in ready.json()["reasons"]] == [
        ("no_snapshot", True),
        ("trust_refused", False),  # there is no trust file yet either
    ]


def test_it_names_no_snapshot(empty: Installation):
    for path in ("/livez", "/readyz", "/v1/status", "/nowhere"):
        assert empty.request("GET", path).headers["Relais-Snapshot"] == "none"
    assert empty.request("GET", "/v1/status").json()["snapshot"] is None


def test_it_sends_the_counter_to_the_card(empty: Installation):
    reply = empty.ask({"beneficiary": NOBODY}, COUNTER)
    assert (reply.status, reply.code) == (503, "no_snapshot")
    assert 30 <= int(reply.headers["Retry-After"]) <= 90
    assert reply.json()["action"] == "check_card"
    assert "carte" in reply.json()["counter_text"]


def test_who_asks_and_what_is_still_looked_at(empty: Installation):
    assert empty.request("POST", "/v1/rights", b"{}").code == "token_missing"
    json_type = {"Content-Type": "application/json"}
    assert empty.request("POST", "/v1/receipts/verify", b"{}", json_type).code == "invalid_field"
