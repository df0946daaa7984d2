"""Each story has an installation of its own: a copy of a demo home that is made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.fleet import Installation
from tests.scenarios.evidence import watched_copy
from tests.scenarios.supply import build, shifted

PEOPLE = 2000


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A demo home that nobody serves."""
    return Installation.make(tmp_path_factory.mktemp("template") / "home", PEOPLE)


@pytest.fixture(scope="session")
def next_night(template: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Snapshot 2, of the demo's people a night later, signed by both. Stories load it, or a copy that they bend."""
    home = shutil.copytree(template.home, tmp_path_factory.mktemp("builder") / "home")
    builder = Installation(home)
    return build(builder, 2, shifted(builder))


@pytest.fixture
def site(template: Installation, tmp_path: Path) -> Iterator[Installation]:
    """An installation for one story, not yet served. Whatever the story, it leaves no identity behind."""
    with watched_copy(template, tmp_path / "home") as made:
        yield made


@pytest.fixture
def queries(site: Installation) -> list[bytes]:
    """Questions about many people, open, closed and unknown ones among them."""
    people = [{name: row[name] for name in ("nir", "birth_date", "birth_rank")} for row in site.rows()[:300]]
    asked = [orjson.dumps({"beneficiary": person}) for person in people]
    return [*asked, *(orjson.dumps(site.example(name)) for name in ("open", "closed", "unknown"))]
