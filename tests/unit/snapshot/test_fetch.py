from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from service.errors import (
    DepotError,
    DepotUnavailable,
    OperatorError,
    SnapshotRefused,
)
from service.snapshot.backoff import BASE_SECONDS
from service.snapshot.folder import MAX_MANIFEST_BYTES
from service.snapshot.steps import Step
from tests import buckets
from tests.unit.snapshot.fetching import DATA, MANIFEST, Node, another, size
from tests.unit.snapshot.snapshot_maker import NOW, SnapshotMaker, conditions, floor

DAY = dt.timedelta(days=1)


def test_what_is_published_is_held_byte_by_byte_and_nothing_is_left_behind(node: Node, published: Path):
    assert node.pull().sequence == 5
    held = node.catalog.path(5)
    for name in (DATA, MANIFEST):
        assert (held / name).read_bytes() == (published / name).read_bytes()
        assert (held / name).stat().st_mode & 0o777 == 0o444
    assert node.under_way() == []
    assert node.pauses == []


def test_nothing_is_asked_for_but_what_the_manifest_vouches_for(node: Node, published: Path):
    node.pull()
    assert [(one.name.rpartition("/")[2], one.range) for one in node.bucket.asked] == [
        ("latest", "bytes=0-4095"),
        (MANIFEST, f"bytes=0-{MAX_MANIFEST_BYTES - 1}"),
        (DATA, f"bytes=0-{size(published) - 1}"),
    ]


CUTS = {"cut": buckets.cut, "reset": buckets.reset}


@pytest.mark.parametrize("broken", CUTS.values(), ids=CUTS)
def test_a_download_that_breaks_off_goes_on_where_it_was(
    node: Node, published: Path, broken: Callable[[int], buckets.Bend]
):
    node.bucket.bend(DATA, buckets.only_first(1, broken(5000)))
    node.pull()
    assert node.downloads() == [f"bytes=0-{size(published) - 1}", f"bytes=5000-{size(published) - 1}"]
    assert node.pauses == [BASE_SECONDS]
    assert node.held() == (5,)


def test_the_next_run_goes_on_where_the_last_one_gave_up(node: Node, published: Path):
    node.bucket.bend(DATA, buckets.cut(1000))
    with pytest.raises(DepotUnavailable):
        node.pull()
    assert len(node.pauses) == node.settings.attempts - 1
    node.bucket.honest()
    node.pull()
    (asked,) = node.downloads()
    assert asked == f"bytes={1000 * node.settings.attempts}-{size(published) - 1}"


def test_a_kill_is_resumed_from_the_bytes_on_the_disk(node: Node, published: Path):
    class Killed(BaseException):
        pass

    def kill(done: int, _total: int) -> None:
        if done:
            raise Killed

    node.bucket.bend(DATA, buckets.drip(0.0, 4096))
    with pytest.raises(Killed):
        node.pull(progress=kill)
    (part,) = node.incoming.glob("*/*.part")
    done = part.stat().st_size
    part.chmod(0o444)  # as between its last two steps
    (part.parent / ".manifest.json.123.tmp").write_bytes(b"half")
    node.bucket.honest()
    node.pull()
    (asked,) = node.downloads()
    assert asked == f"bytes={done}-{size(published) - 1}"
    assert node.under_way() == []


def test_another_object_under_the_same_name_is_fetched_from_its_beginning(node: Node, published: Path):
    node.bucket.bend(DATA, buckets.cut(1000))
    with pytest.raises(DepotUnavailable):
        node.pull()
    (part,) = node.incoming.glob("*/*.part")
    part.write_bytes(b"x" * 3000)
    (tag,) = node.incoming.glob("*.tag")
    tag.write_text('"of another object"')
    node.bucket.honest()
    assert node.pull().sequence == 5


@pytest.mark.parametrize("lie", [buckets.without_tag(), buckets.another_tag_each_time()], ids=["none", "another"])
def test_where_no_tag_can_be_relied_on_nothing_is_resumed(node: Node, published: Path, lie: buckets.Bend):
    node.bucket.bend(DATA, lie)
    assert node.pull().sequence == 5
    node.catalog.path(5).rename(node.root / "aside")

    def lie_and_cut(request: buckets.Asked, honest: buckets.Answer) -> buckets.Answer:
        return buckets.cut(1000)(request, lie(request, honest))

    node.bucket.bend(DATA, lie_and_cut)
    with pytest.raises(DepotError):
        node.pull()
    node.bucket.honest()
    node.pull()
    (asked,) = node.downloads()
    assert asked.startswith("bytes=0-")


def test_the_tries_of_a_run_are_counted_in_all_and_their_pauses_grow(node: Node, published: Path):
    node.settings = msgspec.structs.replace(node.settings, attempts=5)
    node.bucket.bend("latest", buckets.only_first(2, buckets.says(500)))
    node.bucket.bend(DATA, buckets.says(503))
    with pytest.raises(DepotUnavailable):
        node.pull()
    assert node.pauses == [BASE_SECONDS * 2**number for number in range(4)]
    assert len(node.bucket.asked) == 3 + 1 + 3


def test_a_full_disk_is_told_before_a_byte_of_data_is_asked_for(node: Node, published: Path):
    node.settings = msgspec.structs.replace(node.settings, spare_bytes=1 << 60)
    with pytest.raises(SnapshotRefused) as refused:
        node.pull()
    assert refused.value.step == Step.FOLDER
    assert str(size(published)) in refused.value.expected
    assert node.downloads() == []


def test_a_disk_that_fills_meanwhile_is_a_clean_refusal_and_gets_its_room_back(
    node: Node, published: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("service.snapshot.incoming.os.fsync", full)
    with pytest.raises(SnapshotRefused) as refused:
        node.pull()
    assert (refused.value.step, refused.value.found) == (Step.FOLDER, "No space left on device")
    assert list(node.incoming.rglob(f"{DATA}*")) == []
    monkeypatch.undo()
    assert node.pull().sequence == 5


def test_what_the_guard_refuses_stays_for_a_load_that_accepts_it(node: Node, published: Path):
    judged_by = conditions(
        floor=floor(amcs=(msgspec.structs.replace(floor().amcs[0], people=99_000, contracts=99_000),))
    )
    for _ in range(2):
        with pytest.raises(SnapshotRefused) as refused:
            node.pull(judged_by)
        assert refused.value.step == Step.GUARD
    assert len(node.downloads()) == 1
    assert node.pull(replace(judged_by, accept="they moved")).sequence == 5
    assert len(node.downloads()) == 1
    assert node.under_way() == []


def test_downloads_that_are_superseded_or_that_nobody_came_back_for_are_removed(
    node: Node, maker: SnapshotMaker, published: Path
):
    node.bucket.bend(DATA, buckets.cut(100))
    with pytest.raises(DepotUnavailable):
        node.pull()
    (old,) = (path for path in node.incoming.iterdir() if path.is_dir())
    left = node.incoming / ("9-" + "x" * 16)
    recent = node.incoming / ("10-" + "x" * 16)
    for folder in (left, recent):
        folder.mkdir()
        (folder / f"{DATA}.part").write_bytes(b"x")
    long_ago = (NOW - 4 * DAY).timestamp()
    os.utime(left / f"{DATA}.part", (long_ago, long_ago))
    os.utime(left, (long_ago, long_ago))
    node.publish(another(maker, "newer", 6))
    node.bucket.honest()
    node.pull()
    assert not old.exists()
    assert not left.exists()
    assert node.under_way() == [recent.name, f"{recent.name}/{DATA}.part"]


def test_one_download_at_a_time(node: Node, published: Path):
    fetch = node.fetch()
    with fetch.incoming.locked(), pytest.raises(OperatorError, match="another download"):
        node.pull()
    assert node.pull().sequence == 5
