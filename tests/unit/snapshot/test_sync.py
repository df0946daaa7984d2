from __future__ import annotations

import datetime as dt
from pathlib import Path

import orjson
import pytest

from service.errors import DepotUnavailable, SnapshotRefused
from service.snapshot.steps import Step
from service.snapshot.sync import SyncError, SyncStatus, begin_status, load_status, write_status

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(minutes=1)
SOURCE = "s3://bucket/prefix/"


def test_a_look_that_brings_something_changes_and_one_that_does_not_checks():
    status = SyncStatus(NOW, None, SOURCE, None).well(NOW, changed=True).well(LATER, changed=False)
    assert (status.checked_at, status.changed_at, status.error) == (LATER, NOW, None)


@pytest.mark.parametrize(
    ("error", "step"),
    [(DepotUnavailable("latest: 503"), "depot_unavailable"), (SnapshotRefused(Step.GUARD, "a", "b"), "9 guard")],
)
def test_an_error_stands_until_the_next_success(error: DepotUnavailable | SnapshotRefused, step: str):
    status = SyncStatus(NOW, NOW, SOURCE, None).failed(LATER, error)
    assert (status.checked_at, status.changed_at) == (LATER, NOW)
    assert status.error == SyncError(LATER, step, str(error))
    assert status.well(LATER, changed=False).error is None


def test_a_status_is_written_as_it_is_documented_and_read_back(tmp_path: Path):
    path = tmp_path / "sync.json"
    status = SyncStatus(LATER, NOW, SOURCE, SyncError(LATER, "9 guard", "why"))
    write_status(path, status)
    assert load_status(path) == status
    document = orjson.loads(path.read_bytes())
    assert list(document) == ["checked_at", "changed_at", "source", "error"]
    assert list(document["error"]) == ["at", "step", "text"]
    assert document["checked_at"] == "2024-02-05T09:31:00Z"


@pytest.mark.parametrize("left", [None, b"", b"{", b"\xff", b"{}"])
def test_without_a_status_that_can_be_read_one_is_begun(tmp_path: Path, left: bytes | None):
    path = tmp_path / "sync.json"
    if left is not None:
        path.write_bytes(left)
    assert load_status(path) is None
    assert begin_status(path, SOURCE, LATER) == SyncStatus(LATER, None, SOURCE, None)


def test_the_last_change_is_remembered_for_the_same_source_only(tmp_path: Path):
    path = tmp_path / "sync.json"
    write_status(path, SyncStatus(NOW, NOW, SOURCE, None))
    assert begin_status(path, SOURCE, LATER).changed_at == NOW
    assert begin_status(path, "s3://other/", LATER).changed_at is None
