from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import SnapshotRefused
from service.snapshot import catalog as catalog_module
from service.snapshot.catalog import LAST_LOAD, Catalog
from service.snapshot.steps import Step
from tests.unit.snapshot.snapshot_maker import SnapshotMaker, conditions, floor

DATA = "records.lmdb"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "home" / "snapshots")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return SnapshotMaker(tmp_path).make("home/incoming")


def test_what_was_downloaded_is_moved_and_not_copied(catalog: Catalog, source: Path):
    before = (source / DATA).stat().st_ino
    assert catalog.take(source, conditions(), move=True).manifest
    assert (catalog.path(5) / DATA).stat().st_ino == before
    assert not source.exists()
    assert (catalog.root / LAST_LOAD).exists()
    assert not source.with_name(f"{source.name}.verdict.json").exists()


def test_what_is_refused_stays_where_it_was(catalog: Catalog, source: Path):
    with pytest.raises(SnapshotRefused) as refused:
        catalog.take(source, conditions(floor=floor(sequence=9)), move=True)
    assert refused.value.step == Step.SEQUENCE
    assert sorted(path.name for path in source.iterdir()) == ["manifest.json", DATA]
    assert catalog.sequences() == ()


def test_on_another_file_system_it_is_copied(catalog: Catalog, source: Path, monkeypatch: pytest.MonkeyPatch):
    before = (source / DATA).stat().st_ino
    monkeypatch.setattr(catalog_module, "_one_disk", lambda *_: False)
    catalog.take(source, conditions(), move=True)
    assert (catalog.path(5) / DATA).stat().st_ino != before
    assert source.exists()


def test_what_is_held_can_be_taken_where_it_lies(catalog: Catalog, source: Path):
    catalog.take(source, conditions(), move=True)
    held = catalog.path(5)
    before = (held / DATA).stat().st_ino
    assert catalog.take(held, conditions(), move=True).manifest
    assert (held / DATA).stat().st_ino == before


def test_a_damaged_one_that_is_held_gives_way_to_a_good_one(catalog: Catalog, source: Path, tmp_path: Path):
    catalog.take(source, conditions(), move=True)
    data = catalog.path(5) / DATA
    good = data.read_bytes()
    data.chmod(0o644)
    data.write_bytes(good[:-1])
    again = SnapshotMaker(tmp_path).make("home/incoming")
    catalog.take(again, conditions(), move=True)
    assert data.read_bytes() == good
    assert not again.exists()
