from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from service.errors import BuildError, RowRejected
from service.snapshot.rows import SourceRow
from service.snapshot.sources import open_source
from tests.unit.snapshot.made_rows import ndjson, row

ROWS = ndjson([row(birth_rank=1 + number % 9) for number in range(500)])
Compress = Callable[[bytes], bytes]
each_format = pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])


def read(folder: Path, data: bytes) -> list[SourceRow | RowRejected]:
    path = folder / "rows"
    path.write_bytes(data)
    with open_source(path) as source:
        return [item for _, item in source]


@each_format
def test_files_put_together_are_read_to_their_end(tmp_path: Path, compress: Compress):
    parts = [compress(ROWS[:1000]), compress(b""), compress(ROWS[1000:])]
    assert read(tmp_path, b"".join(parts)) == read(tmp_path, ROWS)


def test_a_zstd_file_may_begin_with_a_frame_to_be_skipped(tmp_path: Path):
    for number in (0x50, 0x5F):
        skipped = bytes([number]) + b"\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
        assert read(tmp_path, skipped + zstd.compress(ROWS)) == read(tmp_path, ROWS)


@each_format
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-4],
        lambda data: data[: len(data) // 2],
        lambda data: data[:5],
        lambda data: data + data[:20],
        lambda data: data + b"garbage",
        lambda data: data[:40] + bytes([data[40] ^ 0xFF]) + data[41:],
        lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:],
    ],
    ids=["cut by a little", "cut in half", "cut to a head", "second part cut", "more behind it", "damaged", "checksum"],
)
def test_a_stream_that_is_not_whole_stops_the_reading(tmp_path: Path, compress: Compress, damage: Compress):
    if compress is zstd.compress:
        options = {zstd.CompressionParameter.checksum_flag: 1}
        data = zstd.compress(ROWS, options=options)
    else:
        data = gzip.compress(ROWS)
    with pytest.raises(BuildError, match=r"the source .*rows is not whole"):
        read(tmp_path, damage(data))


def test_a_window_no_reader_should_hold_is_refused(tmp_path: Path):
    options = {zstd.CompressionParameter.window_log: 30, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    with pytest.raises(BuildError, match="too much memory"):
        read(tmp_path, compressor.compress(ROWS) + compressor.flush())


@each_format
@pytest.mark.parametrize("filling", [b"x", b"\n"], ids=["one endless line", "endless blank lines"])
def test_a_bomb_costs_one_buffer(tmp_path: Path, compress: Compress, filling: bytes):
    bomb = compress(filling * 1_000_000) * 64
    assert len(bomb) < 100_000
    path = tmp_path / "rows"
    path.write_bytes(compress(ROWS) + bomb)
    tracemalloc.start()
    try:
        with open_source(path) as source:
            chunks = sum(1 for _ in source.chunks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert chunks > 0
    assert peak < 4_000_000
