from __future__ import annotations

import datetime as dt
import json
import os
import random
import stat
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.base64url import sha256_b64u
from service.errors import BuildError
from service.identifiers import amc_identity, nir_identity
from service.jws import unverified_payload
from service.rights.model import Absence
from service.rights.table import HISTORY_KEPT_DAYS
from service.snapshot import build, intake
from service.snapshot.build import BuildPlan, build_snapshot
from service.snapshot.manifest import parse_manifest
from service.snapshot.records import Layer
from service.snapshot.seal import LayerKey
from tests.unit.snapshot.made_rows import NIR, NOW, PEPPER, csv_text, ndjson, nir_of, plan, row

SALT = bytes(range(16))
OTHER_AMC = "0012345678"
PEOPLE = [
    row(
        nir=nir_of(number),
        birth_rank=1 + number % 3,
        member=f"M{number // 2}",
        amc=("0775671993", OTHER_AMC)[number % 2],
        payer_rank=rank,
        closed_on=None if number % 5 else "2024-01-15",
    )
    for number in range(400)
    for rank in (1, 2)[: 1 + (number % 4 == 0)]
]


def layer_of(built_plan: BuildPlan) -> Layer:
    manifest = parse_manifest(unverified_payload((built_plan.out / "manifest.json").read_bytes()))
    return Layer(built_plan.out / "records.lmdb", LayerKey(PEPPER, manifest.salt_bytes))


def entries_of(path: Path) -> dict[bytes, bytes]:
    with (
        lmdb.open(str(path), subdir=False, readonly=True, lock=False, lib_version=0) as environment,
        environment.begin() as transaction,
    ):
        return dict(transaction.cursor())


def left_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} - {"rows.ndjson", "policy.toml", "canaries.csv"}


def test_everybody_is_found_under_both_identities(tmp_path: Path):
    built_plan = plan(tmp_path, ndjson(PEOPLE))
    built = build_snapshot(built_plan, NOW)
    layer = layer_of(built_plan)
    for value in PEOPLE:
        own = [other for other in PEOPLE if (other["nir"], other["birth_rank"]) == (value["nir"], value["birth_rank"])]
        by_nir = layer.find(nir_identity(value["nir"], value["birth_date"], value["birth_rank"]))
        by_member = layer.find(amc_identity(value["amc"], value["member"], value["birth_date"], value["birth_rank"]))
        assert not isinstance(by_nir, Absence)
        assert not isinstance(by_member, Absence)
        assert sorted(contract.payer_rank for contract in by_nir) == sorted(other["payer_rank"] for other in own)
        assert {(contract.amc, contract.member) for contract in by_member} == {(value["amc"], value["member"])}
        assert all(contract in by_member for contract in by_nir)
    assert layer.find(nir_identity(nir_of(0), "1985-05-12", 9)) is Absence.NO_RECORD
    assert layer.entries == built.manifest.counts.entries
    layer.close()


def test_a_persons_entry_holds_all_insurers_and_a_members_only_its_own(tmp_path: Path):
    rows = [row(), row(amc=OTHER_AMC, payer_rank=2), row(member="OTHER", payer_rank=3), row(birth_rank=2)]
    built_plan = plan(tmp_path, ndjson(rows))
    build_snapshot(built_plan, NOW)
    layer = layer_of(built_plan)
    found = layer.find(nir_identity(NIR[:13], "1985-05-12", 1))
    assert not isinstance(found, Absence)
    assert sorted(contract.payer_rank for contract in found) == [1, 2, 3]
    own = layer.find(amc_identity("0775671993", "M0012345", "1985-05-12", 1))
    assert not isinstance(own, Absence)
    assert [contract.payer_rank for contract in own] == [1]
    layer.close()


def test_the_manifest_tells_what_was_built_and_is_not_signed(tmp_path: Path):
    rows = [
        row(),
        row(),
        row(amc=OTHER_AMC, payer_rank=2, suspended=[["2024-01-01", None]]),
        row(nir=nir_of(1), closed_on="2024-01-10"),
        row(nir=nir_of(2), valid_to="2023-11-28"),
        row(nir=nir_of(3), valid_to="2023-11-29"),
        row(nir=nir_of(4), closed_on="2023-11-28"),
        row(nir="2555555123030"),
        row(nir=nir_of(5), valid_from="2024-02-01"),
    ]
    built_plan = plan(tmp_path, ndjson(rows), sequence=7, valid_for_days=3)
    built = build_snapshot(built_plan, NOW)
    document = (built_plan.out / "manifest.json").read_bytes()
    manifest = parse_manifest(unverified_payload(document))
    data = (built_plan.out / "records.lmdb").read_bytes()
    assert manifest == built.manifest
    assert json.loads(document)["signatures"] == []
    assert (manifest.sequence, manifest.kind, manifest.base, manifest.pepper_kid) == (7, "base", None, "pepper-1")
    assert (manifest.created_at, manifest.valid_until) == (NOW, NOW + dt.timedelta(days=3))
    assert [(entry.name, entry.size, entry.sha256) for entry in manifest.files] == [
        ("records.lmdb", len(data), sha256_b64u(data))
    ]
    counts = manifest.counts
    assert (counts.entries, counts.people, counts.contracts) == (
        len(entries_of(built_plan.out / "records.lmdb")) - 1,
        4,
        5,
    )
    assert (counts.rejected, counts.dropped, built.rows) == (0, 3, 9)
    other, main = manifest.amcs
    assert (main.people, main.contracts, main.open, main.closed, main.suspended) == (4, 4, 1, 2, 0)
    assert (other.people, other.contracts, other.open, other.closed, other.suspended) == (1, 1, 0, 0, 1)
    assert other.stand_in.max_age_days == 10


def test_files_are_read_only_and_nothing_else_remains(tmp_path: Path):
    built = build_snapshot(plan(tmp_path, ndjson(PEOPLE)), NOW)
    assert built.rejects is None
    assert left_in(tmp_path) == {"snapshot"}
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (tmp_path / "snapshot").iterdir()}
    assert modes == {"manifest.json": 0o444, "records.lmdb": 0o444}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_makes_no_difference_under_one_salt(tmp_path_factory: Any, chance: random.Random):
    folders = [tmp_path_factory.mktemp("order") for _ in range(2)]
    shuffled = PEOPLE[:]
    chance.shuffle(shuffled)
    for folder, rows in zip(folders, (PEOPLE, shuffled), strict=True):
        build._build(plan(folder, ndjson(rows)), NOW, SALT, build.quiet)
    one, other = (entries_of(folder / "snapshot" / "records.lmdb") for folder in folders)
    assert one == other


def test_each_build_has_a_salt_of_its_own_and_shares_no_sealed_value(tmp_path: Path):
    first = build_snapshot(plan(tmp_path, ndjson(PEOPLE)), NOW)
    second_plan = plan(tmp_path, ndjson(PEOPLE), out=tmp_path / "second")
    second = build_snapshot(second_plan, NOW)
    assert first.manifest.salt != second.manifest.salt
    one, other = (entries_of(tmp_path / name / "records.lmdb") for name in ("snapshot", "second"))
    assert not set(one).intersection(other)
    assert not set(one.values()).intersection(other.values())


def test_no_identity_is_readable_in_the_snapshot(tmp_path: Path):
    built_plan = plan(tmp_path, ndjson([row()]))
    build_snapshot(built_plan, NOW)
    data = b"".join(entry.read_bytes() for entry in built_plan.out.iterdir())
    assert not any(text in data for text in (b"1850575116001", b"M0012345", b"1985-05-12", PEPPER))


def test_member_entries_can_be_left_out(tmp_path: Path):
    built_plan = plan(tmp_path, ndjson([row()]), member_entries=False)
    assert build_snapshot(built_plan, NOW).manifest.counts.entries == 1
    layer = layer_of(built_plan)
    assert layer.find(amc_identity("0775671993", "M0012345", "1985-05-12", 1)) is Absence.NO_RECORD
    layer.close()


def test_canaries_are_planted_and_flagged_inside_the_seal(tmp_path: Path):
    canaries = tmp_path / "canaries.csv"
    canaries.write_text(csv_text([row(nir=nir_of(999), member="CANARY")]), "utf-8")
    built_plan = plan(tmp_path, ndjson([row()]), canaries=canaries)
    assert build_snapshot(built_plan, NOW).manifest.counts.people == 2
    layer = layer_of(built_plan)
    for identity in (nir_identity(nir_of(999), "1985-05-12", 1), amc_identity("0775671993", "CANARY", "1985-05-12", 1)):
        entry = layer.lookup(identity)
        assert not isinstance(entry, Absence)
        assert entry.canary
    ordinary = layer.lookup(nir_identity(NIR[:13], "1985-05-12", 1))
    assert not isinstance(ordinary, Absence)
    assert not ordinary.canary
    layer.close()


def test_a_bad_canary_stops_the_build(tmp_path: Path):
    canaries = tmp_path / "canaries.csv"
    canaries.write_text(csv_text([row(nir="x")]), "utf-8")
    with pytest.raises(BuildError, match="canaries, line 2: nir: malformed"):
        build_snapshot(plan(tmp_path, ndjson([row()]), canaries=canaries), NOW)
    assert left_in(tmp_path) == set()


def test_few_rejects_are_listed_beside_the_snapshot_without_content(tmp_path: Path):
    rows = [*PEOPLE, row(nir="SECRET-CONTENT")]
    built = build_snapshot(plan(tmp_path, ndjson(rows), max_reject_share=0.01), NOW)
    assert built.rejects == tmp_path / "snapshot.rejects.ndjson"
    assert built.manifest.counts.rejected == 1
    assert [json.loads(line) for line in built.rejects.read_text().splitlines()] == [
        {"source": "rows.ndjson", "line": len(rows), "column": "nir", "code": "malformed"}
    ]
    assert left_in(tmp_path) == {"snapshot", "snapshot.rejects.ndjson"}


def test_too_many_rejects_abort_with_a_summary_and_leave_nothing(tmp_path: Path):
    rows = [*PEOPLE, row(nir="SECRET-CONTENT"), row(nir="SECRET-CONTENT"), row(birth_date=None)]
    with pytest.raises(BuildError) as caught:
        build_snapshot(plan(tmp_path, ndjson(rows)), NOW)
    assert str(caught.value) == (
        "3 of 503 rows are bad, more than 0.100%: "
        "nir malformed: 2 (first at rows.ndjson:501, rows.ndjson:502); birth_date missing: 1 (first at rows.ndjson:503)"
    )
    assert left_in(tmp_path) == set()


def test_the_share_of_rejects_is_inclusive(tmp_path: Path):
    rows = [row(nir=nir_of(number)) for number in range(999)] + [row(nir="x")]
    assert build_snapshot(plan(tmp_path, ndjson(rows)), NOW).manifest.counts.rejected == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence": 0}, "sequence"),
        ({"sequence": 2**53}, "sequence"),
        ({"valid_for_days": 0}, "1 to 45 days"),
        ({"valid_for_days": 46}, "1 to 45 days"),
        ({"max_reject_share": float("nan")}, "between 0 and 1"),
        ({"max_reject_share": -0.1}, "between 0 and 1"),
        ({"sources": ()}, "no source"),
        ({"sources": (Path("/nonexistent/rows"),)}, "cannot be read"),
        ({"policy": Path("/nonexistent/policy")}, "does not exist"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(BuildError, match=message):
        build_snapshot(plan(tmp_path, ndjson([row()]), **changes), NOW)
    assert left_in(tmp_path) == set()


def test_a_row_of_an_amc_without_policy_stops_the_build(tmp_path: Path):
    with pytest.raises(BuildError, match=r"rows.ndjson, line 2: AMC 0099999999 is not in the policy file"):
        build_snapshot(plan(tmp_path, ndjson([row(), row(amc="99999999")])), NOW)
    assert left_in(tmp_path) == set()


def test_an_extract_of_tomorrow_is_refused(tmp_path: Path):
    with pytest.raises(BuildError, match="AMC 0775671993 lies in the future"):
        build_snapshot(plan(tmp_path, ndjson([row()])), NOW - dt.timedelta(hours=10))


@pytest.mark.parametrize("rows", [[], [row(nir="2555555123030")]])
def test_an_empty_snapshot_is_never_built(tmp_path: Path, rows: list[dict[str, Any]]):
    with pytest.raises(BuildError, match="no contract to keep"):
        build_snapshot(plan(tmp_path, ndjson(rows)), NOW)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("kind", ["directory", "file", "dangling link"])
def test_what_exists_is_never_built_over(tmp_path: Path, kind: str):
    out = tmp_path / "snapshot"
    if kind == "directory":
        out.mkdir()
    elif kind == "file":
        out.touch()
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BuildError, match="exists"):
        build_snapshot(plan(tmp_path, ndjson([row()])), NOW)
    assert left_in(tmp_path) == {"snapshot"}


@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize("step", ["fsync", "rename", "pwrite", "pread"])
def test_a_disk_that_fails_at_any_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, delta: bool
):
    changes: dict[str, Any] = {"max_reject_share": 0.01}
    if delta:
        build_snapshot(plan(tmp_path, ndjson(PEOPLE[:300]), out=tmp_path / "base"), NOW)
        changes |= {"base": tmp_path / "base", "sequence": 2}
    built_plan = plan(tmp_path, ndjson([*PEOPLE, row(nir="x")]), **changes)
    # Records are set aside and read back in hundreds of blocks: not every one of them is tried.
    for number in range(1, 1000, 1 if step in ("fsync", "rename") else 67):
        calls = 0

        def failing(*given: Any, real: Any, last: int = number, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == last:
                raise OSError(28, "No space left on device")
            return real(*given, **named)

        with monkeypatch.context() as patch:
            real = getattr(os, step)
            patch.setattr(os, step, lambda *given, _real=real, **named: failing(*given, real=_real, **named))
            try:
                build_snapshot(built_plan, NOW)
            except (OSError, BuildError):  # the latter says of the base that it could not be read
                # The last fsync makes the name itself durable: the snapshot is whole, only not promised.
                left = left_in(tmp_path) - {"base"}
                assert left in (set(), {"snapshot", "snapshot.rejects.ndjson"})
                if "snapshot" in left:
                    return
                continue
        assert calls < number
        return
    pytest.fail("the build never succeeded")


def test_progress_reaches_its_end(tmp_path: Path):
    seen: list[tuple[str, int, int]] = []
    build_snapshot(plan(tmp_path, ndjson(PEOPLE * 25)), NOW, lambda *report: seen.append(report))
    size = (tmp_path / "rows.ndjson").stat().st_size
    assert ("read", size, size) in seen
    assert any(stage == "read" and 0 < done < size for stage, done, _ in seen)
    assert seen[-1][0] == "seal"
    assert seen[-1][1] == seen[-1][2]
    assert all(done <= total for _, done, total in seen)


def test_the_representation_of_a_plan_shows_no_pepper(tmp_path: Path):
    assert "pepper" not in repr(plan(tmp_path, b""))


def test_the_decision_knows_how_long_ended_contracts_are_kept():
    """Were fewer days kept than the decision believes, somebody whose contract was dropped would be told a wrong no."""
    assert intake.KEPT_DAYS == HISTORY_KEPT_DAYS
