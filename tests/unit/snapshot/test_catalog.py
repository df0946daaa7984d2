"""Loads that are attacked, interrupted or repeated: what was held stays, what comes in is whole."""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.errors import OperatorError, SnapshotRefused
from service.snapshot import stage as stage_module
from service.snapshot.catalog import LAST_LOAD, Catalog, State
from service.snapshot.life import Standing
from service.snapshot.opened import open_snapshot
from service.snapshot.seen import Seen
from service.snapshot.signing import read_draft
from service.snapshot.steps import Step
from service.snapshot.turns import loading
from service.snapshot.verdict import verdict_path
from service.snapshot.verify import Examination, Ordered
from tests.unit.snapshot.snapshot_maker import (
    ALICE,
    IDENTITY,
    NOW,
    SnapshotMaker,
    amc_entry,
    conditions,
    floor,
    floor_left_by,
)


@pytest.fixture
def maker(tmp_path: Path) -> SnapshotMaker:
    return SnapshotMaker(tmp_path)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "home" / "snapshots")


def verdict(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def left_behind(catalog: Catalog) -> list[str]:
    return sorted(entry.name for entry in catalog.root.iterdir() if entry.is_dir())


def serves(catalog: Catalog, examination: Examination) -> bool:
    """Whether the held snapshot opens under its order and answers."""
    known = conditions()
    snapshot = open_snapshot(
        catalog.path(5), Ordered(5, examination.digest), trust=known.trust, peppers=known.peppers, now=NOW
    )
    found = snapshot.find(IDENTITY)
    snapshot.close()
    return isinstance(found, tuple)


def test_a_good_snapshot_is_copied_and_held_under_its_sequence(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    examination = catalog.take(source, conditions())
    assert catalog.sequences() == (5,)
    assert left_behind(catalog) == ["5"]
    assert serves(catalog, examination)
    assert [oct(file.stat().st_mode & 0o777) for file in catalog.path(5).iterdir()] == ["0o444", "0o444"]
    said = verdict(verdict_path(source))
    assert said["accepted"]
    assert said["first_load"]
    assert (said["sequence"], said["signers"], said["counts"]["people"]) == (5, ["alice", "bob"], 1)
    assert said == verdict(catalog.root / LAST_LOAD) == verdict(verdict_path(catalog.path(5)))


def test_what_is_served_is_the_copy_whatever_becomes_of_the_source(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    examination = catalog.take(source, conditions())
    (source / "records.lmdb").unlink()
    (source / "manifest.json").unlink()
    assert serves(catalog, examination)


def test_a_source_swapped_after_its_first_look_is_caught_in_the_copy(
    maker: SnapshotMaker, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
):
    source = maker.make()
    copy = stage_module._copy_files

    def swap_then_copy(*arguments: Any) -> None:
        path = source / "records.lmdb"
        path.chmod(0o644)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        copy(*arguments)

    monkeypatch.setattr(stage_module, "_copy_files", swap_then_copy)
    with pytest.raises(SnapshotRefused) as caught:
        catalog.take(source, conditions())
    assert caught.value.step == Step.FILES
    assert left_behind(catalog) == []


def test_a_refusal_names_its_step_in_the_verdict_and_leaves_what_was_held(maker: SnapshotMaker, catalog: Catalog):
    held = catalog.take(maker.make(), conditions())
    maker.signers = [ALICE]
    source = maker.make("forged", sequence=6)
    with pytest.raises(SnapshotRefused):
        catalog.take(source, conditions())
    said = verdict(verdict_path(source))
    assert not said["accepted"]
    assert (said["step"], said["expected"], said["found"]) == (
        Step.SIGNATURES,
        "2 of alice, bob, carol",
        "1 of them (alice)",
    )
    assert said["sequence"] is None
    assert said == verdict(catalog.root / LAST_LOAD)
    assert left_behind(catalog) == ["5"]
    assert serves(catalog, held)


def test_a_finding_of_the_guard_stands_in_the_verdict(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make(amcs=(amc_entry(people=0, contracts=0, open=0, closed=0, suspended=0),))
    with pytest.raises(SnapshotRefused):
        catalog.take(source, conditions(floor=floor()))
    said = verdict(verdict_path(source))
    assert said["step"] == Step.GUARD
    assert said["sequence"] == 5
    assert {finding["amc"] for finding in said["findings"]} == {"0775671993"}
    assert catalog.sequences() == ()


def test_an_accepted_finding_is_kept_with_its_reason(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make(amcs=(amc_entry(people=0, contracts=0, open=0, closed=0, suspended=0),))
    catalog.take(source, conditions(floor=floor(), accept="the AMC left"))
    said = verdict(verdict_path(source))
    assert said["accepted"]
    assert said["accept"] == "the AMC left"
    assert said["findings"]


def test_a_rehearsal_writes_nothing_at_all(maker: SnapshotMaker, catalog: Catalog):
    source, examination = maker.make(), Examination(conditions())
    catalog.rehearse(source, examination)
    assert examination.manifest is not None
    assert not catalog.root.exists()
    assert not verdict_path(source).exists()


def test_a_rehearsal_finds_what_a_load_would_refuse_at_any_step(maker: SnapshotMaker, catalog: Catalog):
    catalog.take(maker.make(), conditions())
    before = {path: path.read_bytes() for path in catalog.root.rglob("*") if path.is_file()}
    other = maker.make("other", created_at=NOW - dt.timedelta(hours=2))
    smaller = maker.make("smaller", sequence=6, amcs=(amc_entry(people=1),))
    cut = maker.make("cut", sequence=6)
    (cut / "records.lmdb").chmod(0o644)
    os.truncate(cut / "records.lmdb", 100)
    for source, step in ((other, Step.SEQUENCE), (smaller, Step.GUARD), (cut, Step.FILES)):
        with pytest.raises(SnapshotRefused) as caught:
            catalog.rehearse(source, Examination(conditions(floor=floor())))
        with pytest.raises(SnapshotRefused) as loaded:
            catalog.take(source, conditions(floor=floor()))
        assert (caught.value.step, caught.value.found) == (step, loaded.value.found)
        assert catalog.sequences() == (5,)
    (catalog.root / LAST_LOAD).write_bytes(before[catalog.root / LAST_LOAD])
    assert {path: path.read_bytes() for path in catalog.root.rglob("*") if path.is_file() and path.name != ".lock"} == {
        path: data for path, data in before.items() if path.name != ".lock"
    }


def test_a_rehearsal_says_that_there_is_no_room(
    maker: SnapshotMaker, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    source = maker.make()
    usage = type(shutil.disk_usage(tmp_path))(10**6, 10**6 - 100, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SnapshotRefused, match=r"room for a copy of \d+ bytes; found 100 bytes free") as caught:
        catalog.rehearse(source, Examination(conditions()))
    assert caught.value.step == Step.FOLDER


def test_a_rehearsal_replaces_no_damaged_copy(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    catalog.take(source, conditions())
    path = catalog.path(5) / "records.lmdb"
    path.chmod(0o644)
    os.truncate(path, 100)
    catalog.rehearse(source, Examination(conditions()))
    assert path.stat().st_size == 100
    assert left_behind(catalog) == ["5"]


def test_the_same_snapshot_again_is_no_change(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    first = catalog.take(source, conditions())
    inode = (catalog.path(5) / "records.lmdb").stat().st_ino
    assert first.manifest is not None
    again = catalog.take(source, conditions(floor=floor_left_by(first.manifest)))
    assert again.unchanged
    assert (catalog.path(5) / "records.lmdb").stat().st_ino == inode
    assert left_behind(catalog) == ["5"]


def test_a_verdict_tells_when_a_load_last_brought_something_new(maker: SnapshotMaker, catalog: Catalog):
    """Looked at is not changed: a job that loads the same folder every hour must not look like news."""
    source = maker.make()
    first = catalog.take(source, conditions())
    assert first.manifest is not None
    known, later = floor_left_by(first.manifest), NOW + dt.timedelta(hours=1)
    catalog.take(source, conditions(floor=known, now=later))
    said = verdict(catalog.root / LAST_LOAD)
    assert (said["accepted"], said["unchanged"]) == (True, True)
    assert (said["at"], said["changed_at"]) == ("2024-02-05T10:30:00Z", "2024-02-05T09:30:00Z")
    assert verdict(verdict_path(catalog.path(5)))["at"] == "2024-02-05T09:30:00Z"
    with pytest.raises(SnapshotRefused):
        catalog.take(maker.make("leap", sequence=5000), conditions(floor=known, now=later))
    assert verdict(catalog.root / LAST_LOAD)["changed_at"] == "2024-02-05T09:30:00Z"
    catalog.take(maker.make("next", sequence=6), conditions(floor=known, now=later))
    assert verdict(catalog.root / LAST_LOAD)["changed_at"] == "2024-02-05T10:30:00Z"


def test_another_snapshot_under_a_held_sequence_is_refused(maker: SnapshotMaker, catalog: Catalog):
    held = catalog.take(maker.make(), conditions())
    with pytest.raises(SnapshotRefused) as caught:
        catalog.take(maker.make("other", created_at=NOW - dt.timedelta(hours=2)), conditions())
    assert caught.value.step == Step.SEQUENCE
    assert held.digest in caught.value.expected
    assert serves(catalog, held)


def test_a_held_copy_that_rotted_is_replaced_by_a_good_one(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    examination = catalog.take(source, conditions())
    path = catalog.path(5) / "records.lmdb"
    path.chmod(0o644)
    os.truncate(path, 100)
    catalog.take(source, conditions())
    assert serves(catalog, examination)
    catalog.clean()
    assert left_behind(catalog) == ["5"]


def test_an_endless_source_file_is_not_copied(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    (source / "records.lmdb").chmod(0o644)
    os.truncate(source / "records.lmdb", 2**35)  # sparse: costs nothing to make, 32 GiB to copy
    with pytest.raises(SnapshotRefused) as caught:
        catalog.take(source, conditions())
    assert caught.value.found.endswith("too long")
    assert left_behind(catalog) == []


def test_an_unreadable_source_is_a_refusal_with_a_verdict(tmp_path: Path, catalog: Catalog):
    with pytest.raises(SnapshotRefused) as caught:
        catalog.take(tmp_path / "nowhere", conditions())
    assert caught.value.step == Step.FOLDER
    assert verdict(catalog.root / LAST_LOAD)["step"] == Step.FOLDER


def test_a_source_whose_place_cannot_be_written_is_loaded_all_the_same(
    maker: SnapshotMaker, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
):
    source = maker.make()
    write = os.open

    def read_only(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & os.O_CREAT and Path(path).parent == source.parent:
            raise OSError(errno.EROFS, "Read-only file system")
        return write(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", read_only)
    catalog.take(source, conditions())
    assert catalog.sequences() == (5,)
    assert not verdict_path(source).exists()
    assert verdict(catalog.root / LAST_LOAD)["accepted"]


def test_two_loads_at_once_do_not_meet(maker: SnapshotMaker, catalog: Catalog):
    catalog.root.mkdir(parents=True)
    with (catalog.root / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OperatorError, match="under way"):
            catalog.take(maker.make(), conditions())
        (catalog.root / ".staging-of-the-other").mkdir()
        catalog.clean()
        assert left_behind(catalog) == [".staging-of-the-other"]
    catalog.clean()
    assert left_behind(catalog) == []


# Every durable step fails once (an error of the disk), or is the last thing the process does (kill -9).

DURABLE = ("fsync", "write", "rename", "replace")


@contextmanager
def failing_at(nth: int, action: Callable[[], None]) -> Iterator[list[int]]:
    """`action` instead of the nth durable system call; yields how many were reached."""
    reached = [0]

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            reached[0] += 1
            if reached[0] == nth:
                action()
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in DURABLE:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield reached


def disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_at_any_durable_step_leaves_the_old_or_the_new_state(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    for nth in range(1, 100):
        with failing_at(nth, disk_full) as reached, suppress(SnapshotRefused, OSError):
            catalog.take(source, conditions())
        if reached[0] < nth:
            break
        assert left_behind(catalog) in ([], ["5"]), nth
        for sequence in catalog.sequences():
            manifest = Examination(conditions()).run(catalog.path(sequence))
            assert manifest.sequence == 5
            stage_module.remove(catalog.path(sequence))
    assert nth > 8


def test_kill_9_at_any_durable_step_leaves_the_old_or_the_new_state(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    for nth in range(1, 100):
        child = os.fork()
        if not child:
            with failing_at(nth, lambda: os._exit(9)):
                catalog.take(source, conditions())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            break
        for sequence in catalog.sequences():
            assert Examination(conditions()).run(catalog.path(sequence)).sequence == 5
        catalog.clean()
        assert left_behind(catalog) in ([], ["5"])
        assert serves(catalog, catalog.take(source, conditions()))
        stage_module.remove(catalog.path(5))
    assert nth > 8


# What is held


def test_states_follow_the_active_sequence(maker: SnapshotMaker, catalog: Catalog):
    for sequence in (5, 6, 7, 8):
        catalog.take(maker.make(str(sequence), sequence=sequence), conditions())
    states = {held.sequence: held.state for held in catalog.list(conditions(), Standing(6, ((8,),)))}
    assert states == {8: State.QUARANTINED, 7: State.VERIFIED, 6: State.ACTIVE, 5: State.SUPERSEDED}
    assert [held.sequence for held in catalog.list(conditions(), Standing())] == [8, 7, 6, 5]
    assert all(held.expired for held in catalog.list(conditions(now=NOW + dt.timedelta(days=9)), Standing(6)))


def test_a_damaged_manifest_is_listed_as_such_and_hides_nothing(maker: SnapshotMaker, catalog: Catalog):
    for sequence in (5, 6):
        catalog.take(maker.make(str(sequence), sequence=sequence), conditions())
    path = catalog.path(5) / "manifest.json"
    path.chmod(0o644)
    path.write_bytes(b"{}")
    newer, older = catalog.list(conditions(), Standing(6))
    assert (newer.state, older.state) == (State.ACTIVE, State.DAMAGED)
    assert older.problem


def test_a_folder_under_anothers_sequence_is_damaged(maker: SnapshotMaker, catalog: Catalog):
    catalog.take(maker.make(), conditions())
    catalog.path(5).rename(catalog.path(7))
    (held,) = catalog.list(conditions(), Standing(7))
    assert held.state == State.DAMAGED
    assert held.problem == "holds sequence 5"


def test_only_the_latest_superseded_snapshots_stay(maker: SnapshotMaker, catalog: Catalog):
    for sequence in range(1, 8):
        catalog.take(maker.make(str(sequence), sequence=sequence), conditions())
    assert catalog.prune(lambda: Standing(6), keep=3) == (2, 1)
    assert catalog.sequences() == (7, 6, 5, 4, 3)
    assert not verdict_path(catalog.path(1)).exists()


def loaded(maker: SnapshotMaker, catalog: Catalog, base: int, *deltas: int) -> None:
    """A base and deltas over it, all held."""
    catalog.take(maker.make(str(base), sequence=base), conditions())
    for sequence in deltas:
        delta = maker.make_delta(catalog.path(base), {IDENTITY: None}, str(sequence), sequence=sequence)
        catalog.take(delta, conditions(bases=catalog.path))


def test_the_bases_of_what_stays_stay(maker: SnapshotMaker, catalog: Catalog):
    loaded(maker, catalog, 1, 2, 3, 4)
    loaded(maker, catalog, 5, 6, 7)
    assert catalog.prune(lambda: Standing(7), keep=1, dry_run=True) == (4, 3, 2, 1)
    assert catalog.sequences() == (7, 6, 5, 4, 3, 2, 1)
    assert catalog.prune(lambda: Standing(4), keep=0) == (3, 2)
    assert catalog.prune(lambda: Standing(7), keep=0) == (6, 4, 1)
    assert catalog.sequences() == (7, 5)
    catalog.examine(7, conditions(bases=catalog.path))


def test_nothing_is_pruned_while_what_stays_cannot_be_read(maker: SnapshotMaker, catalog: Catalog):
    loaded(maker, catalog, 1, 2, 3)
    manifest = catalog.path(3) / "manifest.json"
    manifest.rename(maker.root / "aside")
    assert catalog.prune(lambda: Standing(3), keep=0) == ()
    (maker.root / "aside").rename(manifest)
    assert catalog.prune(lambda: Standing(3), keep=0) == (2,)


def test_a_pruned_folder_that_is_open_is_read_on(maker: SnapshotMaker, catalog: Catalog):
    loaded(maker, catalog, 5, 6)
    known = conditions(bases=catalog.path)
    _, records = Examination(known).open(catalog.path(5))
    catalog.take(maker.make("7", sequence=7), conditions())
    assert catalog.prune(lambda: Standing(7), keep=0) == (6, 5)
    assert isinstance(records.find(IDENTITY), tuple)
    records.close()


def test_nothing_is_pruned_under_a_pin_nor_a_load_and_a_pin_does_not_wait_for_a_load(
    maker: SnapshotMaker, catalog: Catalog
):
    for sequence in (5, 6):
        catalog.take(maker.make(str(sequence), sequence=sequence), conditions())
    with catalog.staying():
        with pytest.raises(OperatorError, match="a pin is under way"):
            catalog.prune(lambda: Standing(6), keep=0)
        catalog.take(maker.make("7", sequence=7), conditions())
    with loading(catalog.root), catalog.staying(), pytest.raises(OperatorError, match="another load is under way"):
        catalog.prune(lambda: Standing(7), keep=0)
    assert catalog.sequences() == (7, 6, 5)
    assert catalog.prune(lambda: Standing(7), keep=0) == (6, 5)


def test_a_full_disk_can_be_pruned(maker: SnapshotMaker, catalog: Catalog):
    """Nothing is made on the way: no folder, no file."""
    for sequence in (5, 6):
        catalog.take(maker.make(str(sequence), sequence=sequence), conditions())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "mkdir", lambda *_: disk_full())
        patch.setattr(os, "write", lambda *_: disk_full())
        assert catalog.prune(lambda: Standing(6), keep=0) == (5,)
    assert left_behind(catalog) == ["6"]


# Bases and deltas


def test_a_delta_is_taken_over_a_base_that_is_held(maker: SnapshotMaker, catalog: Catalog):
    loaded(maker, catalog, 5, 6)
    assert [(path.name, oct(path.stat().st_mode & 0o777)) for path in sorted(catalog.path(6).iterdir())] == [
        ("manifest.json", "0o444"),
        ("records.lmdb", "0o444"),
    ]
    catalog.take(maker.make_delta(catalog.path(5), {}, "7", sequence=7), conditions(bases=catalog.path))
    assert [path.name for path in catalog.path(7).iterdir()] == ["manifest.json"]
    again = catalog.take(maker.root / "7", conditions(bases=catalog.path))
    assert (again.digest, left_behind(catalog)) == (read_draft(maker.root / "7").digest, ["5", "6", "7"])


def test_a_delta_without_its_base_is_refused_before_it_is_copied(
    maker: SnapshotMaker, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
):
    delta = maker.make_delta(maker.make(), {IDENTITY: None})
    monkeypatch.setattr(stage_module, "_copy_files", lambda *_: pytest.fail("copied"))
    with pytest.raises(SnapshotRefused, match="no snapshot 5"):
        catalog.take(delta, conditions(bases=catalog.path))
    assert left_behind(catalog) == []
    assert verdict(verdict_path(delta))["step"] == Step.BASE


def test_a_damaged_base_refuses_the_delta_and_a_good_copy_of_it_lets_it_pass(maker: SnapshotMaker, catalog: Catalog):
    source = maker.make()
    delta = maker.make_delta(source, {IDENTITY: None})
    held = conditions(bases=catalog.path, floor=floor(sequence=5, digest=read_draft(source).digest))
    catalog.take(source, conditions())
    path = catalog.path(5) / "records.lmdb"
    path.chmod(0o644)
    os.truncate(path, 100)
    with pytest.raises(SnapshotRefused) as caught:
        catalog.take(delta, held)
    assert caught.value.step == Step.BASE
    catalog.hold(source, conditions())
    catalog.take(delta, replace(held, seen=Seen()))
    assert left_behind(catalog) == ["5", "6"]


def test_an_old_and_expired_base_is_held_for_its_delta_but_not_loaded(maker: SnapshotMaker, catalog: Catalog):
    late = {"now": NOW + dt.timedelta(days=30), "floor": floor(sequence=9)}
    source = maker.make()
    for step, conditions_then in ((Step.DATES, late), (Step.SEQUENCE, {**late, "now": NOW})):
        with pytest.raises(SnapshotRefused) as caught:
            catalog.take(source, conditions(**conditions_then))
        assert caught.value.step == step
    assert catalog.hold(source, conditions(**late)).digest == read_draft(source).digest
    assert catalog.sequences() == (5,)


def test_neither_a_delta_nor_what_too_few_signed_is_held_as_a_base(maker: SnapshotMaker, catalog: Catalog):
    delta = maker.make_delta(maker.make(), {IDENTITY: None})
    with pytest.raises(SnapshotRefused, match="load it instead"):
        catalog.hold(delta, conditions())
    maker.signers = [ALICE]
    with pytest.raises(SnapshotRefused, match="signatures"):
        catalog.hold(maker.make("half"), conditions())
    assert catalog.sequences() == ()


def test_a_delta_whose_base_is_gone_or_another_is_listed_as_damaged(maker: SnapshotMaker, catalog: Catalog):
    loaded(maker, catalog, 5, 6)
    known = conditions(bases=catalog.path)
    assert [held.state for held in catalog.list(known, Standing(6))] == [State.ACTIVE, State.SUPERSEDED]
    catalog.path(5).rename(catalog.root / "4")
    delta, other = catalog.list(known, Standing(6))
    assert (delta.state, other.problem) == (State.DAMAGED, "holds sequence 5")
    assert "relais snapshot hold" in delta.problem


def test_a_file_cut_short_is_listed_as_damaged_without_being_read(maker: SnapshotMaker, catalog: Catalog):
    catalog.take(maker.make(), conditions())
    os.truncate(catalog.path(5) / "records.lmdb", 4096)
    (held,) = catalog.list(conditions(), Standing(5))
    assert (held.state, held.problem.endswith("4096 bytes: cut short")) == (State.DAMAGED, True)


def test_a_copy_under_way_is_listed_as_staged(maker: SnapshotMaker, catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    seen: list[State] = []
    copy = stage_module._copy_files

    def look_then_copy(*arguments: Any) -> None:
        seen.extend(held.state for held in catalog.list(conditions(), Standing()))
        copy(*arguments)

    monkeypatch.setattr(stage_module, "_copy_files", look_then_copy)
    catalog.take(maker.make(), conditions())
    assert seen == [State.STAGED]
    assert [held.state for held in catalog.list(conditions(), Standing())] == [State.VERIFIED]


def test_a_held_snapshot_is_verified_again_before_a_pin(maker: SnapshotMaker, catalog: Catalog):
    examination = catalog.take(maker.make(), conditions())
    ordered = Ordered(5, examination.digest, may_be_expired=False)
    assert catalog.examine(5, conditions(floor=floor(sequence=9), ordered=ordered)).digest == examination.digest
    with pytest.raises(SnapshotRefused):
        catalog.examine(5, conditions(now=NOW + dt.timedelta(days=8), ordered=ordered))
    with pytest.raises(OperatorError, match="not held"):
        catalog.examine(6, conditions())


def test_a_home_without_snapshots_holds_none(catalog: Catalog):
    assert catalog.sequences() == ()
    assert catalog.list(conditions(), Standing()) == ()
    catalog.clean()
