"""The store that LMDB is measured against gives the same records, or its figures would say nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.flat_layer import FlatLayer, FlatWriter


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("count", [1, 2, 50, 5000])
def test_every_record_is_found_and_no_other(tmp_path: Path, count: int, mapped: bool):  # noqa: FBT001
    chance = random.Random(count)  # noqa: S311
    records = {chance.randbytes(16): chance.randbytes(80 + 64 * chance.randrange(8)) for _ in range(count)}
    records[bytes(16)] = b"the first place"
    records[b"\xff" * 16] = b"the last place"
    items = sorted(records.items())
    writer = FlatWriter(tmp_path / "records", count)
    writer.append(items[: count // 2])
    writer.append(items[count // 2 :])
    writer.finish()
    with FlatLayer(tmp_path / "records", mapped=mapped) as layer:
        assert {key: layer.get(key) for key in records} == records
        assert layer.get(chance.randbytes(16)) is None
        assert layer.get(items[0][0][:15] + b"x") is None
