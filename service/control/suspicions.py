"""What the sentinel has noticed and said: for whoever watches, in the second store. Notes are no orders."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from service.control.database import COMMAND_BUSY_SECONDS, Database
from service.control.fleet import APPLICATION_ID
from service.control.format import instant_text

#: So many stay: a year of an ordinary fleet's notes, and a bound on what an attack can fill the store with.
MOST_KEPT: Final = 20_000
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS suspicions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, finess TEXT NOT NULL, clients TEXT NOT NULL,
    step TEXT NOT NULL, rules TEXT NOT NULL, detail TEXT NOT NULL, held TEXT
) STRICT
"""
_BY_TIME: Final = "CREATE INDEX IF NOT EXISTS suspicions_by_time ON suspicions (at)"
_HAS_TABLE: Final = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'suspicions'"
_MEMBERS: Final = ("at", "finess", "clients", "step", "rules", "detail", "held")


class Suspicion(msgspec.Struct, frozen=True):
    """One step of the sentinel: `note`, `slow` or `suspend`, against the clients that asked for one FINESS.

    `clients` holds `*` where all that may ask for it are meant; `finess` is empty where a hub as a whole is. `rules`
    name what was seen, `detail` gives the figures. `held` says why the step was only told (`report`, `fleet`,
    `cap`, `wave`, `hub`, `unbounded`), None where it was taken; a note is never more than told.
    """

    at: dt.datetime
    finess: str
    clients: tuple[str, ...]
    step: str
    rules: tuple[str, ...]
    detail: str
    held: str | None = None


class Suspicions(Protocol):
    """Where the sentinel tells what it noticed. When it is gone, every method raises `StoreUnavailable`."""

    def add(self, suspicions: Sequence[Suspicion]) -> None:
        """Keep them, and drop the oldest beyond `MOST_KEPT`."""
        ...

    def since(self, start: dt.datetime) -> list[Suspicion]:
        """Those from an instant on, oldest first."""
        ...


class SqliteSuspicions:
    """The suspicions in fleet.db; the table is made with the first, so that an older home works."""

    def __init__(self, path: Path, busy_seconds: float = COMMAND_BUSY_SECONDS) -> None:
        self._database = Database(path, APPLICATION_ID, "NORMAL", busy_seconds, COMMAND_BUSY_SECONDS)

    def add(self, suspicions: Sequence[Suspicion]) -> None:
        """As the port says."""
        marks = ", ".join("?" * len(_MEMBERS))
        statement = f"INSERT INTO suspicions ({', '.join(_MEMBERS)}) VALUES ({marks})"  # noqa: S608 - names of our own
        beyond = "DELETE FROM suspicions WHERE id <= (SELECT max(id) FROM suspicions) - ?"

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_TABLE)
            connection.execute(_BY_TIME)
            connection.executemany(statement, map(_row, suspicions))
            connection.execute(beyond, (MOST_KEPT,))

        self._database.write(insert)

    def since(self, start: dt.datetime) -> list[Suspicion]:
        """As the port says."""
        query = f"SELECT {', '.join(_MEMBERS)} FROM suspicions WHERE at >= ? ORDER BY id"  # noqa: S608 - names of our own

        def select(connection: sqlite3.Connection) -> list[Suspicion]:
            if not connection.execute(_HAS_TABLE).fetchone()[0]:
                return []
            return [_suspicion(row) for row in connection.execute(query, (instant_text(start),))]

        return self._database.read(select)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _row(one: Suspicion) -> tuple[str | None, ...]:
    clients, rules = json.dumps(one.clients), json.dumps(one.rules)
    return instant_text(one.at), one.finess, clients, one.step, rules, one.detail, one.held


def _suspicion(row: tuple[str, ...]) -> Suspicion:
    at, finess, clients, step, rules, detail, held = row
    named = tuple(json.loads(clients)), step, tuple(json.loads(rules))
    return Suspicion(dt.datetime.fromisoformat(at), finess, *named, detail, held)
