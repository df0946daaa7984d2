"""One installation for the attacks that leave it as it was; those that do not have one of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.access.doors import register_bench
from tests.fleet import Installation, installation
from tests.scenarios.evidence import watched_copy
from tests.unit.access.forge import Bench

PEOPLE = 500


@pytest.fixture(scope="session")
def unserved(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A demo home that nobody serves. To be copied."""
    return Installation.make(tmp_path_factory.mktemp("unserved") / "home", PEOPLE)


@pytest.fixture(scope="session")
def bench() -> Bench:
    """The keys of two pharmacies, and how to bend tokens of theirs."""
    return Bench()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, bench: Bench) -> Iterator[Installation]:
    """Both servers, of one worker each, which know the two pharmacies of the bench."""
    with installation(tmp_path_factory.mktemp("access") / "home", PEOPLE) as made:
        register_bench(made, bench)
        made.start("rights", workers=1)
        made.start("admin", workers=1)
        yield made


@pytest.fixture
def site(unserved: Installation, tmp_path: Path) -> Iterator[Installation]:
    """An installation for one attack, not yet served. Whatever the attack, it leaves no identity behind."""
    with watched_copy(unserved, tmp_path / "home") as made:
        yield made
