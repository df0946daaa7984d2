"""A worker whose clock is behind what it has already seen says so, and calls nobody's rights closed."""

from __future__ import annotations

import time

from stubs.connection import Signer
from tests.fleet import Installation
from tests.scenarios.evidence import verify_journal
from tests.scenarios.shifted_clock import shifted

HOUR = 3600


def asked(site: Installation, name: str, seconds: int) -> dict[str, object]:
    """An answer to an example, asked by a pharmacy whose clock is as wrong as the server's."""
    token = Signer("demo-pharmacy", site.key("demo-pharmacy")).mint(int(time.time()) + seconds)
    query = site.example(name)  # type: ignore[arg-type]
    reply = site.ask(query, headers={"Authorization": f"Bearer {token}"})
    assert reply.status == 200, reply.body
    answer: dict[str, object] = reply.json()["answer"]
    return answer


def test_closed_becomes_unknown_under_a_clock_that_is_behind(site: Installation):
    behind = -2 * HOUR
    site.environment |= shifted(behind)
    site.start("rights", workers=2)
    for _ in range(6):
        answer = asked(site, "closed", behind)
        assert answer["status"] == "unknown"
        assert "clock_suspect" in answer["reasons"]
        assert answer["advice"] in ("check_card", "patient_pays")
    assert asked(site, "open", behind)["status"] == "open"
    ready = site.request("GET", "/readyz")
    assert ready.status == 200
    assert [(one["code"], one["blocking"]) for one in ready.json()["reasons"]] == [("clock_suspect", False)]
    assert site.stop("rights") == 0

    for name in shifted(behind):
        del site.environment[name]
    site.start("rights", workers=2)
    assert asked(site, "closed", 0)["status"] == "closed"
    assert site.request("GET", "/readyz").json()["reasons"] == []
    assert site.stop("rights") == 0
    verify_journal(site, "clock_back")


def test_a_clock_beyond_the_snapshots_end_knows_nobody(site: Installation):
    ahead = 50 * 24 * HOUR
    site.environment |= shifted(ahead)
    site.start("rights", workers=1)
    for name in ("open", "closed", "unknown"):
        answer = asked(site, name, ahead)
        assert (answer["status"], answer["contracts"]) == ("unknown", [])
        assert "snapshot_expired" in answer["reasons"]
    ready = site.request("GET", "/readyz")
    assert ready.status == 200
    assert [one["code"] for one in ready.json()["reasons"]] == ["snapshot_expired"]
