"""The data file of a layer while it is built: LMDB, filled once in the order of its keys."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import islice
from operator import ge, itemgetter
from pathlib import Path
from typing import Final

import lmdb

from service.errors import BuildError
from service.snapshot.records import LMDB_LIBRARY

_KEY: Final = itemgetter(0)
_FILE_MODE: Final = 0o444
#: Items a transaction: its pages wait in memory until it ends.
_TRANSACTION_ITEMS: Final = 32 * 1024


class LayerWriter:
    """Appends sealed records in ascending order of their keys; `finish` makes the file durable and read-only."""

    def __init__(self, path: Path, map_size: int) -> None:
        self._path = path
        try:
            self._environment = lmdb.open(
                str(path),
                subdir=False,
                map_size=map_size,
                lock=False,
                sync=False,  # one fsync at the end: before it, nobody reads the file
                max_dbs=0,
                lib_version=LMDB_LIBRARY,
            )
        except lmdb.Error as error:
            raise _unwritable(error) from error

    def append(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Add records whose keys follow all before.

        Raises `BuildError` for a key that does not: two plaintexts sealed under one key and nonce would betray each
        other, so a second entry of one identity must never reach the file.
        """
        for start in range(0, len(items), _TRANSACTION_ITEMS):
            batch = items[start : start + _TRANSACTION_ITEMS]
            if any(map(ge, map(_KEY, batch), map(_KEY, islice(batch, 1, None)))):
                raise BuildError("two entries of one identity: the build is abandoned")
            try:
                with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
                    _, added = cursor.putmulti(batch, overwrite=False, append=True)
            except lmdb.KeyExistsError as error:
                raise BuildError("two entries of one identity: the build is abandoned") from error
            except lmdb.Error as error:
                raise _unwritable(error) from error
            if added != len(batch):
                raise BuildError("two entries of one identity: the build is abandoned")

    def finish(self) -> None:
        """Close the file, make it durable and read-only. A failed fsync is not retried."""
        self._environment.close()
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, _FILE_MODE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of an unfinished file."""
        self._environment.close()


def _unwritable(error: lmdb.Error) -> BuildError:
    # The engine does not ask why a write came out short.
    reason = "the disk is full or fails" if error.code == errno.EIO else error.reason
    return BuildError(f"the data file cannot be written: {reason}")
