"""Records set aside between the two passes of a build, in parts small enough for the memory.

Blocks are sealed under a key that lives only in this process, in a file without a name: nothing readable touches
the disk, and nothing is left behind however the process ends.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: By the first byte of the record key. 33 million people with two entries each give parts of some 50 MB.
PARTITIONS: Final = 256
#: Records that wait before they are written: 256 x 512 records of 200 bytes are 26 MB.
_BLOCK_RECORDS: Final = 512


class Spill:
    """Records by partition; filled once, then read back partition by partition."""

    def __init__(self, directory: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by close()
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._waiting: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self._blocks: list[list[tuple[int, int, int]]] = [[] for _ in range(PARTITIONS)]
        self._written = 0
        self._count = 0
        self.size = 0
        self.records = 0

    def add(self, record: bytes) -> None:
        """Set one record aside; its first byte says where."""
        waiting = self._waiting[record[0]]
        waiting.append(record)
        if len(waiting) >= _BLOCK_RECORDS:
            self._flush(record[0])

    def partition(self, number: int) -> list[bytes]:
        """All records whose first byte is `number`, in no order."""
        records: list[bytes] = []
        for block, offset, size in self._blocks[number]:
            self._file.seek(offset)
            sealed = self._file.read(size)
            plain = self._cipher.decrypt(block.to_bytes(12), sealed, None)
            records += msgspec.msgpack.decode(plain, type=list[bytes])
        return records

    def finish(self) -> None:
        """Write what still waits; no record may follow."""
        for number in range(PARTITIONS):
            if self._waiting[number]:
                self._flush(number)
        self._file.flush()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _flush(self, number: int) -> None:
        records = self._waiting[number]
        plain = msgspec.msgpack.encode(records)
        sealed = self._cipher.encrypt(self._count.to_bytes(12), plain, None)  # a counter never repeats a nonce
        self._file.write(sealed)
        self._blocks[number].append((self._count, self._written, len(sealed)))
        self._count += 1
        self._written += len(sealed)
        self.size += len(plain)
        self.records += len(records)
        self._waiting[number] = []
