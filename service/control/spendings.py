"""What clients spent of their budgets over days, read from the second store for those who look on.

Beside the leases it knows what workers gave from the outage share, which they tell once the store is back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from service.control.database import COMMAND_BUSY_SECONDS, Database
from service.control.fleet import APPLICATION_ID

_T = TypeVar("_T")
#: From a day in Europe/Paris to another, both included, as YYYY-MM-DD.
Days = tuple[str, str]


class Spending(NamedTuple):
    """What a client spent over some days, as a whole or for one FINESS.

    `lookups` and `unknown`, those of them about nobody known, hold `lent` lookups that workers have in hand: whether
    they are used is not known yet. `outage` and `outage_unknown` are answers charged to the outage share, beside them.
    `days` is on how many days it asked.
    """

    lookups: int = 0
    unknown: int = 0
    lent: int = 0
    outage: int = 0
    outage_unknown: int = 0
    days: int = 0


#: By client, and by FINESS.
Spendings = dict[str, Spending]

_SPENT: Final = """
SELECT {who}, sum(lookups), sum(unknown), sum(lookups > 0) FROM spendings
WHERE day BETWEEN ? AND ? AND {which} GROUP BY 1
"""
_LENT: Final = "SELECT {who}, sum(granted) FROM leases WHERE day BETWEEN ? AND ? AND {which} GROUP BY 1"
#: A server with another number of workers counts the same journals into other shares: the largest of their sums holds.
_OUTAGE: Final = """
SELECT {who}, sum(lookups), sum(unknown), count(DISTINCT day) FROM (
    SELECT client, finess, day, max(lookups) AS lookups, max(unknown) AS unknown FROM (
        SELECT client, finess, day, node, sum(lookups) AS lookups, sum(unknown) AS unknown FROM outages
        WHERE day BETWEEN ? AND ? AND {which} GROUP BY client, finess, day, node, shares
    ) GROUP BY client, finess, day, node
) GROUP BY 1
"""
_IS_THERE: Final = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
_NOTHING: Final = Spending()


class SpendingStore:
    """The spendings in fleet.db, for those who only look. Safe to share between threads.

    When it is gone every method raises `StoreUnavailable`: nobody else knows what was spent.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, APPLICATION_ID, "NORMAL", COMMAND_BUSY_SECONDS, COMMAND_BUSY_SECONDS)

    def by_client(self, *periods: Days, client: str | None = None) -> list[Spendings]:
        """What each client, or this one, spent as a whole, over each of the periods, as of one instant."""
        whole = _Question("client", "finess = ''", client)
        return self._at_once(lambda connection: [_over(connection, days, whole) for days in periods])

    def by_finess(self, client: str, *periods: Days) -> list[Spendings]:
        """What a client spent for each FINESS, over each of the periods, as of one instant."""
        each = _Question("finess", "finess <> ''", client)
        return self._at_once(lambda connection: [_over(connection, days, each) for days in periods])

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _at_once(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        def within(connection: sqlite3.Connection) -> _T:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")

        return self._database.read(within)


class _Question(NamedTuple):
    """By whom to sum, of which rows: spendings are kept of clients as a whole too, what is lent and the rest is not."""

    who: str
    of_spendings: str
    client: str | None


def _over(connection: sqlite3.Connection, days: Days, question: _Question) -> Spendings:
    def rows(table: str, query: str, which: str) -> Iterator[tuple[Any, ...]]:
        """None from a table that is not made yet."""
        if not connection.execute(_IS_THERE, (table,)).fetchone()[0]:
            return
        own = "" if question.client is None else " AND client = ?"
        text = query.format(who=question.who, which=which + own)
        yield from connection.execute(text, [*days, *([] if question.client is None else [question.client])])

    found: Spendings = {}
    for who, lookups, unknown, asked in rows("spendings", _SPENT, question.of_spendings):
        if lookups:
            found[who] = Spending(lookups, unknown, days=asked)
    for who, lent in rows("leases", _LENT, "true"):
        found[who] = found.get(who, _NOTHING)._replace(lent=lent)
    for who, lookups, unknown, asked in rows("outages", _OUTAGE, "true"):
        known = found.get(who, _NOTHING)
        # Without the store there are days of the outage share alone; they are days too.
        found[who] = known._replace(outage=lookups, outage_unknown=unknown, days=max(asked, known.days))
    return found
