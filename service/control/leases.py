"""Leases of the daily budgets: lent in one transaction, settled with what they came to. In the second store.

What is lent counts as spent until it is settled. A lease is settled by whoever holds it, or by the successor that
counted its journal entries: never because time has passed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from service.control.database import Database
from service.control.fleet import APPLICATION_ID
from service.errors import StoreUnavailable
from service.locks import IN_TURN, locked
from service.spent import NOTHING, Spent

_T = TypeVar("_T")

#: Patience with a busy store: what a worker would use meanwhile comes on top of the budget.
LOCK_SECONDS: Final = 4.0
#: Given what the pharmacy and what the whole client spent today: how many lookups to lend.
Grant = Callable[[Spent, Spent], int]

_LEASES: Final = """
CREATE TABLE IF NOT EXISTS leases (
    id INTEGER PRIMARY KEY AUTOINCREMENT, day TEXT NOT NULL, client TEXT NOT NULL, finess TEXT NOT NULL,
    holder TEXT NOT NULL, granted INTEGER NOT NULL
) STRICT
"""
_BY_HOLDER: Final = "CREATE INDEX IF NOT EXISTS leases_of_holder ON leases (holder)"
#: Kept beside the leases, so that a draw need not add up a hub's whole day. FINESS '' is the client as a whole.
_SPENDINGS: Final = """
CREATE TABLE IF NOT EXISTS spendings (
    day TEXT NOT NULL, client TEXT NOT NULL, finess TEXT NOT NULL, lookups INTEGER NOT NULL, unknown INTEGER NOT NULL,
    PRIMARY KEY (day, client, finess)
) STRICT, WITHOUT ROWID
"""
_SPEND: Final = """
INSERT INTO spendings (day, client, finess, lookups, unknown) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET lookups = lookups + excluded.lookups, unknown = unknown + excluded.unknown
"""
_HAS_TABLES: Final = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'spendings'"
_WHOLE: Final = ""


class Lease(NamedTuple):
    """Lookups lent to `holder`, a worker's slot on its node. `day` is the Europe/Paris day, as YYYY-MM-DD.

    Nothing was lent where `granted` is 0; its `id` is then 0 too. `of_pharmacy` and `of_client` are what was spent
    before, lent lookups included.
    """

    id: int
    day: str
    client: str
    finess: str
    holder: str
    granted: int
    of_pharmacy: Spent = NOTHING
    of_client: Spent = NOTHING


class Want(NamedTuple):
    """Lookups wanted for a (client, FINESS) on a day; `grant` says how many."""

    day: str
    client: str
    finess: str
    grant: Grant


class LeaseStore(Protocol):
    """Where budgets are shared between workers.

    When it is gone every method raises `StoreUnavailable`: a worker then uses the leases it holds and its outage share,
    and says so. After an error of a draw's commit the lease may exist, held by nobody who knows: the holder's successor
    finds it, and settles it with no entry.
    """

    def draw(self, day: str, client: str, finess: str, holder: str, grant: Grant) -> Lease:
        """Lend what `grant` says, in one transaction with what it was told."""
        ...

    def draw_all(self, holder: str, wants: Sequence[Want]) -> list[Lease]:
        """Like `draw` for each in turn, in one transaction for all."""
        ...

    def settle(self, lease: Lease, used: Spent) -> None:
        """Take back what was not used. Again, or of a lease that is not known, it changes nothing."""
        ...

    def settle_all(self, spent: Sequence[tuple[Lease, Spent]]) -> None:
        """Like `settle` for each, in one transaction for all."""
        ...

    def open_leases(self, holder: str) -> list[Lease]:
        """The leases of a holder that are not settled, oldest first."""
        ...

    def spent(self, day: str, client: str, finess: str = _WHOLE) -> Spent:
        """What was spent on a day, lent lookups included; without `finess`, by the client as a whole."""
        ...

    def forget(self, before: str) -> None:
        """Drop what is about earlier days than this one: nobody draws on them any more."""
        ...


class SqliteLeaseStore:
    """The leases in fleet.db; the tables are made at the first draw, so that an older home works."""

    def __init__(self, path: Path, busy_seconds: float = LOCK_SECONDS) -> None:
        # FULL: a draw that a power cut forgets would be lent twice.
        self._database = Database(path, APPLICATION_ID, "FULL", busy_seconds, busy_seconds)
        self._queue = path.with_name("leases.lock")

    def draw(self, day: str, client: str, finess: str, holder: str, grant: Grant) -> Lease:
        """As the port says."""
        return self.draw_all(holder, [Want(day, client, finess, grant)])[0]

    def draw_all(self, holder: str, wants: Sequence[Want]) -> list[Lease]:
        """As the port says."""

        def lend(connection: sqlite3.Connection) -> list[Lease]:
            for statement in (_LEASES, _BY_HOLDER, _SPENDINGS):
                connection.execute(statement)
            return [_lend(connection, holder, want) for want in wants]

        return self._in_turn(lend)

    def settle(self, lease: Lease, used: Spent) -> None:
        """As the port says. Raises `ValueError` for more than was lent, or less than nothing."""
        self.settle_all([(lease, used)])

    def settle_all(self, spent: Sequence[tuple[Lease, Spent]]) -> None:
        """As the port says. Raises `ValueError` for more than was lent, or less than nothing."""
        if not all(0 <= unknown <= lookups <= lease.granted for lease, (lookups, unknown) in spent):
            raise ValueError("a lease is settled within what it lent")

        def take_back(connection: sqlite3.Connection) -> None:
            if connection.execute(_HAS_TABLES).fetchone()[0]:
                for lease, used in spent:
                    _take_back(connection, lease, used)

        self._in_turn(take_back)

    def open_leases(self, holder: str) -> list[Lease]:
        """As the port says."""
        query = "SELECT id, day, client, finess, holder, granted FROM leases WHERE holder = ? ORDER BY id"

        def select(connection: sqlite3.Connection) -> list[Lease]:
            if not connection.execute(_HAS_TABLES).fetchone()[0]:
                return []
            return [Lease(*row) for row in connection.execute(query, (holder,))]

        return self._database.read(select)

    def spent(self, day: str, client: str, finess: str = _WHOLE) -> Spent:
        """As the port says."""

        def select(connection: sqlite3.Connection) -> Spent:
            if not connection.execute(_HAS_TABLES).fetchone()[0]:
                return NOTHING
            return _spent(connection, day, client, finess)

        return self._database.read(select)

    def _in_turn(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Write once the workers before have. SQLite lets whoever polls at the right moment go first, for seconds."""
        try:
            with locked(self._queue, IN_TURN):
                return self._database.write(work)
        except OSError as error:
            raise StoreUnavailable(f"{self._queue.name} cannot be opened: {error.strerror or error}") from error

    def forget(self, before: str) -> None:
        """As the port says."""

        def delete(connection: sqlite3.Connection) -> None:
            if connection.execute(_HAS_TABLES).fetchone()[0]:
                connection.execute("DELETE FROM leases WHERE day < ?", (before,))
                connection.execute("DELETE FROM spendings WHERE day < ?", (before,))

        self._database.write(delete)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _lend(connection: sqlite3.Connection, holder: str, want: Want) -> Lease:
    day, client, finess, grant = want
    of_pharmacy = _spent(connection, day, client, finess)
    of_client = _spent(connection, day, client, _WHOLE)
    granted = grant(of_pharmacy, of_client)
    if granted <= 0:
        return Lease(0, day, client, finess, holder, 0, of_pharmacy, of_client)
    row = (day, client, finess, holder, granted)
    statement = "INSERT INTO leases (day, client, finess, holder, granted) VALUES (?, ?, ?, ?, ?) RETURNING id"
    (lease_id,) = connection.execute(statement, row).fetchone()
    _spend(connection, day, client, finess, (granted, granted))
    return Lease(lease_id, *row, of_pharmacy, of_client)


def _take_back(connection: sqlite3.Connection, lease: Lease, used: Spent) -> None:
    # The stored row decides: whoever settles second finds none, and nothing is taken back twice.
    statement = "DELETE FROM leases WHERE id = ? AND client = ? AND finess = ? AND day = ? RETURNING granted"
    known = connection.execute(statement, (lease.id, lease.client, lease.finess, lease.day)).fetchone()
    if known is not None:
        _spend(connection, lease.day, lease.client, lease.finess, (used[0] - known[0], used[1] - known[0]))


def _spent(connection: sqlite3.Connection, day: str, client: str, finess: str) -> Spent:
    query = "SELECT lookups, unknown FROM spendings WHERE day = ? AND client = ? AND finess = ?"
    row = connection.execute(query, (day, client, finess)).fetchone()
    return NOTHING if row is None else (row[0], row[1])


def _spend(connection: sqlite3.Connection, day: str, client: str, finess: str, spent: Spent) -> None:
    for of in (finess, _WHOLE):
        connection.execute(_SPEND, (day, client, of, *spent))
