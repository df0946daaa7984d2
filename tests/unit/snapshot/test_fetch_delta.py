from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from service.errors import DepotMissing, DepotUnavailable, OperatorError, SnapshotRefused
from service.snapshot.manifest import BaseRef
from service.snapshot.signing import read_draft
from service.snapshot.steps import Step
from service.snapshot.verify import Conditions
from tests import buckets
from tests.unit.snapshot.fetching import DATA, MANIFEST, Node, size
from tests.unit.snapshot.snapshot_maker import IDENTITY, NOW, SnapshotMaker, amc_entry, conditions, contract, floor

CHANGED = {IDENTITY: (contract(member="M2"),)}


@pytest.fixture
def base(node: Node, maker: SnapshotMaker) -> Path:
    """Sequence 5, published."""
    folder = maker.make()
    node.publish(folder)
    return folder


@pytest.fixture
def delta(node: Node, maker: SnapshotMaker, base: Path) -> Path:
    """Sequence 6 over it, published too; nothing was asked for since."""
    folder = maker.make_delta(base, CHANGED)
    node.publish(folder)
    node.bucket.honest()
    return folder


def judged(node: Node, **changes: object) -> Conditions:
    return conditions(bases=node.catalog.path, **changes)


def data_asked_for(node: Node) -> list[str]:
    """The sequences whose data was asked for, in order."""
    return [one.name.split("/")[2].partition("-")[0] for one in node.asked(DATA) if one.method == "GET"]


def test_a_delta_brings_its_base_where_that_is_not_held(node: Node, delta: Path):
    assert node.pull(judged(node)).sequence == 6
    assert node.held() == (6, 5)
    assert data_asked_for(node) == ["5", "6"]
    assert node.under_way() == []


def test_a_base_that_is_held_is_not_asked_for(node: Node, base: Path, maker: SnapshotMaker):
    node.pull(judged(node))
    node.publish(maker.make_delta(base, CHANGED))
    node.bucket.honest()
    assert node.pull(judged(node)).sequence == 6
    assert not [one for one in node.bucket.asked if "snapshots/5-" in one.name]


def test_the_base_may_be_older_than_the_floor_and_expired_since(node: Node, maker: SnapshotMaker):
    base = maker.make(
        created_at=NOW - dt.timedelta(days=9),
        valid_until=NOW - dt.timedelta(days=2),
        amcs=(amc_entry(extracted_at=NOW - dt.timedelta(days=10)),),
    )
    depot = node.fetch().depot
    prefix = f"snapshots/5-{read_draft(base).digest[:16]}"
    for name in (MANIFEST, DATA):
        content = (base / name).read_bytes()
        depot.create(f"{prefix}/{name}", iter((content,)), len(content))
    node.publish(maker.make_delta(base, CHANGED, sequence=12))
    assert node.pull(judged(node, floor=floor(sequence=11))).sequence == 12
    assert node.held() == (12, 5)


def test_an_empty_delta_brings_dates_and_no_data(node: Node, base: Path, maker: SnapshotMaker):
    node.pull(judged(node))
    node.publish(maker.make_delta(base, {}))
    node.bucket.honest()
    assert node.pull(judged(node)).sequence == 6
    assert data_asked_for(node) == []
    assert [path.name for path in node.catalog.path(6).iterdir()] == [MANIFEST]


@pytest.mark.parametrize("gone", [MANIFEST, DATA])
def test_a_base_that_is_gone_changes_nothing_until_it_is_back(node: Node, delta: Path, gone: str):
    place = node.bucket.place("depot/snapshots/5-", gone)
    kept = node.bucket.objects.pop(place)
    with pytest.raises(DepotMissing, match="snapshots/5-"):
        node.pull(judged(node))
    assert node.held() == ()
    assert "6" not in data_asked_for(node)
    node.bucket.objects[place] = kept
    assert node.pull(judged(node)).sequence == 6


def test_another_base_under_its_name_is_refused_and_forgotten(node: Node, delta: Path, base: Path):
    place = node.bucket.place("depot/snapshots/5-", DATA)
    kept = node.bucket.objects[place]
    node.bucket.objects[place] = kept[::-1]
    with pytest.raises(SnapshotRefused) as refused:
        node.pull(judged(node))
    assert refused.value.step == Step.FILES
    assert (node.held(), node.under_way()) == ((), [])
    node.bucket.objects[place] = kept
    assert node.pull(judged(node)).sequence == 6


def test_a_base_that_breaks_off_goes_on_at_the_next_look(node: Node, delta: Path, base: Path):
    node.bucket.bend(DATA, buckets.cut(1000))
    with pytest.raises(DepotUnavailable):
        node.pull(judged(node))
    node.bucket.honest()
    node.pull(judged(node))
    came = 1000 * node.settings.attempts
    assert node.downloads()[0] == f"bytes={came}-{size(base) - 1}"


@pytest.mark.parametrize(
    ("change", "step"),
    [({"now": NOW + dt.timedelta(days=30)}, Step.DATES), ({"floor": floor(sequence=9)}, Step.SEQUENCE)],
)
def test_a_delta_that_must_not_serve_costs_no_base(node: Node, delta: Path, change: dict[str, object], step: Step):
    with pytest.raises(SnapshotRefused) as refused:
        node.pull(judged(node, **change))
    assert refused.value.step == step
    assert not [one for one in node.bucket.asked if "snapshots/5-" in one.name]


def test_a_delta_over_a_delta_brings_nothing(node: Node, delta: Path, base: Path, maker: SnapshotMaker):
    named = read_draft(delta)
    node.publish(maker.make_delta(base, CHANGED, "upon", sequence=7, base=BaseRef(6, named.digest)))
    node.bucket.honest()
    with pytest.raises(SnapshotRefused) as refused:
        node.pull(judged(node))
    assert refused.value.step == Step.BASE
    assert data_asked_for(node) == []
    assert node.held() == ()


def test_a_delta_is_published_after_its_base(node: Node, maker: SnapshotMaker):
    base = maker.make()
    delta = maker.make_delta(base, CHANGED)
    with pytest.raises(OperatorError, match="its base, sequence 5, is not published"):
        node.publish(delta)
    assert node.bucket.objects == {}
    node.publish(base)
    done = node.publish(delta)
    assert done.pointer.base is not None
    assert done.pointer.base.path == f"snapshots/5-{read_draft(base).digest[:16]}"


def test_another_one_held_under_the_bases_number_is_told_before_a_base_is_fetched(
    node: Node, delta: Path, maker: SnapshotMaker
):
    node.catalog.take(maker.make("other", valid_until=NOW + dt.timedelta(days=3)), conditions())
    with pytest.raises(SnapshotRefused) as refused:
        node.pull(judged(node))
    assert refused.value.step == Step.BASE
    assert data_asked_for(node) == []


def test_a_base_under_a_pepper_that_is_not_held_is_fetched_once(node: Node, delta: Path):
    for _ in range(2):
        with pytest.raises(SnapshotRefused) as refused:
            node.pull(judged(node, peppers={}))
        assert refused.value.step == Step.PEPPER
    assert data_asked_for(node) == ["5"]
    assert node.pull(judged(node)).sequence == 6
    assert data_asked_for(node) == ["5", "6"]


def test_a_delta_under_another_ones_name_costs_no_base(node: Node, delta: Path, base: Path, maker: SnapshotMaker):
    node.publish(maker.make_delta(base, CHANGED, "later", sequence=7))
    node.bucket.honest()
    node.bucket.bend(MANIFEST, buckets.holds((delta / MANIFEST).read_bytes()))
    with pytest.raises(SnapshotRefused) as refused:
        node.pull(judged(node))
    assert refused.value.step == Step.SEQUENCE
    assert not [one for one in node.bucket.asked if "snapshots/5-" in one.name]
