"""What a load leaves in writing: which step, what was expected, what was found, and nobody else's words."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from service.base64url import b64u, sha256_b64u
from service.errors import Conflict, DepotUnavailable, SnapshotRefused
from service.jws import sign_general
from service.snapshot.catalog import Catalog
from service.snapshot.manifest import MANIFEST_TYP, BaseRef
from service.snapshot.steps import Step
from service.snapshot.verdict import (
    Verdict,
    early_verdict,
    load_verdict,
    verdict_of,
    verdict_path,
    write_verdict,
)
from service.snapshot.verify import Examination
from tests.unit.snapshot.snapshot_maker import ALICE, NOW, STRANGER, SnapshotMaker, amc_entry, conditions, floor

MEMBERS = Verdict.__struct_fields__
#: What a stranger would like to see in our files, logs and terminals.
PLANTED = "1850575116001 Dupont"


@pytest.fixture
def maker(tmp_path: Path) -> SnapshotMaker:
    return SnapshotMaker(tmp_path)


def told(source: Path, **changes: Any) -> dict[str, Any]:
    """The verdict beside a source whose load is refused; the home's is the same."""
    catalog = Catalog(source.parent / "home" / "snapshots")
    with pytest.raises(SnapshotRefused) as caught:
        catalog.take(source, conditions(**{"floor": floor(), **changes}))
    said: dict[str, Any] = json.loads(verdict_path(source).read_bytes())
    assert said == json.loads((catalog.root / "last-load.verdict.json").read_bytes())
    assert (said["step"], said["expected"], said["found"]) == (
        caught.value.step,
        caught.value.expected,
        caught.value.found,
    )
    return said


def crowd(folder: Path) -> None:
    with (folder / PLANTED).open("wb") as file:
        file.truncate(2**37)


def forge(folder: Path) -> None:
    """A manifest that nobody of ours signed, full of somebody else's words."""
    payload = orjson.dumps({"format": PLANTED, "amcs": [PLANTED]})
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_bytes(sign_general(payload, MANIFEST_TYP, [STRANGER]))


def garble(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_bytes(orjson.dumps({"payload": PLANTED, PLANTED: PLANTED}))


def head(folder: Path) -> None:
    """A protected header of a stranger's making."""
    entry = {"protected": b64u(orjson.dumps({"alg": PLANTED, "kid": PLANTED, "typ": PLANTED})), "signature": "AA"}
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_bytes(orjson.dumps({"payload": "AA", "signatures": [entry]}))


def far_too_long(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(2**21)


@pytest.mark.parametrize(
    ("bend", "step"),
    [
        (crowd, Step.SIZE),
        (far_too_long, Step.SIZE),
        (forge, Step.SIGNATURES),
        (garble, Step.SIGNATURES),
        (head, Step.SIGNATURES),
    ],
)
def test_before_the_signatures_hold_nothing_of_a_stranger_is_repeated(
    maker: SnapshotMaker, bend: Callable[[Path], None], step: Step
):
    source = maker.make()
    (source / "manifest.json").chmod(0o644)
    bend(source)
    said = told(source)
    assert said["step"] == step
    text = verdict_path(source).read_text("utf-8")
    assert not any(word in text for word in (*PLANTED.split(), b64u(PLANTED.encode())[:16]))
    assert (said["sequence"], said["digest"], said["signers"], said["counts"]) == (None, None, [], None)


def cut(folder: Path) -> None:
    (folder / "records.lmdb").chmod(0o644)
    os.truncate(folder / "records.lmdb", 100)


REFUSED: dict[Step, tuple[dict[str, Any], dict[str, Any], Callable[[Path], None] | None]] = {
    Step.FOLDER: ({}, {}, lambda folder: folder.rename(folder.with_name("away"))),
    Step.SIZE: ({}, {}, crowd),
    Step.SIGNATURES: ({}, {}, forge),
    Step.FORMAT: ({"amcs": ()}, {}, None),
    Step.DATES: ({"valid_until": NOW}, {}, None),
    Step.SEQUENCE: ({"sequence": 3}, {}, None),
    Step.BASE: ({"kind": "delta", "base": BaseRef(4, sha256_b64u(b"no such base"))}, {}, None),
    Step.FILES: ({}, {}, cut),
    Step.PEPPER: ({}, {"peppers": {"another": b"p" * 32}}, None),
    Step.GUARD: ({"amcs": (amc_entry(people=0, contracts=0, open=0, closed=0, suspended=0),)}, {}, None),
}


@pytest.mark.parametrize("step", Step)
def test_each_refusal_is_written_with_step_expected_and_found(maker: SnapshotMaker, step: Step):
    manifest, judged_by, bend = REFUSED[step]
    source = maker.make(**manifest)
    if bend is not None:
        bend(source)
    said = told(source, **judged_by)
    assert tuple(said) == MEMBERS
    assert (said["accepted"], said["dry_run"], said["unchanged"]) == (False, False, False)
    assert said["step"] == step
    assert said["expected"]
    assert said["found"]
    established = step not in (Step.FOLDER, Step.SIZE, Step.SIGNATURES, Step.FORMAT)
    assert (said["sequence"] is not None, said["digest"] is not None) == (established, established)
    assert said["signers"] == (["alice", "bob"] if established else [])
    assert bool(said["findings"]) == (step == Step.GUARD)


def test_a_reason_to_accept_is_written_only_where_it_let_something_pass(maker: SnapshotMaker):
    catalog = Catalog(maker.root / "home")
    good, fewer = maker.make(), maker.make("fewer", sequence=6, amcs=(amc_entry(people=5_000),))
    catalog.take(good, conditions(floor=floor(), accept="the AMC wrote to us"))
    assert json.loads(verdict_path(good).read_bytes())["accept"] is None
    catalog.take(fewer, conditions(floor=floor(), accept="the AMC wrote to us"))
    said = json.loads(verdict_path(fewer).read_bytes())
    assert (said["accepted"], said["accept"]) == (True, "the AMC wrote to us")
    assert [finding["rule"] for finding in said["findings"]] == ["people may not change by more than 10 %"]


def test_what_fails_outside_the_steps_is_told_by_its_code(maker: SnapshotMaker):
    examination = Examination(conditions())
    examination.run(maker.make())
    pinned = verdict_of(examination, Conflict("snapshot 1 is pinned by order 7: unpin first"))
    assert (pinned.accepted, pinned.sequence, pinned.step) == (False, 5, "conflict")
    assert (pinned.expected, pinned.found) == (None, "snapshot 1 is pinned by order 7: unpin first")
    early = early_verdict(NOW, DepotUnavailable("it does not answer"))
    assert (early.at, early.step, early.found, early.sequence) == (NOW, "depot_unavailable", "it does not answer", None)


def test_a_verdict_is_read_as_it_was_written_and_an_older_one_too(tmp_path: Path):
    path, written = tmp_path / "x.verdict.json", early_verdict(NOW, SnapshotRefused(Step.FILES, "a file", "none"))
    write_verdict(path, msgspec.structs.replace(written, changed_at=NOW - dt.timedelta(days=1)))
    assert load_verdict(path) == msgspec.structs.replace(written, changed_at=NOW - dt.timedelta(days=1))
    older = {name: value for name, value in json.loads(path.read_bytes()).items() if name not in MEMBERS[-2:]}
    path.write_bytes(orjson.dumps(older))
    assert load_verdict(path) == written
    path.write_bytes(b"{")
    assert load_verdict(path) is None
    assert load_verdict(tmp_path / "nowhere") is None


def test_the_signers_of_a_stranger_s_manifest_are_not_ours(maker: SnapshotMaker):
    maker.signers = [STRANGER, ALICE]
    said = told(maker.make())
    assert (said["signers"], said["found"]) == ([], "1 of them (alice), 1 by keys the trust file does not know")
