"""One process at work on a build: what it must know, and the tasks it can be given.

A task and its result travel between processes as they are; whoever runs it, and wherever, the result is the same.
"""

from __future__ import annotations

import os
from bisect import insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from service.errors import BuildError
from service.snapshot.chunks import Chunk
from service.snapshot.difference import Changes, Difference
from service.snapshot.intake import Intake, Taken
from service.snapshot.mapped import map_file
from service.snapshot.seal import LayerKey, seal_probe
from service.snapshot.sealing import Item, seal_records
from service.snapshot.spill import PARTITIONS, Block, Contents, Spill
from service.snapshot.tally import Tally

#: Items that travel together, and enter the data file in one transaction, whose pages wait in memory until it ends.
PIECE_ITEMS: Final = 32 * 1024
_STATUS: Final = Path("/proc/self/status")


class BaseLayer(msgspec.Struct, frozen=True):
    """The data file of a delta's base, verified, and what opens it."""

    path: Path
    pepper: bytes
    salt: bytes

    def __repr__(self) -> str:
        return f"BaseLayer({str(self.path)!r})"


class Recipe(msgspec.Struct, frozen=True):
    """What every process of one build knows. `base` where it is a delta; secrets stay in memory."""

    pepper: bytes
    salt: bytes
    extracted: dict[str, int]
    member_entries: bool
    spill_key: bytes
    base: BaseLayer | None = None

    def __repr__(self) -> str:
        return f"Recipe(base={self.base!r})"


class Sealed(msgspec.Struct):
    """The sealed items of a partition in the order of their keys, encoded in pieces; what they count."""

    pieces: list[bytes]
    tally: Tally


class Compared(msgspec.Struct):
    """What the new entries of a partition count, and how many of them differ from the base."""

    tally: Tally
    changes: Changes


class Bench:
    """The state of one process: keys, and records set aside."""

    def __init__(self, recipe: Recipe, descriptors: Sequence[int], own: int) -> None:
        self._key = LayerKey(recipe.pepper, recipe.salt)
        self._probe = seal_probe(self._key)
        self._spill = Spill(descriptors, recipe.spill_key, own)
        self._base = recipe.base
        # Records of a delta are sorted as the base sorts them, so that the two can be read side by side.
        key = LayerKey(recipe.base.pepper, recipe.base.salt) if recipe.base else self._key
        self._intake = Intake(
            key, recipe.extracted, member_entries=recipe.member_entries, named=recipe.base is not None
        )
        self._difference = Difference(key, self._key)

    def take(self, chunk: Chunk, *, canary: bool) -> Taken:
        """Read a chunk and set its records aside."""
        taken, records = self._intake.take(chunk, canary=canary)
        self._spill.add(records)
        return taken

    def settle(self) -> Contents:
        """Where this process set things aside; it reads from any process's file."""
        return self._spill.finish()

    def seal(self, partition: int, blocks: Sequence[Block]) -> Sealed:
        """A partition of a base, from records to sealed items."""
        tally = Tally()
        items = seal_records(self._spill.read(blocks), self._key.salt, tally)
        return Sealed(pieces=self._pieces(partition, items), tally=tally)

    def compare(self, partition: int, blocks: Sequence[Block]) -> Compared:
        """A partition of the new entries against the base; what differs is set aside by its place in the delta."""
        compared = Compared(Tally(), Changes())
        with _base_items(self._base, partition) as items:
            records = self._spill.read(blocks)
            found = self._difference.compare(records, items, compared.tally, compared.changes)
            self._spill.add(key + sealed for key, sealed in found)
        return compared

    def gather(self, partition: int, blocks: Sequence[Block]) -> Sealed:
        """A partition of a delta: what comparing set aside, in the order of its keys."""
        items = ((record[:16], record[16:]) for record in sorted(self._spill.read(blocks)))
        return Sealed(pieces=self._pieces(partition, items), tally=Tally())

    def _pieces(self, partition: int, items: Iterator[Item]) -> list[bytes]:
        """Encoded as they come, so that no more than one piece of them is held as objects; the probe in its place."""
        pieces: list[bytes] = []
        probe_due = self._probe[0][0] == partition
        while some := list(islice(items, PIECE_ITEMS)):
            if probe_due and self._probe < some[-1]:
                insort(some, self._probe)
                probe_due = False
            pieces.append(msgspec.msgpack.encode(some))
        return [*pieces, msgspec.msgpack.encode([self._probe])] if probe_due else pieces


class Take(msgspec.Struct, frozen=True):
    """Task: read a chunk."""

    chunk: Chunk
    canary: bool

    def run(self, bench: Bench) -> Taken:
        """Do it."""
        return bench.take(self.chunk, canary=self.canary)


class Settle(msgspec.Struct, frozen=True):
    """Task: say what was set aside."""

    def run(self, bench: Bench) -> Contents:
        """Do it."""
        return bench.settle()


class _OfPartition(msgspec.Struct, frozen=True):
    partition: int
    blocks: list[Block]


class Seal(_OfPartition, frozen=True):
    """Task: seal a partition of a base."""

    def run(self, bench: Bench) -> Sealed:
        """Do it."""
        return bench.seal(self.partition, self.blocks)


class Compare(_OfPartition, frozen=True):
    """Task: compare a partition with the base."""

    def run(self, bench: Bench) -> Compared:
        """Do it."""
        return bench.compare(self.partition, self.blocks)


class Gather(_OfPartition, frozen=True):
    """Task: put a partition of a delta in order."""

    def run(self, bench: Bench) -> Sealed:
        """Do it."""
        return bench.gather(self.partition, self.blocks)


class Weigh(msgspec.Struct, frozen=True):
    """Task: say how many bytes of memory this process held at its peak."""

    def run(self, _bench: Bench) -> int:
        """Do it."""
        return peak_rss_bytes()


def peak_rss_bytes() -> int:
    """The most memory this process ever held, in bytes (the kernel's VmHWM)."""
    lines = (line.split() for line in _STATUS.read_text("ascii").splitlines())
    return next(int(words[1]) * 1024 for words in lines if words and words[0] == "VmHWM:")


@contextmanager
def _base_items(base: BaseLayer | None, partition: int) -> Iterator[Iterator[Item]]:
    """The base's records whose key begins with a byte, ascending. Raises `BuildError`.

    The file is mapped anew each time: unmapped again, what was read of it no longer counts as memory of this process.
    """
    if base is None:
        raise ValueError("a comparison needs a base")
    _read_ahead(base.path, partition)
    first = partition.to_bytes()
    mapped = map_file(base.path)
    try:
        with mapped.environment.begin() as transaction, transaction.cursor() as cursor:
            cursor.set_range(first)
            yield takewhile(lambda item: item[0].startswith(first), cursor)
    except lmdb.Error as error:
        raise BuildError("the base's data file is damaged") from error
    finally:
        mapped.release()


def _read_ahead(path: Path, partition: int) -> None:
    """Have the kernel read about the part of the file that a partition lies in: keys were appended in their order."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        part = os.fstat(descriptor).st_size // PARTITIONS
        os.posix_fadvise(descriptor, part * partition, part, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(descriptor)
