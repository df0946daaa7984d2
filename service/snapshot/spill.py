"""Records set aside between the passes of a build, in parts small enough for the memory.

Each process writes to a file of its own and reads from all of them. Blocks are sealed under a key that lives only in
the processes of this build, in files without a name: nothing readable touches the disk, and nothing is left behind
however the build ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.errors import BuildError

#: By the first byte of a record. 33 million people with two entries each give parts of some 50 MB.
PARTITIONS: Final = 256
#: Records that wait before they are written: 256 x 512 records of 200 bytes are 26 MB.
_BLOCK_RECORDS: Final = 512


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Where some records of one partition lie: in which file, from where, and how many bytes, sealed."""

    file: int
    offset: int
    size: int


class Contents(msgspec.Struct):
    """What was set aside: the blocks of each partition, the number of records, and their bytes."""

    blocks: list[list[Block]]
    records: int = 0
    size: int = 0

    def add(self, other: Contents) -> None:
        """Take in what another process set aside."""
        for mine, theirs in zip(self.blocks, other.blocks, strict=True):
            mine.extend(theirs)
        self.records += other.records
        self.size += other.size


def nothing() -> Contents:
    """Contents before the first record."""
    return Contents([[] for _ in range(PARTITIONS)])


def new_key() -> bytes:
    """A key for the blocks of one build; it is written nowhere."""
    return AESGCM.generate_key(256)


def new_file(directory: Path) -> IO[bytes]:
    """A file without a name, for the blocks of one process."""
    return tempfile.TemporaryFile(dir=directory, buffering=0)


class Spill:
    """The view of one process: it writes to file number `own` of `descriptors`, and reads any."""

    def __init__(self, descriptors: Sequence[int], key: bytes, own: int = 0) -> None:
        self._descriptors = descriptors
        self._cipher = AESGCM(key)
        self._own = own
        self._written = 0
        self._waiting: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self._contents = nothing()

    def add(self, records: Iterable[bytes]) -> None:
        """Set records aside; the first byte of each says in which partition."""
        waiting = self._waiting
        for record in records:
            waiting[record[0]].append(record)
        for number, some in enumerate(waiting):
            if len(some) >= _BLOCK_RECORDS:
                self._write(number)

    def finish(self) -> Contents:
        """Write what still waits. What is added later belongs to other contents."""
        for number, some in enumerate(self._waiting):
            if some:
                self._write(number)
        contents, self._contents = self._contents, nothing()
        return contents

    def read(self, blocks: Iterable[Block]) -> list[bytes]:
        """All records of some blocks, in no order. Raises `BuildError` for a disk that gives back something else."""
        records: list[bytes] = []
        for block in blocks:
            sealed = os.pread(self._descriptors[block.file], block.size, block.offset)
            try:
                plain = self._cipher.decrypt(_nonce(block.file, block.offset), sealed, None)
            except InvalidTag as error:
                raise BuildError("what the build set aside on the disk came back altered") from error
            records += msgspec.msgpack.decode(plain, type=list[bytes])
        return records

    def _write(self, number: int) -> None:
        records, self._waiting[number] = self._waiting[number], []
        sealed = self._cipher.encrypt(_nonce(self._own, self._written), msgspec.msgpack.encode(records), None)
        self._contents.blocks[number].append(Block(self._own, self._written, len(sealed)))
        self._contents.records += len(records)
        self._contents.size += sum(map(len, records))
        rest = memoryview(sealed)
        while rest:
            done = os.pwrite(self._descriptors[self._own], rest, self._written)
            self._written += done
            rest = rest[done:]


def _nonce(file: int, offset: int) -> bytes:
    """No two blocks begin at one place, so none repeats."""
    return file.to_bytes(4) + offset.to_bytes(8)
