"""A signer is exchanged while the service answers: nothing fails, and who was removed signs nothing that serves."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fleet import Installation
from tests.scenarios.supply import build, held, load, shifted


def rotate(site: Installation, name: str, *words: str) -> str:
    """Make, sign with both roots, and install the next version; gives what the installation said."""
    draft = str(site.home.with_name(name))
    keys = site.home / "keys"
    site.relais("trust", "rotate", "--out", draft, *words, "--sign", f"{keys}/root-1.jwk", f"{keys}/root-2.jwk")
    return site.relais("trust", "rotate", draft).stdout


def serves(site: Installation) -> str | None:
    return site.ask(site.example("closed")).headers["Relais-Snapshot"]


def test_a_signer_is_exchanged_while_the_service_answers(site: Installation):
    keys = site.home / "keys"
    site.relais("keys", "new", "--use", "snapshot", "--out", f"{keys}/signer-3.jwk", at_home=False)
    site.start("rights")

    rotate(site, "trust-2.json", "--add-snapshot", f"signer-3={keys}/signer-3.pub.jwk")
    assert serves(site) == "1"
    load(site, build(site, 2, shifted(site), signers=("signer-2", "signer-3")))
    assert serves(site) == "2"

    rotate(site, "trust-3.json", "--remove-snapshot", "signer-1")
    assert serves(site) == "2"
    assert held(site)[2] == "active"
    refused = load(site, build(site, 3, shifted(site), signers=("signer-1", "signer-2")), status=1)
    assert "2 signatures and threshold" in refused
    assert "1 of them (signer-2), 1 by keys the trust file does not know" in refused
    assert serves(site) == "2"

    site.stop("rights")
    site.start("rights")
    assert serves(site) == "2"
    shown = json.loads(site.relais("trust", "show", "--json").stdout)
    assert (shown["version"], shown["former"]) == (3, [2, 1])


def test_a_trust_file_rolled_back_under_a_running_server_opens_nothing_new(site: Installation, next_night: Path):
    rotate(site, "trust-2.json")
    second = (site.home / "trust.json").read_bytes()
    site.start("rights", workers=1)
    (site.home / "trust.json").write_bytes((site.home / "trust.1.json").read_bytes())
    assert "found 1: a rollback" in load(site, next_night, status=1)
    assert serves(site) == "1"

    site.stop("rights")
    site.start("rights", workers=1, ready=False)
    reasons = {reason["code"]: reason for reason in site.request("GET", "/readyz").json()["reasons"]}
    assert {code for code, reason in reasons.items() if reason["blocking"]} == {"no_snapshot"}
    assert "found 1: a rollback" in reasons["no_snapshot"]["detail"]
    assert "trust_refused" in reasons

    (site.home / "trust.json").write_bytes(second)
    site.wait_ready()
    assert serves(site) == "1"
