"""Deltas: what they lie over is looked at as closely as they are."""

from __future__ import annotations

import datetime as dt
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from service.base64url import b64u, sha256_b64u
from service.errors import SnapshotRefused
from service.rights.model import Absence, Contract
from service.snapshot.contents import check_digests
from service.snapshot.folder import Folder
from service.snapshot.manifest import BaseRef, FileEntry
from service.snapshot.records import Layer, Layered
from service.snapshot.signing import read_draft
from service.snapshot.steps import Step
from service.snapshot.verify import Examination, Ordered
from tests.unit.snapshot.layer_maker import People
from tests.unit.snapshot.snapshot_maker import (
    ALICE,
    BOB,
    CAROL,
    IDENTITY,
    NOW,
    PEPPER_KID,
    SALT,
    SnapshotMaker,
    amc_entry,
    conditions,
    contract,
    floor,
)

OTHER = "nir|2850575116001|1985-05-12|1"
CHANGED: People = {IDENTITY: (contract(member="M9"),), OTHER: (contract(),)}


@pytest.fixture
def maker(tmp_path: Path) -> SnapshotMaker:
    return SnapshotMaker(tmp_path)


@pytest.fixture
def base(maker: SnapshotMaker) -> Path:
    return maker.make("5")


def held(maker: SnapshotMaker, **changes: Any) -> Examination:
    """An examination where what is held lies beside the candidate, a folder a sequence."""
    return Examination(conditions(bases=lambda sequence: maker.root / str(sequence), **changes))


def refusal(maker: SnapshotMaker, delta: Path, **changes: Any) -> SnapshotRefused:
    examination = held(maker, **changes)
    with pytest.raises(SnapshotRefused) as caught:
        examination.run(delta)
    return caught.value


def found(maker: SnapshotMaker, delta: Path) -> dict[str, tuple[Contract, ...] | Absence]:
    _, records = held(maker).open(delta)
    answers = {identity: records.find(identity) for identity in (IDENTITY, OTHER)}
    records.close()
    return answers


def test_a_delta_is_opened_over_its_base(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED)
    assert found(maker, delta) == CHANGED
    examination = held(maker)
    manifest, records = examination.open(delta)
    assert (manifest.sequence, manifest.kind, type(records)) == (6, "delta", Layered)
    assert set(examination.files) == set(examination.base_files) == {"records.lmdb"}
    records.close()


def test_an_empty_delta_is_its_base_under_other_dates(maker: SnapshotMaker, base: Path):
    later = NOW + dt.timedelta(days=20)
    delta = maker.make_delta(base, {}, valid_until=later)
    manifest, records = held(maker).open(delta)
    assert (manifest.sequence, manifest.valid_until, type(records)) == (6, later, Layer)
    assert records.find(IDENTITY) == (contract(),)
    records.close()
    assert [path.name for path in delta.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("days", [8, 20])
def test_a_base_that_has_expired_serves_under_a_delta_that_has_not(maker: SnapshotMaker, base: Path, days: int):
    now = NOW + dt.timedelta(days=days)
    dates = {"created_at": now, "valid_until": now + dt.timedelta(days=7)}
    for name, people in (("changed", CHANGED), ("empty", {})):
        assert held(maker, now=now).run(maker.make_delta(base, people, name, **dates)).sequence == 6


def test_a_base_below_the_floor_passes_with_its_delta(maker: SnapshotMaker, base: Path):
    held(maker, floor=floor(sequence=6, digest=read_draft(maker.make_delta(base, {})).digest)).run(maker.root / "delta")


# 6: whose base it is


def test_a_missing_base_is_refused_with_what_to_do(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED)
    digest = read_draft(base).digest
    base.rename(maker.root / "elsewhere")
    error = refusal(maker, delta)
    assert (error.step, error.found) == (Step.BASE, "no snapshot 5")
    assert error.expected == f"base 5, digest {digest}, held here: relais snapshot hold its folder first"


def test_another_base_under_the_number_is_refused(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED)
    base.rename(maker.root / "elsewhere")
    maker.make("5", created_at=NOW - dt.timedelta(hours=2))
    error = refusal(maker, delta)
    assert error.step == Step.BASE
    assert error.expected.startswith("base 5: digest ")
    assert error.found.endswith("another snapshot")


def test_a_folder_that_holds_another_sequence_is_no_base(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED, base=BaseRef(4, read_draft(base).digest))
    base.rename(maker.root / "4")
    assert refusal(maker, delta).found.startswith("sequence 5 digest")


def test_a_delta_over_a_delta_is_refused(maker: SnapshotMaker, base: Path):
    first = maker.make_delta(base, CHANGED, "6")
    named = BaseRef(6, read_draft(first).digest)
    second = maker.make_delta(base, CHANGED, "second", sequence=7, base=named)
    error = refusal(maker, second)
    assert (error.step, error.found) == (Step.BASE, "itself a delta over 5")


@pytest.mark.parametrize("sequence", [4, 5])
def test_a_base_that_is_not_older_than_its_delta_is_refused(maker: SnapshotMaker, base: Path, sequence: int):
    error = refusal(maker, maker.make_delta(base, CHANGED, sequence=sequence))
    assert (error.step, error.found) == (Step.BASE, "5")


def test_a_delta_under_its_bases_salt_is_refused(maker: SnapshotMaker, base: Path):
    error = refusal(maker, maker.make_delta(base, CHANGED, salt=b64u(SALT)))
    assert (error.step, error.found) == (Step.BASE, "the same")


def test_a_base_signed_by_too_few_of_today_is_refused(maker: SnapshotMaker):
    maker.signers = [ALICE]
    base = maker.make("5")
    maker.signers = [BOB, CAROL]
    error = refusal(maker, maker.make_delta(base, CHANGED))
    assert (error.step, error.expected) == (Step.BASE, "base 5: 2 of alice, bob, carol")
    assert error.found == "1 of them (alice)"


@pytest.mark.parametrize("people", [CHANGED, {}], ids=["changed", "empty"])
@pytest.mark.parametrize("place", [0, 5000, -1])
def test_a_damaged_base_is_refused(maker: SnapshotMaker, base: Path, people: People, place: int):
    delta = maker.make_delta(base, people)
    path = base / "records.lmdb"
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    error = refusal(maker, delta)
    assert (error.step, error.found.endswith("altered")) == (Step.BASE, True)
    assert error.expected.startswith("base 5: records.lmdb of SHA-256 ")


@pytest.mark.parametrize("kept", [0, 4096, -1])
def test_a_base_cut_short_is_refused_before_it_is_opened(
    maker: SnapshotMaker, base: Path, monkeypatch: pytest.MonkeyPatch, kept: int
):
    monkeypatch.setattr("service.snapshot.verify.Layer", lambda *_: pytest.fail("opened"))
    delta = maker.make_delta(base, CHANGED)
    path = base / "records.lmdb"
    os.truncate(path, kept % path.stat().st_size)
    error = refusal(maker, delta)
    assert (error.step, error.found.endswith("cut short")) == (Step.BASE, True)


def test_a_foreign_file_in_the_bases_folder_and_a_link_are_refused(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED)
    (base / "more").touch()
    assert (refusal(maker, delta).step, refusal(maker, delta).found) == (Step.BASE, "more")
    (base / "more").unlink()
    (base / "records.lmdb").rename(maker.root / "aside")
    (base / "records.lmdb").symlink_to(maker.root / "aside")
    assert refusal(maker, delta).step == Step.BASE


def test_where_base_and_delta_are_both_damaged_the_base_is_named(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED)
    for folder in (base, delta):
        (folder / "records.lmdb").chmod(0o644)
        with (folder / "records.lmdb").open("r+b") as file:
            file.seek(5000)
            file.write(b"damaged")
    assert refusal(maker, delta).step == Step.BASE


# 7: a delta's own files


def test_a_damaged_delta_is_refused(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED)
    os.truncate(delta / "records.lmdb", 4096)
    assert (refusal(maker, delta).step, refusal(maker, delta).found) == (Step.FILES, "4096 bytes: cut short")


def test_a_data_file_in_an_empty_delta_is_refused(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, {})
    (delta / "records.lmdb").write_bytes((base / "records.lmdb").read_bytes())
    assert (refusal(maker, delta).step, refusal(maker, delta).found) == (Step.FILES, "records.lmdb")


def test_a_delta_of_other_files_is_refused(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED, files=(FileEntry("other.lmdb", 1, sha256_b64u(b"")),))
    assert (refusal(maker, delta).step, refusal(maker, delta).found) == (Step.FILES, "other.lmdb")


def test_the_data_of_the_base_does_not_pass_as_the_deltas(maker: SnapshotMaker, base: Path):
    """Honestly signed with the base's file under the delta's salt: the probe tells."""
    manifest = read_draft(base).manifest
    delta = maker.make_delta(base, CHANGED, files=manifest.files, counts=manifest.counts)
    (delta / "records.lmdb").unlink()
    (delta / "records.lmdb").write_bytes((base / "records.lmdb").read_bytes())
    assert refusal(maker, delta).step == Step.PEPPER


# 8: peppers


def test_base_and_delta_may_be_sealed_under_different_peppers(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, {}, pepper_kid="pepper-2025")
    assert held(maker).run(delta).sequence == 6  # an empty delta seals nothing
    error = refusal(maker, delta, peppers={"pepper-2025": b"p" * 32})
    assert (error.step, error.found) == (Step.PEPPER, f"{PEPPER_KID}: not held here")


def test_a_wrong_pepper_of_either_layer_is_refused_and_nothing_stays_open(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED, pepper_kid="pepper-2025")
    for wrong in ({PEPPER_KID: b"q" * 32, "pepper-2025": b"p" * 32}, {PEPPER_KID: b"p" * 32, "pepper-2025": b"q" * 32}):
        assert refusal(maker, delta, peppers=wrong).step == Step.PEPPER
    both = {PEPPER_KID: b"p" * 32, "pepper-2025": b"p" * 32}
    assert held(maker, peppers=both).run(delta).sequence == 6


# 9 and orders


def test_the_guard_judges_the_whole_and_not_the_layer(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED, amcs=(amc_entry(people=5_000, contracts=5_000, open=4_500),))
    assert refusal(maker, delta, floor=floor(sequence=5)).step == Step.GUARD


def test_an_ordered_delta_opens_after_its_end(maker: SnapshotMaker, base: Path):
    delta = maker.make_delta(base, CHANGED)
    ordered = Ordered(6, read_draft(delta).digest)
    late = NOW + dt.timedelta(days=60)
    assert held(maker, now=late, ordered=ordered).run(delta).sequence == 6
    assert refusal(maker, delta, now=late).step == Step.DATES


def test_base_and_delta_are_hashed_at_the_same_time(maker: SnapshotMaker, base: Path, monkeypatch: pytest.MonkeyPatch):
    delta = maker.make_delta(base, CHANGED)
    both = threading.Barrier(2, timeout=30)

    def meet(*arguments: Any) -> Any:
        both.wait()
        return check_digests(*arguments)

    for module in ("base", "verify"):
        monkeypatch.setattr(f"service.snapshot.{module}.check_digests", meet)
    seen: list[tuple[int, int]] = []
    held(maker).run(delta, lambda done, total: seen.append((done, total)))
    sizes = sum((folder / "records.lmdb").stat().st_size for folder in (base, delta))
    assert seen[-1] == (sizes, sizes)
    assert sorted(seen) == seen


def test_a_folder_is_looked_at_while_nobody_writes_it(maker: SnapshotMaker, base: Path):
    """A file that changes while it is hashed has no digest."""
    path = base / "records.lmdb"
    path.chmod(0o644)

    def touch(_done: int, _total: int) -> None:
        os.utime(path, ns=(1, 1))

    with Folder(base) as folder, pytest.raises(SnapshotRefused, match="it was changed"):
        folder.digest("records.lmdb", path.stat().st_size, touch)
