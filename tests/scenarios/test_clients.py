"""Who may ask changes while the workers serve: every one of them follows before the command returns."""

from __future__ import annotations

import time

from stubs.connection import Signer
from tests.fleet import Installation, Reply

FINESS = "130012342"


def replies(site: Installation, client: str, signer: Signer | None = None) -> list[Reply]:
    """Sixteen questions on connections of their own."""
    headers = {} if signer is None else {"Authorization": f"Bearer {signer.token()}"}
    return [site.ask(site.example("open"), client, headers) for _ in range(16)]


def test_a_client_is_added_suspended_resumed_and_rekeyed(site: Installation):
    site.start("rights", workers=2)
    site.relais("keys", "new", "--use", "client", "--out", str(site.key("newcomer")), at_home=False)
    assert {reply.code for reply in replies(site, "newcomer")} == {"token_invalid"}

    site.register("newcomer", "pharmacy", FINESS)
    began = time.monotonic()
    answered = replies(site, "newcomer")
    assert {reply.status for reply in answered} == {200}, f"after {time.monotonic() - began:.1f} s"
    assert {reply.json()["answer"]["for"]["finess"] for reply in answered} == {FINESS}

    site.relais("client", "suspend", "newcomer", "--reason", "a stolen computer")
    assert {(reply.status, reply.code) for reply in replies(site, "newcomer")} == {(403, "client_suspended")}
    assert {reply.status for reply in replies(site, "demo-pharmacy")} == {200}
    again = site.relais("client", "suspend", "newcomer", "--reason", "a stolen computer")
    assert "suspended already: no change" in again.stdout
    unknown = site.relais("client", "suspend", "nobody", "--reason", "doubt", status=1)
    assert len(unknown.stderr.strip().splitlines()) == 1

    site.relais("client", "resume", "newcomer", "--reason", "found again")
    assert {reply.status for reply in replies(site, "newcomer")} == {200}

    former = Signer("newcomer", site.key("newcomer"))
    assert {reply.status for reply in replies(site, "newcomer", former)} == {200}
    site.relais("keys", "new", "--use", "client", "--out", str(site.key("second")), at_home=False)
    words = ["client", "add", "newcomer", "--class", "pharmacy", "--finess", FINESS, "--key", str(site.key("second"))]
    refused = site.relais(*words, status=1)
    assert "newcomer is registered already, with other keys" in refused.stderr
    assert {reply.status for reply in replies(site, "newcomer", former)} == {200}
    site.relais(*words, "--replace")
    assert {reply.code for reply in replies(site, "newcomer", former)} == {"token_invalid"}
    assert {reply.status for reply in replies(site, "newcomer", Signer("newcomer", site.key("second")))} == {200}
