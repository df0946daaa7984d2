from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from service.errors import BuildError
from service.snapshot.spill import PARTITIONS, Spill, new_file, new_key, nothing

MARKER = b"185057511600159-readable"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[IO[bytes]]]:
    opened = [new_file(tmp_path) for _ in range(3)]
    yield opened
    for file in opened:
        file.close()


def spills(files: list[IO[bytes]], key: bytes) -> list[Spill]:
    return [Spill([file.fileno() for file in files], key, own) for own in range(len(files))]


def test_every_record_comes_back_from_its_partition_whoever_set_it_aside(files: list[IO[bytes]]):
    records = [os.urandom(2) + MARKER * (number % 3) for number in range(20_000)] + [b"\x00" * 1500] * 1500
    contents = nothing()
    sharing = spills(files, new_key())
    for own, spill in enumerate(sharing):
        for start in range(own * 10, len(records), 30):
            spill.add(records[start : start + 10])
        contents.add(spill.finish())
    back = [sharing[0].read(contents.blocks[number]) for number in range(PARTITIONS)]
    assert all(record[0] == number for number, part in enumerate(back) for record in part)
    assert Counter(record for part in back for record in part) == Counter(records)
    assert (contents.records, contents.size) == (len(records), sum(map(len, records)))


def test_what_is_set_aside_after_the_end_belongs_to_other_contents(files: list[IO[bytes]]):
    spill = spills(files, new_key())[0]
    spill.add([b"first"])
    first = spill.finish()
    spill.add([b"fresh"])
    second = spill.finish()
    assert spill.read(first.blocks[ord("f")]) == [b"first"]
    assert spill.read(second.blocks[ord("f")]) == [b"fresh"]


def test_nothing_readable_and_no_name_is_on_the_disk(files: list[IO[bytes]], tmp_path: Path):
    spill = spills(files, new_key())[1]
    spill.add([MARKER] * 2000)
    spill.finish()
    assert list(tmp_path.iterdir()) == []
    files[1].seek(0)
    data = files[1].read()
    assert len(data) > 2000 * len(MARKER)
    assert MARKER not in data


def test_no_two_blocks_of_a_build_share_a_nonce(files: list[IO[bytes]]):
    """Equal records in two blocks, or in the blocks of two processes, look different on the disk."""
    sealed: list[bytes] = []
    for own, spill in enumerate(spills(files, new_key())):
        for _ in range(3):
            spill.add([MARKER] * 100)
            (block,) = spill.finish().blocks[MARKER[0]]
            sealed.append(os.pread(files[own].fileno(), block.size, block.offset))
    assert len({block[:16] for block in sealed}) == 9


def test_a_block_altered_on_the_disk_is_not_read(files: list[IO[bytes]]):
    spill = spills(files, new_key())[0]
    spill.add([MARKER])
    contents = spill.finish()
    files[0].seek(0)
    files[0].write(b"\x00\x00")
    with pytest.raises(BuildError, match="came back altered"):
        spill.read(contents.blocks[MARKER[0]])


def test_a_disk_that_takes_only_a_part_at_a_time_gets_everything(
    files: list[IO[bytes]], monkeypatch: pytest.MonkeyPatch
):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:7], offset))
    spill = spills(files, new_key())[0]
    spill.add([MARKER] * 9)
    assert spill.read(spill.finish().blocks[MARKER[0]]) == [MARKER] * 9
