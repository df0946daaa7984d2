"""Marks on their way from the workers to the one that judges, and the keys they are made with. In the second store.

A mark is 40 bits and names nobody (`service/access/marks.py`). Its keys are random and lie here alone: a day's key is
dropped once the day after next is prepared, and then nobody, with any other secret of the installation, can tell what
its marks were made of.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from service.control.database import Database
from service.control.fleet import APPLICATION_ID
from service.control.format import instant_text

#: What no judge takes in time is dropped, the oldest first, so that the store does not fill up.
MOST_BATCHES: Final = 100_000
_BUSY_SECONDS: Final = 1.0
_BATCHES: Final = """
CREATE TABLE IF NOT EXISTS marks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, hour INTEGER NOT NULL, marks BLOB NOT NULL
) STRICT
"""
_KEYS: Final = """
CREATE TABLE IF NOT EXISTS mark_keys (
    kind TEXT NOT NULL, number INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (kind, number)
) STRICT, WITHOUT ROWID
"""
_SEAT: Final = """
CREATE TABLE IF NOT EXISTS judge (id INTEGER PRIMARY KEY CHECK (id = 1), at TEXT NOT NULL, alarm TEXT) STRICT
"""
_HAS: Final = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
#: Kept of a kind: the one in use, the one before it and those prepared.
_KEPT_BEFORE: Final = 1

#: Marks, packed, by client and FINESS.
Marks = Mapping[tuple[str, str], Sequence[int]]


class Batch(NamedTuple):
    """What one worker counted in a local hour (`counters.local_hour`) since it last told."""

    id: int
    hour: int
    marks: dict[tuple[str, str], list[int]]


class Seat(NamedTuple):
    """When a judge was last at work, and what it is alarmed about."""

    at: dt.datetime
    alarm: str | None


class MarkStore(Protocol):
    """Between those who count and the one who judges.

    When it is gone every method raises `StoreUnavailable`: workers keep their marks for a while, and nobody is judged.
    A batch is read until it is dropped, in the order in which batches came.
    """

    def hand_over(self, hour: int, marks: Marks) -> None:
        """Add a batch."""
        ...

    def key(self, kind: str, number: int, fresh: Callable[[], bytes]) -> bytes:
        """The key of a day or a period, made by whoever asks first; older ones are dropped."""
        ...

    def epoch(self, fresh: Callable[[], bytes]) -> bytes:
        """What tells this store from one that was made anew in its place."""
        ...

    def read(self, after: int, most: int) -> list[Batch]:
        """The first batches after one."""
        ...

    def last(self) -> int:
        """The batch that came last, dropped or not; 0 where none ever came."""
        ...

    def drop(self, upto: int) -> None:
        """These batches are counted for good."""
        ...

    def take_seat(self, seat: Seat) -> None:
        """Say that a judge is at work."""
        ...

    def seat(self) -> Seat | None:
        """What was said last."""
        ...


class SqliteMarkStore:
    """`MarkStore` in fleet.db; its tables are made at first use, so that an older home works."""

    def __init__(self, path: Path, busy_seconds: float = _BUSY_SECONDS) -> None:
        self._database = Database(path, APPLICATION_ID, "NORMAL", busy_seconds, busy_seconds)

    def hand_over(self, hour: int, marks: Marks) -> None:
        """As the port says."""
        packed = msgspec.msgpack.encode([(client, finess, list(own)) for (client, finess), own in marks.items()])

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_BATCHES)
            statement = "INSERT INTO marks (hour, marks) VALUES (?, ?) RETURNING id"
            (last,) = connection.execute(statement, (hour, packed)).fetchone()
            connection.execute("DELETE FROM marks WHERE id <= ?", (last - MOST_BATCHES,))

        self._database.write(insert)

    def key(self, kind: str, number: int, fresh: Callable[[], bytes]) -> bytes:
        """As the port says."""

        def choose(connection: sqlite3.Connection) -> bytes:
            connection.execute(_KEYS)
            connection.execute("INSERT OR IGNORE INTO mark_keys VALUES (?, ?, ?)", (kind, number, fresh()))
            connection.execute("DELETE FROM mark_keys WHERE kind = ? AND number < ?", (kind, number - _KEPT_BEFORE))
            query = "SELECT key FROM mark_keys WHERE kind = ? AND number = ?"
            return bytes(connection.execute(query, (kind, number)).fetchone()[0])

        return self._database.write(choose)

    def epoch(self, fresh: Callable[[], bytes]) -> bytes:
        """As the port says."""
        return self.key("epoch", 0, fresh)

    def read(self, after: int, most: int) -> list[Batch]:
        """As the port says."""

        def select(connection: sqlite3.Connection) -> list[tuple[int, int, bytes]]:
            if not connection.execute(_HAS, ("marks",)).fetchone()[0]:
                return []
            query = "SELECT id, hour, marks FROM marks WHERE id > ? ORDER BY id LIMIT ?"
            return connection.execute(query, (after, most)).fetchall()

        return [Batch(row, hour, _marks(packed)) for row, hour, packed in self._database.read(select)]

    def last(self) -> int:
        """As the port says."""

        def select(connection: sqlite3.Connection) -> int:
            if not connection.execute(_HAS, ("marks",)).fetchone()[0]:
                return 0
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'marks'").fetchone()
            return 0 if row is None else int(row[0])

        return self._database.read(select)

    def drop(self, upto: int) -> None:
        """As the port says."""
        self._database.write(lambda connection: connection.execute("DELETE FROM marks WHERE id <= ?", (upto,)).close())

    def take_seat(self, seat: Seat) -> None:
        """As the port says."""

        def replace(connection: sqlite3.Connection) -> None:
            connection.execute(_SEAT)
            connection.execute("REPLACE INTO judge VALUES (1, ?, ?)", (instant_text(seat.at), seat.alarm))

        self._database.write(replace)

    def seat(self) -> Seat | None:
        """As the port says."""

        def select(connection: sqlite3.Connection) -> tuple[str, str | None] | None:
            if not connection.execute(_HAS, ("judge",)).fetchone()[0]:
                return None
            row: tuple[str, str | None] | None = connection.execute("SELECT at, alarm FROM judge").fetchone()
            return row

        row = self._database.read(select)
        return None if row is None else Seat(dt.datetime.fromisoformat(row[0]), row[1])

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _marks(packed: bytes) -> dict[tuple[str, str], list[int]]:
    try:
        rows = msgspec.msgpack.decode(packed, type=list[tuple[str, str, list[int]]])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}  # one that is not whole must not keep the judge from those behind it
    return {(client, finess): own for client, finess, own in rows}
