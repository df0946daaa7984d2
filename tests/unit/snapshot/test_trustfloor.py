from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from service.errors import TrustRefused
from service.snapshot.trustfloor import TrustFloor, load_trust_floor, raise_trust_floor
from tests.unit.snapshot.snapshot_maker import trust

SECOND = replace(trust(), version=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node" / "trust-floor.json"


def test_without_a_rotation_there_is_no_floor(path: Path):
    assert load_trust_floor(path) is None


def test_an_installed_version_is_remembered(path: Path):
    raise_trust_floor(path, SECOND)
    floor = load_trust_floor(path)
    assert floor == TrustFloor(2, SECOND.digest)
    assert floor.check(SECOND) is SECOND
    assert floor.check(replace(SECOND, version=3, digest="another")).version == 3


def test_a_lower_version_is_a_rollback(path: Path):
    with pytest.raises(TrustRefused, match="version 2 or above, as installed here; found 1: a rollback"):
        TrustFloor(2, SECOND.digest).check(trust())


def test_another_file_of_the_same_version_is_refused():
    with pytest.raises(TrustRefused, match="expected trust version 2 of digest"):
        TrustFloor(2, "another").check(SECOND)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"version":"2","digest":"x"}', b"\xff", b'{"version":2,"digest":"x"']
)
def test_a_damaged_floor_is_not_forgotten(path: Path, content: bytes):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(TrustRefused, match="cannot be read"):
        load_trust_floor(path)
