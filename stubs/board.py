"""What the processes of one stand-in server share: the faults that hold, and what each process has counted.

It lies in memory that processes forked afterwards have in common. Faults are written whole under a lock; of counts
each process writes its own.
"""

from __future__ import annotations

import mmap
import multiprocessing
import struct
import time
from typing import Final, Literal, get_args

import orjson

from stubs.faults import Faults

Outcome = Literal["answered", "refused", "error", "hang", "drop", "garbage", "oversize", "drip", "wrong_person"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
#: Version of the faults, the monotonic second they were set at, the length of their JSON.
_HEAD: Final = struct.Struct("=QdI")
_VERSION: Final = struct.Struct("=Q")
_PAGE: Final = 4096
_COUNTS: Final = struct.Struct(f"={1 + len(OUTCOMES)}Q")


class Board:
    """The board of `workers` processes. Each calls `take` with its number before it counts."""

    def __init__(self, workers: int = 1) -> None:
        self._memory = mmap.mmap(-1, _PAGE * (1 + workers))
        self._lock = multiprocessing.get_context("fork").Lock()
        self._workers = workers
        self._own = 1
        self._known = -1
        self._faults, self._since = Faults(), 0.0
        self.set_faults(Faults())

    def take(self, number: int) -> None:
        """Be process number `number`, counted from 0."""
        self._own = 1 + number

    def faults(self) -> Faults:
        """The faults as they were set."""
        if _VERSION.unpack_from(self._memory)[0] != self._known:
            with self._lock:
                self._read()
        return self._faults

    def now(self) -> Faults:
        """The faults that hold at this moment: flapping ones come and go."""
        faults = self.faults()
        return faults.at(time.monotonic() - self._since) if faults.flap_seconds else faults

    def change(self, change: object) -> Faults:
        """Merge a change into the faults; raises `ValueError` as `Faults.merged`."""
        with self._lock:
            self._read()
            self._write(self._faults.merged(change))
        return self._faults

    def set_faults(self, faults: Faults) -> None:
        """Let these faults hold in place of all others."""
        with self._lock:
            self._write(faults)

    def count(self, outcome: Outcome) -> None:
        """One more question came to this end."""
        counts = self._counts(self._own)
        counts[1 + OUTCOMES.index(outcome)] += 1
        _COUNTS.pack_into(self._memory, _PAGE * self._own, *counts)

    def count_asked(self) -> None:
        """One more question came in."""
        counts = self._counts(self._own)
        counts[0] += 1
        _COUNTS.pack_into(self._memory, _PAGE * self._own, *counts)

    def counts(self) -> dict[str, int]:
        """`asked`, then how many came to each end, of all processes together."""
        totals = [sum(column) for column in zip(*map(self._counts, range(1, 1 + self._workers)), strict=True)]
        return dict(zip(("asked", *OUTCOMES), totals, strict=True))

    def _counts(self, number: int) -> list[int]:
        return list(_COUNTS.unpack_from(self._memory, _PAGE * number))

    def _read(self) -> None:
        self._known, self._since, length = _HEAD.unpack_from(self._memory)
        if length:
            self._faults = Faults(**orjson.loads(self._memory[_HEAD.size : _HEAD.size + length]))

    def _write(self, faults: Faults) -> None:
        version = _VERSION.unpack_from(self._memory)[0]
        text = orjson.dumps(faults.members())
        self._memory[_HEAD.size : _HEAD.size + len(text)] = text
        # The version last: whoever sees it waits for the lock, and finds all of it.
        _HEAD.pack_into(self._memory, 0, version + 1, time.monotonic(), len(text))
        self._read()
