from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from service.snapshot.spill import PARTITIONS, Spill

MARKER = b"185057511600159-readable"


def test_every_record_comes_back_from_its_partition(tmp_path: Path):
    spill = Spill(tmp_path)
    records = [os.urandom(2) + MARKER * (number % 3) for number in range(20_000)] + [b"\x00" * 1500] * 1500
    for record in records:
        spill.add(record)
    spill.finish()
    back = [spill.partition(number) for number in range(PARTITIONS)]
    assert all(record[0] == number for number, part in enumerate(back) for record in part)
    assert Counter(record for part in back for record in part) == Counter(records)
    assert spill.records == len(records)
    assert spill.size >= sum(map(len, records))
    spill.close()


def test_nothing_readable_and_no_name_is_on_the_disk(tmp_path: Path):
    spill = Spill(tmp_path)
    for _ in range(2000):
        spill.add(MARKER)
    spill.finish()
    assert list(tmp_path.iterdir()) == []
    spill._file.seek(0)
    data = spill._file.read()
    assert len(data) > 2000 * len(MARKER)
    assert MARKER not in data
    spill.close()


def test_a_block_altered_on_the_disk_is_not_read(tmp_path: Path):
    spill = Spill(tmp_path)
    spill.add(MARKER)
    spill.finish()
    spill._file.seek(0)
    spill._file.write(b"\x00\x00")
    with pytest.raises(InvalidTag):
        spill.partition(MARKER[0])
    spill.close()
