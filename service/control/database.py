"""One SQLite file that is never invented: missing, replaced, locked or damaged, it is `StoreUnavailable`, not empty.

WAL, so that readers and the writer do not wait for each other. A connection belongs to the file it was opened on:
when the name leads to another file (a restore, a deletion), the next use opens that one or says that it is gone.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

from service.errors import OperatorError, StoreUnavailable
from service.files import PRIVATE_MODE, sync_directory

_T = TypeVar("_T")
_Inode = tuple[int, int]

Synchronous = Literal["FULL", "NORMAL"]
#: How long a command waits for another writer.
COMMAND_BUSY_SECONDS: Final = 2.0


def create_database(
    path: Path, application_id: int, schema: str, fill: Callable[[sqlite3.Connection], object] | None = None
) -> None:
    """A new database, empty or as `fill` leaves it, mode 0600, named only once it is whole.

    Raises `OperatorError` if one is there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_MODE))
    try:
        with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA application_id = {application_id:d}")
            connection.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")
            if fill is not None:
                connection.execute("BEGIN IMMEDIATE")
                fill(connection)
                connection.execute("COMMIT")
        # A link, unlike a rename, does not take the place of a store that is there.
        os.link(temporary, path)
    except FileExistsError as error:
        raise OperatorError(f"{path.name} is there already: a store is never replaced by an empty one") from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


class Database:
    """A long-lived connection for short reads and, each with a connection of its own, writes.

    Safe to share between threads: a reader never waits longer than another's read. Opened at first use, so that a
    process may fork before.
    """

    def __init__(
        self,
        path: Path,
        application_id: int,
        synchronous: Synchronous,
        busy_seconds: float,
        read_busy_seconds: float = 0,
    ) -> None:
        """How long a write and a read wait for a lock; on an event loop a read must not wait at all."""
        self._path = path
        self._application_id = application_id
        self._synchronous = synchronous
        self._busy_seconds = busy_seconds
        self._read_busy_seconds = read_busy_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode: _Inode | None = None
        #: Changes whenever the connection does: `PRAGMA data_version` compares only within one.
        self.generation = 0

    def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What `work` finds. Raises `StoreUnavailable`, also where the database stays locked.

        WAL readers wait for no writer, but whoever closes the last connection holds everybody off for a moment.
        """
        with self._lock, self._mapped():
            try:
                return work(self._connected())
            except BaseException:
                self._drop()
                raise

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """The result of `work` in one transaction, committed. Raises `StoreUnavailable`, and what `work` raises.

        After an error of the commit itself nobody knows whether it is durable: it is not tried again here.
        """
        with self._mapped():
            inode = self._current_inode()
            with closing(self._open(self._busy_seconds)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    result = work(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            if self._current_inode() != inode:
                raise StoreUnavailable(f"{self._path.name} was replaced while it was written to")
            return result

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._drop()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path.name} does not answer: {error}") from error
        except OSError as error:
            raise StoreUnavailable(f"{self._path.name} cannot be reached: {error.strerror or error}") from error

    def _connected(self) -> sqlite3.Connection:
        inode = self._current_inode()
        if self._connection is not None and inode == self._inode:
            return self._connection
        self._drop()
        self._connection, self._inode = self._open(self._read_busy_seconds), inode
        self.generation += 1
        return self._connection

    def _open(self, busy_seconds: float) -> sqlite3.Connection:
        # mode=rw: a missing file is an error. Readers need rw too, for the shared-memory file beside it.
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._check(connection)
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Refuse an empty or foreign file: SQLite takes a file of no bytes for a database without tables."""
        if connection.execute("PRAGMA application_id").fetchone()[0] != self._application_id:
            raise StoreUnavailable(f"{self._path.name} is not the store it should be")

    def _current_inode(self) -> _Inode:
        status = self._path.stat()
        return status.st_dev, status.st_ino

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
