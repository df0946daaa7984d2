from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.base64url import sha256_b64u
from service.errors import SnapshotRefused
from service.snapshot.floor import counts_of, encode_floor, floor_of_order, load_floor, parse_floor, raise_floor
from tests.unit.snapshot.snapshot_maker import amc_entry, floor


def test_a_node_that_never_activated_has_no_floor(tmp_path: Path):
    assert load_floor(tmp_path / "node" / "floor.json") is None


def test_the_floor_rises_and_never_falls(tmp_path: Path):
    path = tmp_path / "node" / "floor.json"
    assert raise_floor(path, floor(sequence=7)).sequence == 7
    assert raise_floor(path, floor(sequence=6)).sequence == 7
    assert raise_floor(path, floor(sequence=8)).sequence == 8
    assert load_floor(path) == floor(sequence=8)


def test_another_digest_for_the_floor_is_refused_and_changes_nothing(tmp_path: Path):
    path = tmp_path / "floor.json"
    raise_floor(path, floor())
    with pytest.raises(SnapshotRefused):
        raise_floor(path, floor(digest=sha256_b64u(b"another")))
    assert load_floor(path) == floor()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"sequence":0,"digest":"","amcs":[]}'])
def test_a_damaged_floor_is_not_forgotten(tmp_path: Path, content: bytes):
    path = tmp_path / "floor.json"
    path.write_bytes(content)
    with pytest.raises(SnapshotRefused):
        load_floor(path)
    with pytest.raises(SnapshotRefused):
        raise_floor(path, floor())
    assert path.read_bytes() == content


def test_an_activation_order_can_carry_the_floor():
    known = floor(amcs=(amc_entry(), amc_entry(amc="0000000001")))
    counts = counts_of(known)
    assert set(counts) == {"0775671993", "0000000001"}
    assert floor_of_order(known.sequence, known.digest, counts) == parse_floor(encode_floor(known)) == known


@pytest.mark.parametrize("counts", [{"0775671993": {}}, {"0775671993": None}, {"x": {"people": 1}}])
def test_an_order_with_other_counts_is_no_floor(counts: dict[str, Any]):
    with pytest.raises(SnapshotRefused):
        floor_of_order(1, sha256_b64u(b""), counts)
