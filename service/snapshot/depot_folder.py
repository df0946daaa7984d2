"""A depot in a folder: a disk, or a share that several machines mount."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

from service.errors import DepotConflict, DepotDenied, DepotError, DepotMissing, DepotRejected, DepotUnavailable
from service.files import sync_directory, write_durable
from service.locks import IN_TURN, locked
from service.snapshot.depot import Delivery

#: What publishers write aside before it gets its name.
_ASIDE: Final = ".publishing"
_LEFT_BEHIND_SECONDS: Final = 24 * 3600
_FILE_MODE: Final = 0o444
_POINTER_MODE: Final = 0o644
_PART_BYTES: Final = 1024 * 1024


class FolderDepot:
    """A `Depot` in a folder that exists. Nothing bounds how long a share that hangs may take: mount it `soft`.

    Among publishers a lock on the folder makes names create-only and the pointer compare-and-swap.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def source(self) -> str:
        """Its `file:` URL."""
        return self._root.as_uri()

    def tag(self, name: str) -> str:
        """Inode, size and time of change of what lies there. Raises `DepotMissing`."""
        with self._telling(name), self._open(name) as file:
            return _tag(os.fstat(file.fileno()))

    def read(self, name: str, start: int, stop: int) -> Delivery:
        """The bytes from `start` up to `stop`. Raises `DepotMissing`."""
        with self._telling(name):
            file = self._open(name)
            state = os.fstat(file.fileno())
            file.seek(start)
        return Delivery(_tag(state), state.st_size, self._parts(name, file, stop - start))

    def create(self, name: str, parts: Iterator[bytes], size: int) -> bool:  # noqa: ARG002 - a bucket needs it
        """Publish bytes under a new name; False where it is taken."""
        target = self._root / name
        with self._telling(name):
            if os.path.lexists(target):
                return False
            aside = self._write_aside(parts)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with self._locked():
                    if os.path.lexists(target):
                        return False
                    aside.rename(target)
                    sync_directory(target.parent)
            finally:
                aside.unlink(missing_ok=True)
        return True

    def swap(self, name: str, data: bytes, tag: str | None) -> None:
        """Replace what still has that tag (None: what is not there). Raises `DepotConflict`."""
        with self._telling(name), self._locked():
            try:
                found: str | None = self.tag(name)
            except DepotMissing:
                found = None
            if found != tag:
                raise DepotConflict(f"{name} was changed by somebody else meanwhile")
            write_durable(self._root / name, data, _POINTER_MODE)

    def _open(self, name: str) -> io.FileIO:
        try:
            # A link may lead anywhere, and a pipe would be waited for.
            file = io.FileIO(os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise DepotRejected(f"{name} is not a regular file") from error
            raise
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise DepotRejected(f"{name} is not a regular file")
        return file

    def _parts(self, name: str, file: io.FileIO, left: int) -> Iterator[bytes]:
        with file, self._telling(name):
            while left and (part := file.read(min(left, _PART_BYTES))):
                left -= len(part)
                yield part

    def _write_aside(self, parts: Iterator[bytes]) -> Path:
        folder = self._root / _ASIDE
        folder.mkdir(exist_ok=True)
        _clean(folder)
        descriptor, path = tempfile.mkstemp(dir=folder)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.writelines(parts)
                file.flush()
                os.fchmod(descriptor, _FILE_MODE)
                os.fsync(descriptor)
        except BaseException:
            Path(path).unlink()
            raise
        return Path(path)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._root / ".lock", IN_TURN, mode=0o644)

    @contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        """Errors of the disk in the words of a depot."""
        try:
            yield
        except DepotError:
            raise
        except FileNotFoundError as error:
            if not self._root.is_dir():
                # An empty mount point must not look like a depot in which nothing was published yet.
                raise DepotUnavailable("the folder is not there") from error
            raise DepotMissing(f"{name} is not there") from error
        except PermissionError as error:
            raise DepotDenied(f"{name}: {error.strerror}") from error
        except OSError as error:
            raise DepotUnavailable(f"{name}: {error.strerror or 'an error of the disk'}") from error


def _tag(state: os.stat_result) -> str:
    return f"{state.st_dev:x}-{state.st_ino:x}-{state.st_size:x}-{state.st_mtime_ns:x}"


def _clean(folder: Path) -> None:
    """What publishers that were killed left behind."""
    latest = time.time() - _LEFT_BEHIND_SECONDS
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < latest:
                path.unlink()
