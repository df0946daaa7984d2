"""Base and deltas through their life under running servers: loaded, swapped, gone back to, quarantined, pruned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from tests.fleet import Installation, wait_until
from tests.scenarios.callers import Callers
from tests.scenarios.evidence import prove
from tests.scenarios.supply import SIGNERS, held, load, policy_of, sign


def delta(site: Installation, sequence: int, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A signed delta over what the home holds as 1, from the whole delivery."""
    out, source = site.home.with_name(f"delta-{sequence}"), site.home.with_name(f"rows-{sequence}.ndjson")
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["snapshot", "build", "--source", str(source), "--policy", str(policy_of(site)), "--out", str(out)]
    site.relais(*words, "--sequence", str(sequence), "--base", str(site.home / "snapshots" / "1"))
    for signer in SIGNERS:
        sign(site, out, signer)
    return out


def without(site: Installation, name: str) -> list[dict[str, Any]]:
    """The demo's people, but for one of the examples'."""
    gone = site.example(name)["beneficiary"]["nir"][:13]  # type: ignore[arg-type]
    return [row for row in site.rows() if row["nir"][:13] != gone]


def status_of(site: Installation, name: str) -> tuple[str, int]:
    """What is answered to an example now, and from which snapshot."""
    answer = site.ask(site.example(name)).json()["answer"]  # type: ignore[arg-type]
    return answer["status"], answer["source"]["snapshot"]


def refused(site: Installation, *words: str) -> str:
    """The line that refuses a command."""
    said = site.relais("snapshot", *words, status=1).stderr
    assert said.count("\n") == 1, said
    return said


def test_deltas_are_swapped_over_one_base_pinned_left_and_pruned(site: Installation):
    site.start("rights", workers=2)
    assert status_of(site, "open") == ("open", 1)
    load(site, delta(site, 2, without(site, "open")))
    assert status_of(site, "open") == ("unknown", 2)
    assert status_of(site, "closed") == ("closed", 2)
    load(site, delta(site, 3, site.rows()))
    assert status_of(site, "open") == ("open", 3)
    assert held(site) == {1: "superseded", 2: "superseded", 3: "active"}

    # Back to a delta whose base is held.
    site.relais("snapshot", "pin", "2", "--reason", "doubt about 3", "--until", "1h")
    assert status_of(site, "open") == ("unknown", 2)
    assert held(site) == {1: "superseded", 2: "active", 3: "quarantined"}
    for words in (("activate", "3"), ("pin", "3", "--reason", "try", "--until", "1h")):
        assert "quarantine" in refused(site, *words)
    site.relais("snapshot", "unpin", "--reason", "4 is good")
    assert held(site)[3] == "quarantined"
    for words in (("activate", "3"), ("pin", "3", "--reason", "try", "--until", "1h")):
        assert "quarantine" in refused(site, *words)
    assert status_of(site, "open") == ("unknown", 2)

    load(site, delta(site, 4, site.rows()))
    assert "quarantine" in refused(site, "pin", "3", "--reason", "try", "--until", "1h")
    assert held(site) == {1: "superseded", 2: "superseded", 3: "quarantined", 4: "active"}

    # The base stays as long as something lies over it.
    said = site.relais("snapshot", "prune", "--keep", "0", "--dry-run").stdout
    assert said == "snapshot 3 would be removed\nsnapshot 2 would be removed\n"
    assert json.loads(site.relais("snapshot", "prune", "--keep", "0", "--json").stdout)["removed"] == [3, 2]
    assert held(site) == {1: "superseded", 4: "active"}
    assert site.relais("snapshot", "prune", "--keep", "0").stdout == "nothing to remove\n"
    assert status_of(site, "open") == ("open", 4)
    assert site.stop("rights") == 0
    site.start("rights", workers=1)
    assert status_of(site, "open") == ("open", 4)


async def test_a_delta_loaded_under_load_fails_no_request(site: Installation, queries: list[bytes]):
    site.start("rights", workers=2)
    made = [delta(site, 2, without(site, "open")), delta(site, 3, site.rows())]
    leaver = orjson.dumps(site.example("open"))
    async with Callers(site, [*queries, leaver], count=4) as callers:
        for folder in made:
            await callers.more(100)
            load(site, folder)
        await callers.more(100)
    assert callers.losses == []
    assert callers.refused == []
    assert {reply.snapshot for reply in callers.answered} == {"1", "2", "3"}
    prove(site, callers.answered)
    for reply in callers.answered:
        answer = reply.response["answer"]
        if reply.query == leaver:
            assert answer["status"] == ("unknown" if answer["source"]["snapshot"] == 2 else "open")


def test_a_lost_base_is_named_held_again_and_served(site: Installation):
    base = Path(shutil.copytree(site.home / "snapshots" / "1", site.home.with_name("base-1")))
    second = delta(site, 2, without(site, "open"))
    load(site, second)
    shutil.rmtree(site.home / "snapshots" / "1")
    assert held(site) == {2: "damaged"}
    site.start("rights", workers=1, ready=False)
    (reason,) = site.request("GET", "/readyz").json()["reasons"]
    assert reason["code"] == "no_snapshot"
    assert "refused at step 6 base: expected base 1, digest " in reason["detail"]
    assert "relais snapshot hold its folder first" in reason["detail"]
    assert "a rollback" in refused(site, "load", str(base))
    said = site.relais("snapshot", "hold", str(base)).stdout
    assert said == "base 1 is held: signed by signer-1, signer-2; nothing was activated\n"
    wait_until(lambda: site.request("GET", "/readyz").status == 200, 60, lambda: "not ready")
    assert status_of(site, "open") == ("unknown", 2)
    assert "load it instead" in refused(site, "hold", str(second))
