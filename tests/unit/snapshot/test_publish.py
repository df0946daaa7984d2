from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pytest

from service.errors import DepotConflict, DepotError, DepotRejected, DepotUnavailable, OperatorError, SnapshotRefused
from service.snapshot.depot import Depot, open_depot, parse_address
from service.snapshot.pointer import Pointer, parse_pointer
from service.snapshot.publish import Publication, publish
from service.snapshot.steps import Step
from tests import buckets
from tests.unit.snapshot.fetching import DATA, MANIFEST, QUICK, Node, another, size
from tests.unit.snapshot.snapshot_maker import ALICE, NOW, STRANGER, SnapshotMaker, trust


@pytest.fixture
def folder(maker: SnapshotMaker) -> Path:
    return maker.make()


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    root = tmp_path / "depot"
    root.mkdir()
    return open_depot(parse_address(str(root)), QUICK)


def offer(folder: Path, depot: Depot) -> Publication:
    return publish(folder, depot, trust(), NOW)


def latest(depot: Depot) -> Pointer:
    return parse_pointer(b"".join(depot.read("latest", 0, 4096).parts))


def content(depot: Depot, name: str) -> bytes:
    return b"".join(depot.read(name, 0, 1 << 30).parts)


def test_files_lie_below_a_name_that_says_what_they_are_and_latest_points_there(folder: Path, depot: Depot):
    done = offer(folder, depot)
    assert (done.changed, done.signers) == (True, {"alice", "bob"})
    assert latest(depot) == done.pointer
    assert done.pointer.path == f"snapshots/5-{done.pointer.digest[:16]}"
    for name in (DATA, MANIFEST):
        assert content(depot, f"{done.pointer.path}/{name}") == (folder / name).read_bytes()


def test_the_same_again_changes_nothing(folder: Path, depot: Depot):
    first = offer(folder, depot)
    tag = depot.tag("latest")
    again = offer(folder, depot)
    assert (again.pointer, again.changed) == (first.pointer, False)
    assert depot.tag("latest") == tag


def test_an_interrupted_one_is_completed_by_the_next(node: Node, folder: Path):
    node.bucket.bend(MANIFEST, buckets.says(403))
    with pytest.raises(DepotError):
        node.publish(folder)
    assert "depot/latest" not in node.bucket.objects
    node.bucket.honest()
    assert node.publish(folder).changed
    assert node.pull().sequence == 5


def test_other_bytes_under_a_name_are_a_conflict_and_nothing_is_replaced(node: Node, folder: Path):
    node.publish(folder)
    name = node.bucket.place("depot/snapshots/5-", DATA)
    for other in (b"x" * size(folder), b"shorter", b"y" * (size(folder) + 1)):
        node.bucket.objects[name] = other
        with pytest.raises(DepotConflict, match="other bytes"):
            node.publish(folder)
        assert node.bucket.objects[name] == other


def test_more_signatures_on_what_is_published_are_a_conflict(maker: SnapshotMaker, folder: Path, depot: Depot):
    offer(folder, depot)
    maker.signers = [*maker.signers, STRANGER]
    with pytest.raises(DepotConflict):
        offer(maker.make("more"), depot)


def test_latest_goes_up_only(maker: SnapshotMaker, folder: Path, depot: Depot):
    offer(another(maker, "newer", 6), depot)
    before = latest(depot)
    with pytest.raises(OperatorError, match="sequence 6 is published already"):
        offer(folder, depot)
    with pytest.raises(DepotConflict, match="another snapshot is published as sequence 6"):
        offer(maker.make("sixth", sequence=6, valid_until=NOW + dt.timedelta(days=1)), depot)
    assert latest(depot) == before
    assert offer(another(maker, "newest", 7), depot).changed
    assert latest(depot).sequence == 7


def test_two_publishers_at_once_one_wins_and_the_other_is_told(maker: SnapshotMaker, node: Node):
    folders = [another(maker, str(number), number) for number in (6, 7)]
    both = threading.Barrier(2, timeout=30)

    def together(asked: buckets.Asked, honest: buckets.Answer) -> buckets.Answer:
        # Both have read that nothing is there before either writes.
        if asked.method == "GET" and honest.status == 404:
            both.wait()
        return honest

    node.bucket.bend("latest", together)
    won: list[Publication] = []
    told: list[Exception] = []

    def offer_one(folder: Path) -> None:
        try:
            won.append(node.publish(folder))
        except DepotError as error:
            told.append(error)

    threads = [threading.Thread(target=offer_one, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    (refused,) = told
    assert isinstance(refused, DepotConflict)
    assert f"latest is sequence {won[0].pointer.sequence}" in str(refused)
    assert latest(node.fetch().depot) == won[0].pointer


def test_an_answer_that_is_lost_after_the_pointer_moved_is_no_conflict(node: Node, folder: Path):
    lost = buckets.only_first(1, buckets.cut(0))

    def lose(asked: buckets.Asked, honest: buckets.Answer) -> buckets.Answer:
        return lost(asked, buckets.refusal(500, "InternalError")) if asked.method == "PUT" else honest

    node.bucket.bend("latest", lose)
    assert node.publish(folder).changed
    assert latest(node.fetch().depot).sequence == 5


def test_whatever_is_not_signed_enough_is_refused_before_anything_is_published(maker: SnapshotMaker, depot: Depot):
    for name, signers in (("draft", []), ("one", [ALICE]), ("stranger", [ALICE, STRANGER])):
        maker.signers = signers
        with pytest.raises(SnapshotRefused) as refused:
            offer(maker.make(name), depot)
        assert refused.value.step == Step.SIGNATURES
    assert nothing_published(depot)


def test_without_a_trust_file_a_signature_is_needed_all_the_same(maker: SnapshotMaker, depot: Depot):
    maker.signers = []
    with pytest.raises(SnapshotRefused) as refused:
        publish(maker.make("draft"), depot, None, NOW)
    assert (refused.value.step, refused.value.found) == (Step.SIGNATURES, "no signature")
    assert nothing_published(depot)
    maker.signers = [STRANGER]
    assert publish(maker.make("signed"), depot, None, NOW).signers is None


def test_an_expired_one_and_one_whose_files_are_not_those_signed_are_refused(folder: Path, depot: Depot):
    with pytest.raises(SnapshotRefused) as refused:
        publish(folder, depot, trust(), NOW + dt.timedelta(days=8))
    assert refused.value.step == Step.DATES
    data = bytearray((folder / DATA).read_bytes())
    data[-1] ^= 1
    (folder / DATA).chmod(0o644)
    (folder / DATA).write_bytes(data)
    with pytest.raises(SnapshotRefused) as refused:
        offer(folder, depot)
    assert refused.value.step == Step.FILES
    assert nothing_published(depot)


@pytest.mark.parametrize("garbage", [b"", b"<html>", b"x" * 5000], ids=["empty", "html", "huge"])
def test_a_latest_that_is_no_pointer_is_left_for_people_to_look_at(node: Node, folder: Path, garbage: bytes):
    node.bucket.objects["depot/latest"] = garbage
    with pytest.raises(DepotError):
        node.publish(folder)
    assert node.bucket.objects == {"depot/latest": garbage}


def test_an_endless_latest_or_file_does_not_hold_a_publisher(node: Node, folder: Path):
    node.publish(folder)
    for ending in ("latest", DATA):
        node.bucket.honest()
        node.bucket.bend(ending, only_reads(buckets.endless()))
        with pytest.raises(DepotRejected, match="goes on beyond"):
            node.publish(folder)


def test_a_bucket_without_tags_cannot_hold_a_pointer(node: Node, maker: SnapshotMaker, folder: Path):
    node.publish(folder)
    before = node.bucket.objects["depot/latest"]
    node.bucket.bend("latest", buckets.without_tag())
    with pytest.raises(DepotRejected, match="no e-tag"):
        node.publish(another(maker, "newer", 6))
    assert node.bucket.objects["depot/latest"] == before


def test_a_bucket_that_is_down_is_told_as_such(node: Node, folder: Path):
    node.bucket.bend("latest", buckets.says(503, "SlowDown"))
    with pytest.raises(DepotUnavailable, match="503 SlowDown"):
        node.publish(folder)


def only_reads(lie: buckets.Bend) -> buckets.Bend:
    return lambda asked, honest: lie(asked, honest) if asked.method == "GET" else honest


def nothing_published(depot: Depot) -> bool:
    return not [path for path in Path(depot.source.removeprefix("file://")).rglob("*") if path.is_file()]
