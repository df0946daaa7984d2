"""Attacks from the other side of a URL: each asserts the error, the state left, and that the next honest look works."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.base64url import sha256_b64u
from service.errors import (
    DepotDenied,
    DepotError,
    DepotMissing,
    DepotRejected,
    DepotTooSlow,
    DepotUnavailable,
    RelaisError,
    SnapshotRefused,
)
from service.snapshot.folder import MAX_MANIFEST_BYTES
from service.snapshot.manifest import encode_manifest
from service.snapshot.steps import Step
from tests import buckets
from tests.buckets import ACCESS_KEY, SECRET_KEY, SESSION_TOKEN
from tests.unit.snapshot.fetching import DATA, MANIFEST, Node, RunningClock, another, size
from tests.unit.snapshot.snapshot_maker import NOW, SnapshotMaker, conditions, floor

DAY = dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"floor": floor(sequence=9)}, Step.SEQUENCE),
        ({"floor": floor(sequence=5)}, Step.SEQUENCE),
        ({"now": NOW + 30 * DAY}, Step.DATES),
        ({"now": NOW - 30 * DAY}, Step.DATES),
    ],
    ids=["rollback", "equivocation", "expired", "from the future"],
)
def test_what_the_manifest_alone_forbids_costs_no_data(node: Node, published: Path, change: dict[str, Any], step: Step):
    with pytest.raises(SnapshotRefused) as refused:
        node.pull(conditions(**change))
    assert refused.value.step == step
    assert node.downloads() == []
    assert node.held() == ()


def test_an_unsigned_manifest_costs_no_data(node: Node, published: Path):
    document = orjson.loads((published / MANIFEST).read_bytes())
    node.bucket.bend(MANIFEST, buckets.holds(orjson.dumps({**document, "signatures": []})))
    with pytest.raises(SnapshotRefused) as refused:
        node.pull()
    assert refused.value.step == Step.SIGNATURES
    assert node.downloads() == []


def backwards(_asked: buckets.Asked, honest: buckets.Answer) -> buckets.Answer:
    """Everything as promised, but for the bytes."""
    return replace(honest, body=honest.body[::-1])


LIES: dict[str, tuple[str, buckets.Bend, type[RelaisError], str]] = {
    "403": ("latest", buckets.says(403, "AccessDenied"), DepotDenied, "403 AccessDenied"),
    "401": ("latest", buckets.says(401), DepotDenied, "401"),
    "expired credentials": ("latest", buckets.says(400, "ExpiredToken"), DepotDenied, "400 ExpiredToken"),
    "403 for the data": (DATA, buckets.says(403, "AccessDenied"), DepotDenied, "403"),
    "404": ("latest", buckets.says(404, "NoSuchBucket"), DepotMissing, "404 NoSuchBucket"),
    "404 for the manifest": (MANIFEST, buckets.says(404, "NoSuchKey"), DepotMissing, "404"),
    "404 for the data": (DATA, buckets.says(404, "NoSuchKey"), DepotMissing, "404"),
    "412": ("latest", buckets.says(412, "PreconditionFailed"), DepotError, "412"),
    "416": (DATA, buckets.says(416, "InvalidRange"), DepotDenied, "416"),
    "500": ("latest", buckets.says(500, "InternalError"), DepotUnavailable, "500 InternalError"),
    "503": (DATA, buckets.says(503, "SlowDown"), DepotUnavailable, "503 SlowDown"),
    "429": ("latest", buckets.says(429), DepotUnavailable, "429"),
    "a redirect to nowhere": ("latest", buckets.redirect("http://127.0.0.1:1/x"), DepotUnavailable, "refused"),
    "a redirect in circles": (MANIFEST, buckets.redirect("/loop/manifest.json"), DepotUnavailable, "redirect"),
    "silence": ("latest", buckets.silent(1.0), DepotUnavailable, "time"),
    "a truncated pointer": ("latest", buckets.cut(20), DepotUnavailable, "broke off"),
    "a truncated manifest": (MANIFEST, buckets.cut(20), DepotUnavailable, "broke off"),
    "a truncated body": (DATA, buckets.cut(20), DepotUnavailable, "broke off"),
    "a reset": (DATA, buckets.reset(20), DepotUnavailable, "broke off"),
    "the whole for a range": (DATA, buckets.without_range(), DepotUnavailable, "broke off"),
    "an endless file": (DATA, buckets.endless(), DepotRejected, "goes on beyond"),
    "an endless pointer": ("latest", buckets.endless(), DepotRejected, "goes on beyond"),
    "an endless manifest": (MANIFEST, buckets.endless(), DepotRejected, "goes on beyond"),
    "a longer file": (DATA, buckets.of_size(1 << 40), SnapshotRefused, "too long"),
    "a shorter file": (DATA, buckets.holds(b"x" * 100), SnapshotRefused, "cut short"),
    "a huge pointer": ("latest", buckets.holds(b" " * 5000), DepotRejected, "4096 at most"),
    "a huge manifest": (MANIFEST, buckets.holds(b" " * (MAX_MANIFEST_BYTES + 1)), DepotRejected, "at most"),
    "an empty pointer": ("latest", buckets.holds(b""), DepotError, ""),
    "garbage for a pointer": ("latest", buckets.holds(b"<html>"), DepotRejected, "no pointer"),
    "garbage for a manifest": (MANIFEST, buckets.holds(b'{"payload":1}'), SnapshotRefused, Step.SIGNATURES),
    "other bytes": (DATA, backwards, SnapshotRefused, "altered"),
}  # fmt: skip


@pytest.mark.parametrize(("ending", "lie", "kind", "said"), LIES.values(), ids=LIES)
def test_a_bucket_that_lies_changes_nothing_and_the_next_look_works(
    node: Node, published: Path, ending: str, lie: buckets.Bend, kind: type[RelaisError], said: str
):
    node.bucket.bend(ending, lie)
    with pytest.raises(kind) as refused:
        node.pull()
    text = str(refused.value)
    assert said in text
    for secret in (ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, "http://", "<Error>"):
        assert secret not in text
    assert node.held() == ()
    assert len(node.pauses) < node.settings.attempts
    assert all(path.stat().st_size <= size(published) for path in node.incoming.rglob(f"{DATA}*"))
    node.bucket.honest()
    assert node.pull().sequence == 5
    assert node.under_way() == []


def test_a_slow_drip_is_ended_and_what_came_is_kept(node: Node, published: Path):
    node.clock = RunningClock(step=1.0)
    node.bucket.bend(DATA, buckets.drip(0.005, 400))
    with pytest.raises(DepotTooSlow, match="slow retrieval"):
        node.pull()
    (part,) = node.incoming.glob("*/*.part")
    came = part.stat().st_size
    assert 0 < came < 400
    assert node.pauses == []
    node.clock = RunningClock()
    node.bucket.honest()
    node.pull()
    (asked,) = node.downloads()
    assert asked.startswith(f"bytes={came}-")


def test_files_swapped_between_two_snapshots_are_found(node: Node, maker: SnapshotMaker, published: Path):
    newer = another(maker, "newer", 6)
    node.publish(newer)
    node.bucket.bend(DATA, buckets.holds((published / DATA).read_bytes()))
    with pytest.raises(SnapshotRefused) as refused:
        node.pull()
    assert refused.value.step == Step.FILES
    assert node.held() == ()
    assert node.under_way() == []
    node.bucket.honest()
    assert node.pull().sequence == 6


def test_a_well_signed_manifest_under_another_ones_name_is_found(node: Node, maker: SnapshotMaker, published: Path):
    node.publish(another(maker, "newer", 6))
    node.bucket.honest()
    for _ in range(2):
        node.bucket.bend(MANIFEST, buckets.holds((published / MANIFEST).read_bytes()))
        with pytest.raises(SnapshotRefused) as refused:
            node.pull()
        assert refused.value.step == Step.SEQUENCE
        assert "as its name says" in refused.value.expected
        assert node.downloads() == []
    node.bucket.honest()
    assert node.pull().sequence == 6


def test_an_older_pointer_brings_nothing_back(node: Node, maker: SnapshotMaker, published: Path):
    old = node.bucket.objects["depot/latest"]
    newer = another(maker, "newer", 6)
    node.publish(newer)
    manifest = node.pull()
    after = floor(sequence=6, digest=sha256_b64u(encode_manifest(manifest)))
    node.bucket.objects["depot/latest"] = old
    with pytest.raises(SnapshotRefused) as refused:
        node.pull(conditions(floor=after))
    assert (refused.value.step, "a rollback" in refused.value.found) == (Step.SEQUENCE, True)
    assert node.held() == (6,)


def test_a_pointer_that_leads_out_of_its_prefix_is_not_followed(node: Node, published: Path):
    pointer = orjson.loads(node.bucket.objects["depot/latest"])
    for path in ("../other/snapshots/5-x", "/etc/passwd", pointer["path"] + "/../6-x", "snapshots/5"):
        node.bucket.bend("latest", buckets.holds(orjson.dumps({**pointer, "path": path})))
        with pytest.raises(DepotRejected, match="leads elsewhere"):
            node.pull()
    assert {one.name for one in node.bucket.asked} == {"depot/latest"}
