"""A snapshot's folder as untrusted input: no links, no surprises, never more bytes than allowed.

Files are opened relative to the folder's descriptor, so that nothing on the way can be swapped between two looks.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from service.base64url import b64u
from service.errors import SnapshotRefused
from service.snapshot.seen import Sighting
from service.snapshot.steps import Step

MANIFEST_FILE: Final = "manifest.json"
#: A thousand AMCs with their policies take a third of it.
MAX_MANIFEST_BYTES: Final = 1024 * 1024
#: 33 million people with two entries each take about 10 GB.
MAX_FILE_BYTES: Final = 64 * 1024**3
#: manifest.json and its data files; the rest is room to name what is too much.
MAX_FOLDER_ENTRIES: Final = 64
#: Large enough that the system calls cost nothing beside SHA-256, small enough to stay in the processor's cache.
BUFFER_BYTES: Final = 1024 * 1024

#: Called with the bytes done and the bytes to do.
Progress = Callable[[int, int], None]


def quiet(_done: int, _total: int) -> None:
    """Progress nobody looks at."""


class Folder:
    """An open folder; use as a context manager. Raises `SnapshotRefused` for whatever cannot be read as expected."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SnapshotRefused(Step.FOLDER, "a folder that can be read", error.strerror or "an error") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def sizes(self) -> dict[str, int]:
        """Names and sizes of all that lies in the folder, links and folders included; refuses a crowded one."""
        found: dict[str, int] = {}
        with _refusing(Step.FOLDER, "a folder that can be read"), os.scandir(self._descriptor) as entries:
            for entry in entries:
                if len(found) == MAX_FOLDER_ENTRIES:
                    raise SnapshotRefused(Step.SIZE, f"at most {MAX_FOLDER_ENTRIES} entries", "more")
                found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return found

    def open(self, name: str) -> io.FileIO:
        """An unbuffered reader of a regular file that has no other name. A link or a pipe is refused, never read."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except FileNotFoundError as error:
            raise SnapshotRefused(Step.FILES, f"a file {shown(name)}", "none") from error
        except OSError as error:
            # ELOOP is a symbolic link, ENXIO is a socket.
            found = f"a link or unreadable: {error.strerror}"
            raise SnapshotRefused(Step.FILES, f"a regular file {shown(name)}", found) from error
        try:
            _check_regular(name, os.fstat(descriptor))
            return io.FileIO(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, name: str, at_most: int) -> bytes:
        """A small file whole. Raises `SnapshotRefused` at the size step beyond `at_most` bytes."""
        with self.open(name) as file, _refusing(Step.SIZE, f"{shown(name)} to be readable"):
            data = bytearray()
            while len(data) <= at_most and (part := file.read(at_most + 1 - len(data))):
                data += part
        if len(data) > at_most:
            raise SnapshotRefused(Step.SIZE, f"{shown(name)} of at most {at_most} bytes", "more")
        return bytes(data)

    def digest(self, name: str, size: int, progress: Progress = quiet) -> str:
        """SHA-256 of a file of exactly `size` bytes, in base64url. Nothing beyond them is read."""
        return self.sight(name, size, None, progress).sha256

    def sight(self, name: str, size: int, known: Sighting | None, progress: Progress = quiet) -> Sighting:
        """A file of exactly `size` bytes: as `known`, if it is the same one unchanged since; else it is hashed."""
        with self.open(name) as file:
            before = os.fstat(file.fileno())
            check_size(name, size, before.st_size)
            if known is not None and known.is_of(before):
                return known
            state, done = hashlib.sha256(), 0
            for part in parts(name, file, size):
                state.update(part)
                done += len(part)
                progress(done, size)
            sighting = Sighting.of(before, b64u(state.digest()))
            if not sighting.is_of(os.fstat(file.fileno())):
                raise SnapshotRefused(Step.FILES, f"{shown(name)} to rest while it is read", "it was changed")
        return sighting


def parts(name: str, file: io.FileIO, size: int) -> Iterator[memoryview]:
    """The first `size` bytes of a file, piece by piece in one buffer. Raises `SnapshotRefused` if it ends before."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    left = size
    with _refusing(Step.FILES, f"{shown(name)} to be readable"):
        while left:
            count = file.readinto(buffer[: min(left, BUFFER_BYTES)])
            if not count:
                check_size(name, size, size - left)
            left -= count
            yield buffer[:count]


def check_size(name: str, expected: int, found: int) -> None:
    """Raises `SnapshotRefused` where a file is shorter or longer than its signed size."""
    if found != expected:
        state = "cut short" if found < expected else "too long"
        raise SnapshotRefused(Step.FILES, f"{shown(name)} of {expected} bytes", f"{found} bytes: {state}")


def shown(name: str) -> str:
    """A file's name fit for a terminal and a log."""
    return ascii(name)[1:-1][:80]


@contextmanager
def _refusing(step: Step, expected: str) -> Iterator[None]:
    """An error of the disk is a refusal of the step under way, not a crash of the command."""
    try:
        yield
    except OSError as error:
        raise SnapshotRefused(step, expected, error.strerror or "an error of the disk") from error


def _check_regular(name: str, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise SnapshotRefused(Step.FILES, f"a regular file {shown(name)}", "a folder, a pipe or a device")
    if state.st_nlink != 1:
        # Whoever holds the other name could change the bytes after they were verified.
        raise SnapshotRefused(Step.FILES, f"{shown(name)} under one name", "a hard link")
