"""A prototype of another record store: sealed records in the order of their keys, and a fan-out index over them.

The keys of a layer are the output of an HMAC, so they are spread evenly: the first bits of a key say where its record
lies, up to a handful of neighbours. A file of records (key, length, sealed value) and a file of offsets, one for each
value of those bits; a lookup reads one offset and then one bucket, of some 2 KB. Only benchmarks/stores.py uses this.
"""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

KEY = 16
#: Records a bucket, on average: of some 180 bytes each, a bucket fits a page.
BUCKET = 12
_OFFSET = 8


def index_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.index")


class FlatWriter:
    """Takes records in ascending order of their keys; `expected` of them, roughly."""

    def __init__(self, path: Path, expected: int) -> None:
        self._path = path
        self._file = path.open("xb", buffering=1 << 20)
        self._bits = min(32, max(1, (expected // BUCKET).bit_length()))
        self._shift = 64 - self._bits
        self._offsets = array("Q", [0])
        self._end = 0

    def append(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        offsets, shift, end = self._offsets, self._shift, self._end
        parts: list[bytes] = []
        number, bucket = int.from_bytes, len(offsets) - 1
        for key, sealed in items:
            place = number(key[:8]) >> shift
            while bucket < place:
                offsets.append(end)
                bucket += 1
            length = len(sealed)
            parts += (key, length.to_bytes(2), sealed)
            end += KEY + 2 + length
        self._file.write(b"".join(parts))
        self._end = end

    def finish(self) -> None:
        self._offsets.extend([self._end] * ((1 << self._bits) + 1 - len(self._offsets)))
        with index_path(self._path).open("xb") as index:
            self._offsets.tofile(index)
            index.flush()
            os.fsync(index.fileno())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class FlatLayer:
    """Reads records with one `pread` each. The index lies in memory, or is mapped and shared between processes."""

    def __init__(self, path: Path, *, mapped: bool) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        size = index_path(path).stat().st_size
        with index_path(path).open("rb") as file:
            if mapped:
                index = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                index.madvise(mmap.MADV_RANDOM)
                self._offsets = memoryview(index).cast("Q")
            else:
                offsets = array("Q")
                offsets.fromfile(file, size // _OFFSET)
                self._offsets = memoryview(offsets)
        self._shift = 64 - (size // _OFFSET - 1).bit_length() + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._offsets.release()
        os.close(self._descriptor)

    def get(self, key: bytes) -> bytes | None:
        place = int.from_bytes(key[:8]) >> self._shift
        start = self._offsets[place]
        bucket = os.pread(self._descriptor, self._offsets[place + 1] - start, start)
        # A key is 16 bytes that look random: found elsewhere than at the head of a record it would not open anything.
        found = bucket.find(key)
        if found < 0:
            return None
        begin = found + KEY + 2
        return bucket[begin : begin + int.from_bytes(bucket[begin - 2 : begin])]
