from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.buckets import LyingBucket, lying_bucket, moto_server


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
