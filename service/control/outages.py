"""What was answered from the outage share, told to the second store once it is back: leases do not count it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from service.control.database import Database
from service.control.fleet import APPLICATION_ID
from service.spent import Spent

#: By client and FINESS.
Answered = Mapping[tuple[str, str], Spent]
#: Nobody waits for a report: a store that is busy is told later.
_BUSY_SECONDS: Final = 0.25

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS outages (
    day TEXT NOT NULL, client TEXT NOT NULL, finess TEXT NOT NULL, node TEXT NOT NULL, share INTEGER NOT NULL,
    shares INTEGER NOT NULL, lookups INTEGER NOT NULL, unknown INTEGER NOT NULL,
    PRIMARY KEY (day, client, finess, node, shares, share)
) STRICT, WITHOUT ROWID
"""
_TELL: Final = """
INSERT INTO outages (day, client, finess, node, share, shares, lookups, unknown) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET lookups = max(lookups, excluded.lookups), unknown = max(unknown, excluded.unknown)
"""


class Share(NamedTuple):
    """One of the `shares` into which a node's part of the outage share is split."""

    node: str
    share: int
    shares: int


class Outages(Protocol):
    """Where workers tell what they gave from their share. When it is gone, `tell` raises `StoreUnavailable`."""

    def tell(self, share: Share, day: str, answered: Answered, forget_before: str) -> None:
        """What this share came to on a day so far: told twice, the larger counts. Earlier days are dropped."""
        ...


class SqliteOutages:
    """The table in fleet.db, made with the first report."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, APPLICATION_ID, "NORMAL", _BUSY_SECONDS, _BUSY_SECONDS)

    def tell(self, share: Share, day: str, answered: Answered, forget_before: str) -> None:
        """As the port says."""
        rows = [(day, *who, *share, *spent) for who, spent in answered.items()]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_TABLE)
            connection.executemany(_TELL, rows)
            connection.execute("DELETE FROM outages WHERE day < ?", (forget_before,))

        self._database.write(write)
