"""Where the orders of all nodes lie: a port, and SQLite for one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from service.control.database import COMMAND_BUSY_SECONDS, Database, create_database
from service.control.format import StoredOrder
from service.errors import VersionConflict

_APPLICATION_ID: Final = 0x524C4F52  # "RLOR"
_SCHEMA: Final = """
CREATE TABLE orders (version INTEGER PRIMARY KEY CHECK (version > 0), jws TEXT NOT NULL) STRICT;
CREATE TRIGGER orders_stay BEFORE UPDATE ON orders BEGIN SELECT RAISE(ABORT, 'orders are immutable'); END;
CREATE TRIGGER orders_last BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'orders are immutable'); END;
"""

_INSERT: Final = "INSERT INTO orders (version, jws) VALUES (?, ?)"


class OrderStore(Protocol):
    """The shared chain of orders, stored and not judged: whoever reads verifies.

    When it is gone (locked, damaged, deleted, cut off) every method raises `StoreUnavailable`, and none ever shows
    an empty chain instead. Readers keep the last state they verified, and say so; nothing can be ordered until it is
    back. An append that raised `StoreUnavailable` may or may not have been stored: the chain, read again, tells.
    """

    def head(self) -> int:
        """The version of the last order, 0 before the first."""
        ...

    def read(self, start: int) -> Sequence[StoredOrder]:
        """The orders from version `start` on, in order. Never waits."""
        ...

    def append(self, version: int, *jws: str) -> None:
        """Store the orders durably, all or none, the first as `version` if that is the next.

        Raises `VersionConflict` if somebody was first.
        """
        ...

    def changed(self) -> bool:
        """Whether anybody appended, or the store came back, since the last call; True at the first. Never waits."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class SqliteOrderStore:
    """`OrderStore` in one SQLite file: for all processes of one machine."""

    def __init__(self, path: Path, busy_seconds: float = COMMAND_BUSY_SECONDS, *, read_busy_seconds: float = 0) -> None:
        """Commands may wait for a read too; whoever calls `changed` on an event loop may not."""
        self._database = Database(path, _APPLICATION_ID, "FULL", busy_seconds, read_busy_seconds)
        self._mark: tuple[int, int] | None = None

    @staticmethod
    def create(path: Path, orders: Sequence[StoredOrder] = ()) -> None:
        """A new store that holds `orders` from the moment it has its name. Raises `OperatorError` if there is one."""
        create_database(path, _APPLICATION_ID, _SCHEMA, lambda connection: connection.executemany(_INSERT, orders))

    def head(self) -> int:
        """The version of the last order, 0 before the first."""
        return self._database.read(_head)

    def read(self, start: int) -> Sequence[StoredOrder]:
        """The orders from version `start` on, in order."""
        query = "SELECT version, jws FROM orders WHERE version >= ? ORDER BY version"
        return self._database.read(lambda connection: connection.execute(query, (start,)).fetchall())

    def append(self, version: int, *jws: str) -> None:
        """Store the orders durably, all or none, if `version` is the next; raises `VersionConflict` if it is not."""

        def insert(connection: sqlite3.Connection) -> None:
            if _head(connection) != version - 1:
                raise VersionConflict("another order was appended first")
            connection.executemany(_INSERT, enumerate(jws, version))

        self._database.write(insert)

    def changed(self) -> bool:
        """Whether any other connection committed since the last call, appends through this object included."""
        version = self._database.read(lambda connection: int(connection.execute("PRAGMA data_version").fetchone()[0]))
        mark = (self._database.generation, version)
        changed, self._mark = mark != self._mark, mark
        return changed

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _head(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM orders").fetchone()[0])
