"""Snapshots that must not serve, offered beside a running server: it goes on, whatever step refuses them.

Each attack by itself, with the words of its refusal and all the state it leaves, is in `tests/attacks`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.forge import RECORDS, Forge, encoded_json
from tests.attacks.victim import Victim
from tests.fleet import Installation
from tests.scenarios.supply import build, held, load, policy_of

Bend = Callable[[Forge, Path], object]


@pytest.fixture
def served(site: Installation) -> Installation:
    site.start("rights", workers=1)
    return site


def endless(_: Forge, folder: Path) -> None:
    with (folder / RECORDS).open("ab") as file:
        file.truncate(2**40)


def signed_by_one(forge: Forge, folder: Path) -> None:
    forge.sign(folder, encoded_json(forge.payload(folder)), ["signer-1"])


def of_another_format(forge: Forge, folder: Path) -> None:
    forge.rewrite(folder, format="relais-snapshot/2")


def expired(forge: Forge, folder: Path) -> None:
    amcs = [{**amc, "extracted_at": "2024-01-30T03:00:00Z"} for amc in forge.payload(folder)["amcs"]]
    forge.rewrite(folder, created_at="2024-02-01T03:00:00Z", valid_until="2024-02-08T03:00:00Z", amcs=amcs)


def far_ahead(forge: Forge, folder: Path) -> None:
    forge.rewrite(folder, sequence=2**53 - 1)


def over_a_base_nobody_has(forge: Forge, folder: Path) -> None:
    forge.rewrite(folder, kind="delta", base={"sequence": 7, "sha256": "A" * 43})


def altered(forge: Forge, folder: Path) -> None:
    forge.flip(folder / RECORDS, (folder / RECORDS).stat().st_size // 2)


def under_another_pepper(forge: Forge, folder: Path) -> None:
    forge.rewrite(folder, pepper_kid="another")


def without_an_amc(forge: Forge, folder: Path) -> None:
    forge.rewrite(folder, amcs=forge.payload(folder)["amcs"][1:])


REFUSALS: dict[str, tuple[Bend, str]] = {
    "1 size caps": (endless, "a file of at most"),
    "2 signatures and threshold": (signed_by_one, "1 of them (signer-1)"),
    "3 parse and format": (of_another_format, "relais-snapshot/1"),
    "4 dates": (expired, "expired"),
    "5 sequence against the floor": (far_ahead, "ahead"),
    "6 base": (over_a_base_nobody_has, "no snapshot 7"),
    "7 file list, sizes, SHA-256": (altered, "altered"),
    "8 pepper and probe": (under_another_pepper, "not held here"),
    "9 guard": (without_an_amc, "an AMC may not vanish"),
}


def test_a_snapshot_refused_at_any_step_leaves_the_good_one_serving(
    served: Installation, next_night: Path, tmp_path: Path
):
    victim, forge = Victim(served.home), Forge(served.home, tmp_path)
    before = served.ask(served.example("open")).json()["answer"]
    for step, (bend, words) in REFUSALS.items():
        folder = forge.copy(next_night)
        bend(forge, folder)
        # The command itself, without the start of a process for each.
        said = victim.load(folder)
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1), (step, said)
        assert said.err.startswith(f"relais: refused at step {step}: expected "), (step, said)
        assert words in said.err, (step, said)
        assert (victim.verdict(folder)["accepted"], victim.verdict()["step"]) == (False, step)
        assert served.ask(served.example("open")).json()["answer"]["source"]["snapshot"] == 1, step
        shutil.rmtree(folder)
    assert sorted(path.name for path in (served.home / "snapshots").iterdir() if path.is_dir()) == ["1"]
    assert held(served) == {1: "active"}
    after = served.ask(served.example("open")).json()["answer"]
    assert (after["status"], after["contracts"]) == (before["status"], before["contracts"])
    ready = served.request("GET", "/readyz").json()
    assert (ready["ready"], [reason["code"] for reason in ready["reasons"]]) == (True, ["load_refused"])

    said = load(served, next_night)
    assert served.request("GET", "/readyz").json() == {"ready": True, "reasons": []}
    assert "snapshot 2 verified: signed by signer-1, signer-2" in said
    assert held(served) == {1: "superseded", 2: "active"}
    again = load(served, next_night)
    assert "snapshot 2 already active: no change" in again
    older = load(served, served.home / "snapshots" / "1", status=1)
    assert "5 sequence against the floor" in older
    assert "a rollback" in older
    assert served.ask(served.example("open")).headers["Relais-Snapshot"] == "2"


def test_a_looser_policy_needs_a_reason_that_stays_on_record(served: Installation):
    policy = served.home.with_name("policy.toml")
    text = policy_of(served).read_text()
    policy.write_text(text.replace("renewal_grace_days = 31", "renewal_grace_days = 90", 1))
    folder = build(served, 2, policy=policy)
    said = load(served, folder, status=1)
    assert "9 guard" in said
    assert "the policy may not loosen: renewal_grace_days" in said
    assert served.ask(served.example("open")).headers["Relais-Snapshot"] == "1"
    assert held(served) == {1: "active"}
    told = json.loads(load(served, folder, "--accept", "the AMC wrote to us", "--json"))
    assert (told["sequence"], told["outcome"], told["follows"]) == (2, "activated", True)
    assert "the policy may not loosen: renewal_grace_days" in told["accepted"][0]
    assert served.ask(served.example("open")).headers["Relais-Snapshot"] == "2"
    verdict = json.loads(folder.with_name("built-2.verdict.json").read_text())
    assert verdict["accepted"]
    assert verdict["accept"] == "the AMC wrote to us"
