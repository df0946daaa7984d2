"""A note spares the hashing of an unchanged file, and nothing else: whatever is doubtful about it, the file is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from service.errors import SnapshotRefused
from service.snapshot import folder as folder_module
from service.snapshot.catalog import Catalog
from service.snapshot.life import Standing
from service.snapshot.seen import Notes, Seen, Sighting
from service.snapshot.steps import Step
from service.snapshot.verify import Examination
from tests.unit.snapshot.layer_maker import People
from tests.unit.snapshot.snapshot_maker import IDENTITY, SnapshotMaker, conditions, contract

PEPPER = b"p" * 32
FILES = {"records.lmdb": Sighting(1, 2, 3, 4, 5, "A" * 43)}
CHANGED: People = {IDENTITY: (contract(member="M9"),)}


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "node" / "verified")


@pytest.fixture
def note(notes: Notes, tmp_path: Path) -> Path:
    notes.write(5, FILES, PEPPER)
    return tmp_path / "node" / "verified" / "5.json"


@pytest.fixture
def maker(tmp_path: Path) -> SnapshotMaker:
    return SnapshotMaker(tmp_path)


@pytest.fixture
def catalog(tmp_path: Path, notes: Notes) -> Catalog:
    return Catalog(tmp_path / "home" / "snapshots", notes)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read from here on."""
    names: list[str] = []
    parts = folder_module.parts

    def noticed(name: str, *others: object) -> object:
        names.append(name)
        return parts(name, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_module, "parts", noticed)
    return names


def examined(catalog: Catalog, sequence: int = 5, seen: Seen | None = None) -> Examination:
    """As a worker does it: by the notes."""
    examination = Examination(conditions(bases=catalog.path, seen=seen or Seen(catalog.notes)))
    examination.run(catalog.path(sequence))
    return examination


# The note itself


def test_a_note_says_what_was_written(notes: Notes, note: Path):
    assert note.exists()
    assert notes.read(5, PEPPER) == FILES


def test_a_note_under_another_pepper_or_number_says_nothing(notes: Notes, note: Path):
    assert notes.read(5, b"q" * 32) == {}
    note.rename(note.with_name("6.json"))
    assert notes.read(6, PEPPER) == {}
    assert notes.read(5, PEPPER) == {}


def test_a_note_torn_at_any_byte_says_nothing(notes: Notes, note: Path):
    whole = note.read_bytes()
    for length in range(len(whole) - 1):
        note.write_bytes(whole[:length])
        assert notes.read(5, PEPPER) == {}, length


def test_a_note_edited_at_any_byte_says_nothing(notes: Notes, note: Path):
    whole = note.read_bytes().rstrip()
    for place in range(len(whole)):
        edited = bytearray(whole)
        edited[place] ^= 1
        note.write_bytes(edited)
        assert notes.read(5, PEPPER) == {}, place


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b"null", b'{"files":{},"mac":"","sequence":5}'])
def test_what_is_no_note_says_nothing(notes: Notes, note: Path, content: bytes):
    note.write_bytes(content)
    assert notes.read(5, PEPPER) == {}


def test_a_forgotten_note_is_gone_and_may_be_forgotten_again(notes: Notes, note: Path):
    notes.forget(5)
    notes.forget(5)
    assert not note.exists()


# What a load leaves, and what a worker makes of it


def test_a_loaded_snapshot_is_not_hashed_again_and_still_opened(
    maker: SnapshotMaker, catalog: Catalog, hashed: list[str]
):
    catalog.take(maker.make(), conditions())
    assert hashed != []
    hashed.clear()
    assert examined(catalog).files.keys() == {"records.lmdb"}
    assert hashed == []
    examined(catalog, seen=Seen())
    assert hashed == ["records.lmdb"]


def test_a_delta_leaves_a_note_for_its_base_too(maker: SnapshotMaker, catalog: Catalog, hashed: list[str]):
    catalog.take(maker.make(), conditions())
    assert catalog.notes is not None
    catalog.notes.forget(5)
    catalog.take(maker.make_delta(catalog.path(5), CHANGED), conditions(bases=catalog.path))
    hashed.clear()
    examined(catalog, 6)
    assert hashed == []


def test_an_empty_delta_needs_no_note_of_its_own(maker: SnapshotMaker, catalog: Catalog, hashed: list[str]):
    catalog.take(maker.make(), conditions())
    catalog.take(maker.make_delta(catalog.path(5), {}), conditions(bases=catalog.path))
    hashed.clear()
    examined(catalog, 6)
    assert hashed == []


def test_examining_what_is_held_hashes_it_and_renews_the_note(
    maker: SnapshotMaker, catalog: Catalog, hashed: list[str]
):
    catalog.take(maker.make(), conditions())
    (catalog.path(5) / "records.lmdb").touch()
    hashed.clear()
    catalog.examine(5, conditions())
    examined(catalog)
    assert hashed == ["records.lmdb"]


def swapped(path: Path) -> None:
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


@pytest.mark.parametrize(
    "change", [Path.touch, lambda path: path.chmod(0o400), swapped], ids=["touched", "other mode", "another inode"]
)
def test_a_file_that_is_not_as_noted_is_hashed(
    maker: SnapshotMaker, catalog: Catalog, hashed: list[str], change: Callable[[Path], object]
):
    catalog.take(maker.make(), conditions())
    hashed.clear()
    change(catalog.path(5) / "records.lmdb")
    examined(catalog)
    assert hashed == ["records.lmdb"]


def alter(path: Path) -> None:
    """Change the file and give it back the times that a user can set."""
    times = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"altered")
    path.chmod(0o444)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_an_altered_file_with_its_old_times_is_hashed_and_refused(maker: SnapshotMaker, catalog: Catalog):
    catalog.take(maker.make(), conditions())
    alter(catalog.path(5) / "records.lmdb")
    with pytest.raises(SnapshotRefused) as caught:
        examined(catalog)
    assert (caught.value.step, caught.value.found.endswith("altered")) == (Step.FILES, True)


@pytest.mark.parametrize("pepper", [b"q" * 32, b"relais-verified-1".ljust(32)])
def test_a_note_forged_without_the_pepper_does_not_save_an_altered_file(
    maker: SnapshotMaker, catalog: Catalog, pepper: bytes
):
    examination = catalog.take(maker.make(), conditions())
    path = catalog.path(5) / "records.lmdb"
    alter(path)
    assert catalog.notes is not None
    catalog.notes.write(5, {path.name: Sighting.of(path.stat(), examination.files[path.name].sha256)}, pepper)
    with pytest.raises(SnapshotRefused) as caught:
        examined(catalog)
    assert caught.value.step == Step.FILES


def test_a_note_of_another_content_is_not_believed_against_the_signers(
    maker: SnapshotMaker, catalog: Catalog, hashed: list[str]
):
    catalog.take(maker.make(), conditions())
    path = catalog.path(5) / "records.lmdb"
    assert catalog.notes is not None
    catalog.notes.write(5, {path.name: Sighting.of(path.stat(), "A" * 43)}, PEPPER)
    hashed.clear()
    examined(catalog)
    assert hashed == ["records.lmdb"]


def test_a_damaged_file_is_read_once_by_a_worker_that_keeps_trying(
    maker: SnapshotMaker, catalog: Catalog, hashed: list[str]
):
    source = maker.make()
    catalog.take(source, conditions())
    alter(catalog.path(5) / "records.lmdb")
    hashed.clear()
    seen = Seen(catalog.notes)
    for _ in range(3):
        with pytest.raises(SnapshotRefused, match="altered"):
            examined(catalog, seen=seen)
    assert hashed == ["records.lmdb"]
    catalog.take(source, conditions())
    examined(catalog, seen=seen)


def test_a_note_that_cannot_be_written_costs_time_and_no_load(
    maker: SnapshotMaker, catalog: Catalog, hashed: list[str], tmp_path: Path
):
    (tmp_path / "node").write_bytes(b"in the way")
    catalog.take(maker.make(), conditions())
    hashed.clear()
    examined(catalog)
    assert hashed == ["records.lmdb"]


def test_notes_go_with_their_snapshots(maker: SnapshotMaker, catalog: Catalog, tmp_path: Path):
    for sequence in (5, 6):
        catalog.take(maker.make(str(sequence), sequence=sequence), conditions())
    noted = tmp_path / "node" / "verified"
    assert sorted(path.name for path in noted.iterdir()) == ["5.json", "6.json"]
    catalog.prune(lambda: Standing(6), keep=0)
    assert [path.name for path in noted.iterdir()] == ["6.json"]


def test_a_note_holds_no_name_and_no_record(note: Path):
    members = msgspec.json.decode(note.read_bytes())
    assert set(members) == {"files", "mac", "sequence"}
    assert set(members["files"]["records.lmdb"]) == {"device", "inode", "size", "mtime_ns", "ctime_ns", "sha256"}
