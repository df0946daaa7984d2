"""Workers that were killed by reading a snapshot: a page that cannot be read ends the process (SIGBUS, SIGSEGV).

Size and digest are right when a file is opened; a disk that fails afterwards tells nobody else. So each worker names
what it reads in a file of its slot, where the interpreter writes its last words, and its successor looks there. One
crash, and this server no longer goes by notes for that snapshot but hashes it at each opening; three within a minute,
and it does not open it again until it is started anew or another snapshot is ordered. Answering nothing is better than
a worker that dies under every other question.
"""

from __future__ import annotations

import datetime as dt
import faulthandler
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from service.errors import LayerRejected

CRASHES: Final = 3
WITHIN: Final = dt.timedelta(seconds=60)
#: Of all slots, since the server was started.
_LIST: Final = "crashes.jsonl"
_SUFFIX: Final = ".fault"
_LAST_WORDS: Final = re.compile(rb"^Fatal Python error: ([A-Za-z ]{1,40})$", re.MULTILINE)


class Crash(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's end while it read a snapshot: seen when, which snapshot, and the fault in the interpreter's words."""

    at: dt.datetime
    digest: str
    sequence: int
    fault: str


class _Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    digest: str
    sequence: int


class Crashes:
    """What one worker leaves to its successors, in `<home>/run`; a server that starts has none before it (`clear`)."""

    def __init__(self, run: Path, slot: int) -> None:
        self._list = run / _LIST
        self._path = _fault_file(run, slot)
        self._reading = b""
        self._descriptor: int | None = None

    @staticmethod
    def clear(run: Path) -> None:
        """Forget all crashes: the server starts anew, and verifies by hashing. Raises `OSError`."""
        for path in (run / _LIST, *run.glob(f"*{_SUFFIX}")):
            path.unlink(missing_ok=True)

    def take_over(self, now: dt.datetime) -> Crash | None:
        """Take the slot over from the worker before; what killed it, if that was a fault. Raises `OSError`.

        From here on the interpreter writes this worker's last words for the next.
        """
        crash = self._last_words(now)
        if crash is not None:
            line = msgspec.json.encode(crash) + b"\n"
            descriptor = os.open(self._list, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._name(b"")
        faulthandler.enable(self._descriptor, all_threads=False)
        return crash

    @contextmanager
    def reading(self, sequence: int, digest: str) -> Iterator[None]:
        """The body opens a snapshot, which is read from then on; if it fails, the one before is read on.

        Raises `LayerRejected` for one that has killed too many.
        """
        self._check(digest)
        before = self._reading
        self._name(msgspec.json.encode(_Reading(digest, sequence)) + b"\n")
        try:
            yield
        except BaseException:
            self._name(before)
            raise

    def any_of(self, digest: str) -> bool:
        """Whether a worker of this server was killed by this snapshot."""
        return bool(self._of(digest))

    def close(self) -> None:
        """A worker that ends in good order has no last words."""
        if self._descriptor is None:
            return
        faulthandler.disable()
        os.close(self._descriptor)
        self._descriptor = None
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _check(self, digest: str) -> None:
        times = sorted(crash.at for crash in self._of(digest))
        if any(last - first <= WITHIN for first, last in zip(times, times[CRASHES - 1 :], strict=False)):
            seconds = int(WITHIN.total_seconds())
            raise LayerRejected(
                f"{CRASHES} workers were killed within {seconds} s by reading it: it is not opened again before the "
                "server is started anew; look at the disk, or pin an earlier snapshot"
            )

    def _of(self, digest: str) -> list[Crash]:
        return [crash for crash in _crashes(self._list) if crash.digest == digest]

    def _last_words(self, now: dt.datetime) -> Crash | None:
        try:
            left = self._path.read_bytes()
        except FileNotFoundError:
            return None
        first, _, rest = left.partition(b"\n")
        words = _LAST_WORDS.search(rest)
        if words is None:
            return None
        try:
            reading = msgspec.json.decode(first, type=_Reading)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return Crash(now, reading.digest, reading.sequence, words[1].decode("ascii"))

    def _name(self, line: bytes) -> None:
        self._reading = line
        if self._descriptor is not None:
            # A full disk is no reason not to open a snapshot.
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
                os.write(self._descriptor, line)


def _fault_file(run: Path, slot: int) -> Path:
    return run / f"rights-{slot}{_SUFFIX}"


def _crashes(path: Path) -> Iterator[Crash]:
    """Line by line; a line that was torn by a full disk counts as none."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            yield msgspec.json.decode(line, type=Crash)
