"""One installation for all HTTP contract tests: made once, served by real processes, torn down at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faces.desk import COUNTER, HUB, Counter
from tests.fleet import Installation, installation

#: So that no budget ever stands between a test and what it asks.
PLENTY = ("--daily", "1000000", "--burst", "1000000", "--unknown", "1000000")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A demo home of 3,000 people with both servers running. Tests leave it as they found it: degraded."""
    with installation(tmp_path_factory.mktemp("served") / "home") as made:
        made.register(COUNTER, "pharmacy", "330012342", options=PLENTY)
        made.register(HUB, "hub", "750012346", "2A0012346", options=PLENTY)
        made.register("neighbour", "pharmacy", "330012342", options=PLENTY)
        made.register("auditor", "auditor")
        made.register("operator", "operator")
        made.register("vendor", "vendor")
        made.start("rights")
        made.start("admin")
        yield made


@pytest.fixture(scope="session")
def counter(served: Installation) -> Counter:
    """What a pharmacy's software does at the counter."""
    return Counter(served)
