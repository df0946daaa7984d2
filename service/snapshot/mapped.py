"""A layer's file as this process maps it: once, however many layers read it at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import lmdb

from service.errors import LayerRejected

#: LMDB 0.9's data format. Version 1.0 writes another one, which readers of this format refuse.
LMDB_LIBRARY: Final = 0


class MappedFile:
    """One LMDB file, mapped read-only. `release` it once for every `map_file` that gave it."""

    __slots__ = ("_identity", "environment", "users")

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        self._identity = identity
        self.environment = _open(path)
        self.users = 1

    def release(self) -> None:
        """Unmap the file when its last user lets go."""
        with _LOCK:
            self.users -= 1
            if not self.users:
                del _MAPPED[self._identity]
                self.environment.close()


#: The engine maps a file once in a process: a delta over the base that serves shares the base's map with it.
_MAPPED: Final[dict[tuple[int, int], MappedFile]] = {}
_LOCK: Final = threading.Lock()


def map_file(path: Path) -> MappedFile:
    """The file, mapped by this process at most once; known by its device and inode. Raises `LayerRejected`."""
    with _LOCK:
        try:
            state = path.stat()
        except OSError as error:
            raise LayerRejected("not a layer this version can read") from error
        identity = (state.st_dev, state.st_ino)
        mapped = _MAPPED.get(identity)
        if mapped is None:
            mapped = _MAPPED[identity] = MappedFile(path, identity)
        else:
            mapped.users += 1
        return mapped


def _open(path: Path) -> lmdb.Environment:
    try:
        return lmdb.open(
            str(path),
            subdir=False,
            readonly=True,
            lock=False,  # one writer once, readers for ever: nothing to lock
            readahead=False,  # at random, neighbours are not needed: 2 ms instead of 33 ms at the 99th percentile, cold
            create=False,
            max_dbs=0,
            lib_version=LMDB_LIBRARY,
        )
    except lmdb.Error as error:
        raise LayerRejected("not a layer this version can read") from error
