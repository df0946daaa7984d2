from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from service.journal.partitions import Partitions


@given(st.lists(st.binary(max_size=40), max_size=200), st.integers(min_value=1, max_value=400))
def test_everything_comes_back_in_its_order_and_one_key_in_one_part(records: list[bytes], waiting_bytes: int):
    with Partitions(waiting_bytes=waiting_bytes) as aside:
        for number, record in enumerate(records):
            aside.put(hashlib.sha256(record).digest(), number.to_bytes(4, "big") + record)
        parts = list(aside.parts())
    assert sorted(one for part in parts for one in part) == [
        number.to_bytes(4, "big") + record for number, record in enumerate(records)
    ]
    assert all(part == sorted(part) for part in parts)
    homes = Counter(record for part in parts for record in {one[4:] for one in part})
    assert all(count == 1 for count in homes.values())


def test_nothing_readable_touches_the_disk_and_nothing_is_left(tmp_path: Path):
    secret = b"1850599000001"
    with Partitions(tmp_path, waiting_bytes=1) as aside:
        aside.put(b"\x00", secret * 100)
        aside._file.seek(0)
        written = aside._file.read()
        assert len(written) > 1300
        assert secret not in written
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
