from __future__ import annotations

import stat
from pathlib import Path

import lmdb
import pytest

from service.errors import BuildError
from service.snapshot.writer import LayerWriter

ITEMS = [(number.to_bytes(16), b"v" * (number % 400 + 1)) for number in range(40_000)]


@pytest.fixture
def writer(tmp_path: Path) -> LayerWriter:
    return LayerWriter(tmp_path / "records.lmdb", 1 << 28)


def test_what_was_appended_is_all_there_read_only(writer: LayerWriter, tmp_path: Path):
    writer.append(ITEMS[:35_000])
    writer.append([])
    writer.append(ITEMS[35_000:])
    writer.finish()
    path = tmp_path / "records.lmdb"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert [entry.name for entry in tmp_path.iterdir()] == ["records.lmdb"]
    with (
        lmdb.open(str(path), subdir=False, readonly=True, lock=False, lib_version=0) as environment,
        environment.begin() as transaction,
    ):
        assert list(transaction.cursor()) == ITEMS


@pytest.mark.parametrize("again", [[ITEMS[9]], [ITEMS[3]], [ITEMS[12], ITEMS[12]], [ITEMS[13], ITEMS[12]]])
def test_a_second_plaintext_of_one_identity_never_reaches_the_file(
    writer: LayerWriter, again: list[tuple[bytes, bytes]]
):
    writer.append(ITEMS[:10])
    with pytest.raises(BuildError, match="one identity"):
        writer.append([(key, b"another plaintext") for key, _ in again])
    writer.close()


def test_a_full_file_is_said(tmp_path: Path):
    writer = LayerWriter(tmp_path / "records.lmdb", 1 << 16)
    with pytest.raises(BuildError, match="cannot be written"):
        writer.append(ITEMS)
    writer.close()


def test_no_room_for_its_map_is_said(tmp_path: Path):
    with pytest.raises(BuildError, match="cannot be written: "):
        LayerWriter(tmp_path / "records.lmdb", 1 << 62)
