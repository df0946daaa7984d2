from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.buckets import LyingBucket, environment, lying_bucket, moto_server
from tests.unit.snapshot.fetching import Node
from tests.unit.snapshot.snapshot_maker import SnapshotMaker


@pytest.fixture(scope="session")
def moto() -> Iterator[int]:
    """The port of moto's server."""
    with moto_server() as port:
        yield port


@pytest.fixture
def bucket() -> Iterator[LyingBucket]:
    """A bucket that lies on demand."""
    with lying_bucket() as made:
        yield made


@pytest.fixture
def node(tmp_path: Path, bucket: LyingBucket, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node that pulls from it."""
    for name, value in environment(bucket.port).items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "home"
    root.mkdir()
    return Node(root, bucket)


@pytest.fixture
def maker(tmp_path: Path) -> SnapshotMaker:
    """The builder whose snapshots are published there."""
    return SnapshotMaker(tmp_path)


@pytest.fixture
def published(node: Node, maker: SnapshotMaker) -> Path:
    """Sequence 5, published honestly; nothing was asked for since."""
    folder = maker.make()
    node.publish(folder)
    node.bucket.honest()
    return folder
