"""What the one that judges must not forget over a restart: sheets, steps taken, and how far it has counted.

`<home>/node/sentinel.db`: SQLite, one transaction a save, so that a kill leaves the state before or after. The marks
counted since the last save still lie in the store they came through and are counted again from there.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
import structlog

from service.access.counters import Sheet
from service.access.sentinel import Action, Standing
from service.files import PRIVATE_MODE

MEMORY_FILE: Final = "sentinel.db"
#: Of what is kept; another version is not read but begun anew.
VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sheets (finess TEXT PRIMARY KEY, sheet BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS standing (id INTEGER PRIMARY KEY CHECK (id = 1), standing BLOB NOT NULL) STRICT;
"""
_SHEET: Final = msgspec.msgpack.Decoder(Sheet)
_LOG: Final = structlog.get_logger(__name__)


class Slowed(msgspec.Struct, frozen=True):
    """A client that is slowed until the day's end: its lookups are counted out again at `again_at` (Unix seconds).

    `ordered` says whether a limit was needed for that.
    """

    finess: str
    again_at: float
    day: str
    ordered: bool


class Kept(msgspec.Struct):
    """The sentinel's standing, and the judge's own: batches counted, orders given, actions not ordered yet.

    `epoch` names the store `counted` belongs to; `period` is of the marks' period key. `suspended` holds, by FINESS,
    the clients that were suspended; `slowed`, by client, those that are slowed.
    """

    standing: Standing
    epoch: bytes = b""
    counted: int = 0
    period: int = 0
    suspended: dict[str, list[str]] = {}
    slowed: dict[str, Slowed] = {}
    pending: list[Action] = []


class Memory:
    """The file. What cannot be read is set aside and begun anew, and the log says so; what cannot be written too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[Kept, dict[str, Sheet]] | None:
        """What was kept; None where there is nothing, or nothing sound."""
        if not self._path.exists():
            return None
        try:
            with closing(self._connected()) as connection:
                return _read(connection)
        except (sqlite3.Error, zlib.error, msgspec.MsgspecError, ValueError, OSError) as error:
            _LOG.error("sentinel_memory_lost", error=type(error).__name__)
            self._set_aside()
            return None

    def save(self, kept: Kept, sheets: Mapping[str, Sheet]) -> bool:
        """Keep these sheets beside those kept before; whether they are."""
        try:
            with closing(self._connected()) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "REPLACE INTO sheets VALUES (?, ?)", ((finess, _packed(sheet)) for finess, sheet in sheets.items())
                )
                connection.execute("REPLACE INTO standing VALUES (1, ?)", (_packed(kept),))
        except (sqlite3.Error, OSError) as error:
            _LOG.error("sentinel_memory_not_written", error=type(error).__name__)
            return False
        return True

    def _connected(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch(PRIVATE_MODE)
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            _check_version(connection)
            connection.executescript(f"PRAGMA user_version = {VERSION:d}; {_SCHEMA}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> None:
        for name in (self._path.name, f"{self._path.name}-journal"):
            path = self._path.with_name(name)
            if path.exists():
                path.replace(path.with_name(f"{name}.damaged"))


def _check_version(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
        raise ValueError("kept by another version")


def _read(connection: sqlite3.Connection) -> tuple[Kept, dict[str, Sheet]] | None:
    row = connection.execute("SELECT standing FROM standing").fetchone()
    if row is None:
        return None
    kept = msgspec.msgpack.decode(zlib.decompress(row[0]), type=Kept)
    rows = connection.execute("SELECT finess, sheet FROM sheets")
    return kept, {finess: _SHEET.decode(zlib.decompress(packed)) for finess, packed in rows}


def _packed(value: Kept | Sheet) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(value), 1)
