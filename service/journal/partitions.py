"""Records set aside in parts small enough for the memory, so that what belongs together can be brought together.

Blocks are sealed under a key that lives only in this object, in a file without a name: nothing readable touches the
disk, and nothing is left behind however the run ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: By the first byte of a key. Ten million records of 200 bytes give parts of some 8 MB.
PARTS: Final = 256
#: Bytes that wait in memory before they are written: 64 KiB blocks on average.
WAITING_BYTES: Final = 16 * 1024 * 1024
_LENGTH_BYTES: Final = 4
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class _Block:
    """Where some records of one part lie; `number` is its nonce."""

    number: int
    offset: int
    size: int


class Partitions:
    """Use as a context manager: `put` everything, then read `parts` once, each as a list of its records in order."""

    def __init__(self, directory: Path | None = None, waiting_bytes: int = WAITING_BYTES) -> None:
        """The file lies in `directory`, by default where temporary files do (TMPDIR). Raises OSError."""
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - closed on exit
        self._seal = AESGCM(AESGCM.generate_key(256))
        self._waiting = [bytearray() for _ in range(PARTS)]
        self._blocks: list[list[_Block]] = [[] for _ in range(PARTS)]
        self._waiting_bytes = waiting_bytes
        self._size = 0
        self._end = 0
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def put(self, key: bytes, record: bytes) -> None:
        """Set a record aside; records of one key come back in one part. Raises OSError."""
        part = self._waiting[key[0]]
        part += len(record).to_bytes(_LENGTH_BYTES, "big")
        part += record
        self._size += _LENGTH_BYTES + len(record)
        if self._size >= self._waiting_bytes:
            self._flush()

    def parts(self) -> Iterator[list[bytes]]:
        """Every part that holds something. Raises OSError."""
        for number in range(PARTS):
            data = b"".join(self._load(block) for block in self._blocks[number]) + self._waiting[number]
            if data:
                yield _records(data)

    def _flush(self) -> None:
        for waiting, blocks in zip(self._waiting, self._blocks, strict=True):
            if not waiting:
                continue
            sealed = self._seal.encrypt(self._number.to_bytes(_NONCE_BYTES, "big"), bytes(waiting), None)
            self._write(sealed)
            blocks.append(_Block(number=self._number, offset=self._end, size=len(sealed)))
            self._number += 1
            self._end += len(sealed)
            waiting.clear()
        self._size = 0

    def _write(self, data: bytes) -> None:
        self._file.seek(self._end)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _load(self, block: _Block) -> bytes:
        self._file.seek(block.offset)
        sealed = bytearray()
        while len(sealed) < block.size:
            got = self._file.read(block.size - len(sealed))
            if not got:
                raise OSError("what was set aside is not there any more")
            sealed += got
        return self._seal.decrypt(block.number.to_bytes(_NONCE_BYTES, "big"), bytes(sealed), None)


def _records(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(data[at:begin], "big")
        found.append(data[begin:at])
    return found
