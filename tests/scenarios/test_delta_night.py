"""Nights on deltas: a delta is loaded over the base that serves, another replaces it, an attestation ends it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.fleet import Installation
from tests.scenarios.supply import SIGNERS, held, load, policy_of, shifted, sign


def delta(site: Installation, sequence: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A delta over the demo's base, signed and loaded; what its build said."""
    out = site.home.with_name(f"built-{sequence}")
    source = out.with_suffix(".ndjson")
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["snapshot", "build", "--source", str(source), "--base", str(site.home / "snapshots" / "1"), "--json"]
    done = site.relais(*words, "--policy", str(policy_of(site)), "--out", str(out), "--sequence", str(sequence))
    signed_and_loaded(site, out)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def signed_and_loaded(site: Installation, folder: Path) -> None:
    for signer in SIGNERS:
        sign(site, folder, signer)
    load(site, folder)


def answered(site: Installation, name: Any) -> tuple[int, str]:
    """By which snapshot, and what: for one of the examples."""
    answer = site.ask(site.example(name)).json()["answer"]
    return answer["source"]["snapshot"], answer["status"]


def test_a_delta_serves_over_its_base_until_another_replaces_it(site: Installation):
    site.start("rights", workers=2)
    before = {name: answered(site, name) for name in ("open", "closed", "unknown")}
    first = delta(site, 2, shifted(site))
    assert first["manifest"]["kind"] == "delta"
    assert first["changes"]["gone"] > 40
    # Whoever left is known no more; who stayed is found in the base.
    assert answered(site, "open") == (2, before["unknown"][1])
    assert answered(site, "closed") == (2, before["closed"][1])
    # Cumulative: the second night is the whole delivery again, over the same base.
    second = delta(site, 3, [{**row, "csr": "MOVED"} if number < 9 else row for number, row in enumerate(site.rows())])
    assert second["changes"]["gone"] == 0
    assert 0 < second["changes"]["changed"] <= 18
    assert {name: status for name, (_, status) in ((name, answered(site, name)) for name in before)} == {
        name: status for name, (_, status) in before.items()
    }
    assert answered(site, "open")[0] == 3
    assert held(site) == {1: "superseded", 2: "superseded", 3: "active"}


def test_an_attestation_renews_the_base_alone(site: Installation):
    site.start("rights", workers=1)
    before = answered(site, "open")
    delta(site, 2, shifted(site))
    assert answered(site, "open")[1] != before[1]
    out = site.home.with_name("attested")
    words = ["snapshot", "attest", "--base", str(site.home / "snapshots" / "1"), "--policy", str(policy_of(site))]
    said = site.relais(*words, "--sequence", "3", "--out", str(out), "--valid-for", "30", at_home=False).stdout
    assert "empty delta over base 1: its data, valid until" in said
    signed_and_loaded(site, out)
    assert answered(site, "open") == (3, before[1])


def test_a_delta_of_a_delta_is_refused_by_the_builder(site: Installation):
    delta(site, 2, shifted(site))
    folder = site.home / "snapshots" / "2"
    words = ["--base", str(folder), "--policy", str(policy_of(site)), "--sequence", "3", "--out", str(site.home / "x")]
    source = ["--source", str(site.home / "demo" / "rows.ndjson")]
    for command in (site.relais("snapshot", "build", *source, *words, status=1), attested(site, words)):
        assert command.stderr == f"relais: {folder} is a delta: name its base, the snapshot of sequence 1\n"


def attested(site: Installation, words: list[str]) -> subprocess.CompletedProcess[str]:
    return site.relais("snapshot", "attest", *words, at_home=False, status=1)
