"""Who serves, and which journal segments exist: the second store, whose writes do not wake those who watch orders."""

from __future__ import annotations

import datetime as dt
import functools
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from service.control.database import COMMAND_BUSY_SECONDS, Database, create_database
from service.control.format import instant_text
from service.errors import ChainBroken, StoreUnavailable

#: "RLFL": what marks the file as this store.
APPLICATION_ID: Final = 0x524C464C
_SCHEMA: Final = """
CREATE TABLE heartbeats (
    node TEXT NOT NULL, server TEXT NOT NULL, worker INTEGER NOT NULL, pid INTEGER NOT NULL, pid_space TEXT NOT NULL,
    sequence INTEGER, order_version INTEGER NOT NULL, at TEXT NOT NULL, upstream TEXT,
    PRIMARY KEY (node, server, worker)
) STRICT, WITHOUT ROWID;
CREATE TABLE segments (
    journal TEXT PRIMARY KEY, node TEXT NOT NULL, worker INTEGER NOT NULL, header_sha256 TEXT NOT NULL,
    head_sha256 TEXT, entries INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER segments_stay BEFORE DELETE ON segments BEGIN SELECT RAISE(ABORT, 'the register only grows'); END;
CREATE TRIGGER segments_grow BEFORE UPDATE ON segments
    WHEN NEW.entries < OLD.entries OR NEW.header_sha256 <> OLD.header_sha256 OR NEW.journal <> OLD.journal
    BEGIN SELECT RAISE(ABORT, 'the register only grows'); END;
"""
#: A worker beats every second; five missed beats are a death.
LIVE_SECONDS: Final = 5.0
#: A heartbeat late by a lock is better than a worker that waits for it.
_BUSY_SECONDS: Final = 0.25

Server = Literal["rights", "admin"]


class Heartbeat(msgspec.Struct, frozen=True):
    """What one worker serves. `pid_space` names the process numbering its `pid` belongs to (containers differ).

    `upstream` is the phase of its breaker, None where it asks no upstream.
    """

    node: str
    server: Server
    worker: int
    pid: int
    pid_space: str
    sequence: int | None
    order_version: int
    at: dt.datetime
    upstream: str | None = None


class Segment(msgspec.Struct, frozen=True):
    """A journal segment as registered; `head_sha256` is None and `entries` 0 before its first head."""

    journal: str
    node: str
    worker: int
    header_sha256: str
    head_sha256: str | None
    entries: int
    at: str


class FleetStore:
    """Heartbeats and the register of journal segments, in one SQLite file.

    When it is gone every method raises `StoreUnavailable`: workers go on answering and try again at the next beat,
    commands cannot prove that the fleet follows and say so. Losing it loses no order.
    """

    def __init__(self, path: Path, busy_seconds: float = _BUSY_SECONDS) -> None:
        # Only commands read here, and they may wait.
        self._database = Database(path, APPLICATION_ID, "NORMAL", busy_seconds, COMMAND_BUSY_SECONDS)

    @staticmethod
    def create(path: Path) -> None:
        """A new, empty store. Raises `OperatorError` if there is one."""
        create_database(path, APPLICATION_ID, _SCHEMA)

    def beat(self, beat: Heartbeat) -> None:
        """Replace what this worker said before."""
        row = tuple(instant_text(beat.at) if name == "at" else getattr(beat, name) for name in _BEAT_MEMBERS)
        statement = f"REPLACE INTO heartbeats ({', '.join(_BEAT_MEMBERS)}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608 - names of our own
        self._database.write(lambda connection: connection.execute(statement, row).close())

    def prepare(self) -> None:
        """Bring a store made by an earlier version up to this one's columns."""

        def add_missing(connection: sqlite3.Connection) -> None:
            columns = {column[1] for column in connection.execute("PRAGMA table_info(heartbeats)")}
            if "upstream" not in columns:
                connection.execute("ALTER TABLE heartbeats ADD COLUMN upstream TEXT")

        self._database.write(add_missing)

    def retire(self, node: str, server: Server, worker: int) -> None:
        """Forget a worker that stops in good order."""
        statement = "DELETE FROM heartbeats WHERE node = ? AND server = ? AND worker = ?"
        self._database.write(lambda connection: connection.execute(statement, (node, server, worker)).close())

    def live(self, now: dt.datetime) -> list[Heartbeat]:
        """Workers heard of within five seconds, and not seen dead: sorted by node, server, worker.

        A beat from the future (the clock went back) is as old as one from the past.
        """
        beats = [_heartbeat(row) for row in self._database.read(_read_heartbeats)]
        return [beat for beat in beats if abs((now - beat.at).total_seconds()) <= LIVE_SECONDS and not _is_dead(beat)]

    def open_segment(self, journal: str, node: str, worker: int, header_sha256: str, at: str) -> None:
        """Register a segment; again is no error. Raises `ChainBroken` if its header is another one."""

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR IGNORE INTO segments (journal, node, worker, header_sha256, at) VALUES (?, ?, ?, ?, ?)",
                (journal, node, worker, header_sha256, at),
            )
            known = connection.execute("SELECT header_sha256 FROM segments WHERE journal = ?", (journal,)).fetchone()
            if known[0] != header_sha256:
                raise ChainBroken("a journal segment is registered with another header")

        self._database.write(insert)

    def advance(self, journal: str, head_sha256: str, entries: int, at: str) -> None:
        """The segment's last durable head. An older report changes nothing; another head there is a fork."""

        def update(connection: sqlite3.Connection) -> None:
            query = "SELECT entries, head_sha256 FROM segments WHERE journal = ?"
            known = connection.execute(query, (journal,)).fetchone()
            if known is None:
                raise StoreUnavailable("the register does not know this journal segment")
            if entries == known[0] and known[1] not in (None, head_sha256):
                raise ChainBroken("a journal segment has two heads after the same entry")
            if entries > known[0] or known[1] is None:
                connection.execute(
                    "UPDATE segments SET head_sha256 = ?, entries = ?, at = ? WHERE journal = ?",
                    (head_sha256, entries, at, journal),
                )

        self._database.write(update)

    def segments(self) -> Sequence[Segment]:
        """Every segment ever registered, by journal id."""
        query = f"SELECT {', '.join(Segment.__struct_fields__)} FROM segments ORDER BY journal"  # noqa: S608 - names of our own
        return [Segment(*row) for row in self._database.read(lambda connection: connection.execute(query).fetchall())]

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


_BEAT_MEMBERS: Final = Heartbeat.__struct_fields__


@functools.cache
def pid_space() -> str:
    """Which numbering this process's pid belongs to: two containers on one volume each have a process 7.

    The machine since it booted, and the namespace within it; empty where the system does not tell.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _read_heartbeats(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Each by its columns' names: a store that no server of this version has opened yet lacks the last."""
    found = connection.execute("SELECT * FROM heartbeats ORDER BY node, server, worker")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def _heartbeat(row: dict[str, Any]) -> Heartbeat:
    try:
        return msgspec.convert(row, Heartbeat)
    except msgspec.ValidationError as error:
        raise StoreUnavailable("the store of heartbeats holds something else") from error


def _is_dead(beat: Heartbeat) -> bool:
    """Whether the process is known to be gone; of another node or container nothing is known."""
    if not beat.pid_space or beat.pid_space != pid_space():
        return False
    try:
        os.kill(beat.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # alive, and somebody else's
        return False
    return False
