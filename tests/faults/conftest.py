from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.homes import Night, make_night
from tests.fleet import Installation, free_ports


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return make_night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def site(night: Night, tmp_path: Path) -> Iterator[Installation]:
    """Servers over a home of their own, not started yet."""
    rights, admin = free_ports(2)
    made = Installation(night.fresh(tmp_path / "site"), ports={"rights": rights, "admin": admin})
    try:
        yield made
    finally:
        made.close()
