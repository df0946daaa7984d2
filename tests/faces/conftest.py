"""One installation for all HTTP contract tests: made once, served by real processes, torn down at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet import Installation, installation


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A demo home of 3,000 people with both servers running. Tests leave it as they found it: degraded."""
    with installation(tmp_path_factory.mktemp("served") / "home") as made:
        made.start("rights")
        made.start("admin")
        yield made
