"""Snapshots that must not serve: each is refused by name, the one that serves goes on, and the verdict is on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.base64url import b64u_decode
from service.cli.main import _run
from service.jws import add_signature, sign_general
from service.keyfiles import load_private
from service.snapshot.manifest import MANIFEST_TYP
from tests.fleet import Installation
from tests.scenarios.supply import SIGNERS, build, held, load, policy_of, sign

Bend = Callable[[Installation, Path], object]


@pytest.fixture
def served(site: Installation) -> Installation:
    site.start("rights", workers=1)
    return site


def strip(folder: Path, keep: int) -> None:
    """Leave only so many signatures."""
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    manifest["signatures"] = manifest["signatures"][:keep]
    replace(folder / "manifest.json", orjson.dumps(manifest))


def unsigned(_: Installation, folder: Path) -> None:
    strip(folder, 0)


def half(_: Installation, folder: Path) -> None:
    strip(folder, 1)


def payload(folder: Path) -> dict[str, Any]:
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    members: dict[str, Any] = orjson.loads(b64u_decode(manifest["payload"]))
    return members


def rewrite(site: Installation, folder: Path, **changes: Any) -> None:
    """A manifest that says something else, honestly signed by both: what a stolen build machine could get."""
    document = sign_general(orjson.dumps({**payload(folder), **changes}, option=orjson.OPT_SORT_KEYS), MANIFEST_TYP, [])
    for signer in SIGNERS:
        document = add_signature(document, MANIFEST_TYP, load_private(site.home / "keys" / f"{signer}.jwk"))
    replace(folder / "manifest.json", document)


def replace(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    replace(path, bytes(data))


def twice_by_one(site: Installation, folder: Path) -> None:
    """One person with two keys, both in the trust file, signs with both."""
    keys = site.home / "keys"
    site.relais("keys", "new", "--use", "snapshot", "--out", str(keys / "second.jwk"), at_home=False)
    (site.home / "trust.json").unlink()
    words = ["trust", "new", "--root-threshold", "2", "--snapshot-threshold", "2"]
    for role, name, key in (
        ("root", "root-1", "root-1"),
        ("root", "root-2", "root-2"),
        ("snapshot", "signer-1", "signer-1"),
        ("snapshot", "signer-1", "second"),
        ("snapshot", "signer-2", "signer-2"),
    ):
        words += [f"--{role}", f"{name}={keys / key}.pub.jwk"]
    for root in ("root-1", "root-2"):
        words += ["--sign", str(keys / f"{root}.jwk")]
    site.relais(*words)
    strip(folder, 1)
    sign(site, folder, "second")


def extra_file(_: Installation, folder: Path) -> None:
    (folder / "readme.txt").write_text("hello")


def symbolic_link(_: Installation, folder: Path) -> None:
    aside = folder.with_name("records.aside")
    (folder / "records.lmdb").rename(aside)
    (folder / "records.lmdb").symlink_to(aside)


def hard_link(_: Installation, folder: Path) -> None:
    (folder.with_name("records.other")).hardlink_to(folder / "records.lmdb")


def flipped_record(_: Installation, folder: Path) -> None:
    flip(folder / "records.lmdb", (folder / "records.lmdb").stat().st_size // 2)


def flipped_manifest(_: Installation, folder: Path) -> None:
    flip(folder / "manifest.json", (folder / "manifest.json").read_bytes().index(b'"payload":"') + 100)


def cut_short(_: Installation, folder: Path) -> None:
    replace(folder / "records.lmdb", (folder / "records.lmdb").read_bytes()[:-4096])


def missing_file(_: Installation, folder: Path) -> None:
    (folder / "records.lmdb").unlink()


def no_manifest(_: Installation, folder: Path) -> None:
    (folder / "manifest.json").unlink()


def expired(site: Installation, folder: Path) -> None:
    amcs = [{**amc, "extracted_at": "2024-01-30T03:00:00Z"} for amc in payload(folder)["amcs"]]
    rewrite(site, folder, created_at="2024-02-01T03:00:00Z", valid_until="2024-02-08T03:00:00Z", amcs=amcs)


def from_the_future(site: Installation, folder: Path) -> None:
    rewrite(site, folder, created_at="2100-02-01T03:00:00Z", valid_until="2100-02-08T03:00:00Z")


def far_ahead(site: Installation, folder: Path) -> None:
    rewrite(site, folder, sequence=2**53 - 1)


def same_number_other_people(site: Installation, folder: Path) -> None:
    rewrite(site, folder, sequence=1)


def vanished_amc(site: Installation, folder: Path) -> None:
    rewrite(site, folder, amcs=payload(folder)["amcs"][1:])


def unknown_pepper(site: Installation, _: Path) -> None:
    """The node was given another pepper than the builder has."""
    change_pepper(site, kid="another")


def wrong_secret(site: Installation, _: Path) -> None:
    """Right name, wrong secret: nothing but the probe could tell, and everybody would be unknown."""
    change_pepper(site, k="A" * 43)


def change_pepper(site: Installation, **changes: str) -> None:
    path = site.home / "keys" / "pepper.jwk"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({"keys": [{**key, **changes} for key in document["keys"]]}))


REFUSALS: dict[str, tuple[Bend, str, str]] = {
    "unsigned": (unsigned, "2 signatures and threshold", "no signature"),
    "signed by one": (half, "2 signatures and threshold", "1 of them (signer-1)"),
    "twice by one": (twice_by_one, "2 signatures and threshold", "counts once"),
    "byte in the records": (flipped_record, "7 file list, sizes, SHA-256", "altered"),
    "byte in the manifest": (flipped_manifest, "2 signatures and threshold", ""),
    "cut short": (cut_short, "7 file list, sizes, SHA-256", "cut short"),
    "missing file": (missing_file, "7 file list, sizes, SHA-256", "none"),
    "no manifest": (no_manifest, "7 file list, sizes, SHA-256", "none"),
    "extra file": (extra_file, "7 file list, sizes, SHA-256", "readme.txt"),
    "symbolic link": (symbolic_link, "7 file list, sizes, SHA-256", "link"),
    "hard link": (hard_link, "7 file list, sizes, SHA-256", "hard link"),
    "expired": (expired, "4 dates", "expired"),
    "from the future": (from_the_future, "4 dates", "2100"),
    "far ahead": (far_ahead, "5 sequence against the floor", "ahead"),
    "two under one number": (same_number_other_people, "5 sequence against the floor", "two snapshots"),
    "unknown pepper": (unknown_pepper, "8 pepper and probe", "not held here"),
    "wrong secret": (wrong_secret, "8 pepper and probe", ""),
    "vanished AMC": (vanished_amc, "9 guard", "an AMC may not vanish"),
}


def test_every_bad_snapshot_is_refused_by_its_step_and_the_good_one_serves_on(
    served: Installation, next_night: Path, capsys: pytest.CaptureFixture[str]
):
    before = served.ask(served.example("open")).json()["answer"]
    own = {path: path.read_bytes() for path in (served.home / "keys" / "pepper.jwk", served.home / "trust.json")}
    for name, (bend, step, found) in REFUSALS.items():
        folder = Path(shutil.copytree(next_night, served.home.with_name("candidate")))
        bend(served, folder)
        capsys.readouterr()
        # The command itself, without the start of a process for each.
        assert _run(["snapshot", "load", str(folder), "--home", str(served.home)]) == 1, name
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1, (name, said)
        assert step in said, (name, said)
        assert found in said, (name, said)
        for verdict in (
            served.home.with_name("candidate.verdict.json"),
            served.home / "snapshots" / "last-load.verdict.json",
        ):
            told = json.loads(verdict.read_text())
            assert (told["accepted"], told["step"]) == (False, step), name
        assert served.ask(served.example("open")).json()["answer"]["source"]["snapshot"] == 1, name
        for path, data in own.items():
            path.write_bytes(data)
        shutil.rmtree(folder)
        for left in served.home.parent.glob("records.*"):
            left.unlink()
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
