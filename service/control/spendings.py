"""What clients spent of their budgets over days, read from the second store for those who look on.

Beside the leases it knows what workers gave from the outage share, which they tell once the store is back.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

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

#: Each is a scan of the days from the first of all periods to the last, with sums for each period.
_SPENT: Final = "SELECT {who}, {sums} FROM spendings WHERE day BETWEEN ? AND ? AND {which} GROUP BY 1"
_LENT: Final = "SELECT {who}, {sums} FROM leases WHERE day BETWEEN ? AND ? AND {which} GROUP BY 1"
#: A server with another number of workers counts the same journals into other shares: the largest of their sums holds.
_OUTAGE: Final = """
SELECT {who}, {sums} FROM (
    SELECT client, finess, day, sum(lookups) AS lookups, sum(unknown) AS unknown FROM (
        SELECT client, finess, day, node, max(lookups) AS lookups, max(unknown) AS unknown FROM (
            SELECT client, finess, day, node, sum(lookups) AS lookups, sum(unknown) AS unknown FROM outages
            WHERE day BETWEEN ? AND ? AND {which} GROUP BY client, finess, day, node, shares
        ) GROUP BY client, finess, day, node
    ) GROUP BY {who}, day
) GROUP BY 1
"""
_IS_THERE: Final = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
#: What is summed over the days of a period.
_OF_SPENT: Final = ("lookups", "unknown", "lookups > 0")
_OF_LENT: Final = ("granted",)
_OF_OUTAGE: Final = ("lookups", "unknown", "lookups > 0")
_NOTHING: Final = Spending()


class SpendingStore:
    """The spendings in fleet.db, for those who only look. Safe to share between threads.

    When it is gone every method raises `StoreUnavailable`: nobody else knows what was spent.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, APPLICATION_ID, "NORMAL", COMMAND_BUSY_SECONDS, COMMAND_BUSY_SECONDS)

    def by_client(self, *periods: Days) -> list[Spendings]:
        """What each client spent as a whole, over each of the periods, as of one instant."""
        return self._at_once(lambda connection: _over(connection, periods))

    def by_finess(self, client: str, *periods: Days) -> list[Spendings]:
        """What a client spent for each FINESS, over each of the periods, as of one instant."""
        return self._at_once(lambda connection: _over(connection, periods, client))

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


def _over(connection: sqlite3.Connection, periods: Sequence[Days], client: str | None = None) -> list[Spendings]:
    """By client; of one `client` by FINESS. Spendings are kept of clients as a whole too, what is lent is not."""
    whole, own = ("finess = ''", "true") if client is None else ("finess <> '' AND client = ?", "client = ?")
    select = functools.partial(_select, connection, periods, client)
    found: list[Spendings] = [{} for _ in periods]
    for one, who, (lookups, unknown, days) in select("spendings", _SPENT, _OF_SPENT, whole):
        if lookups:
            found[one][who] = Spending(lookups, unknown, days=days)
    for one, who, (lent,) in select("leases", _LENT, _OF_LENT, own):
        if lent:
            found[one][who] = found[one].get(who, _NOTHING)._replace(lent=lent)
    for one, who, (lookups, unknown, days) in select("outages", _OUTAGE, _OF_OUTAGE, own):
        if lookups:
            known = found[one].get(who, _NOTHING)
            # Without the store there are days of the outage share alone; they are days too.
            found[one][who] = known._replace(outage=lookups, outage_unknown=unknown, days=max(days, known.days))
    return found


def _select(
    connection: sqlite3.Connection,
    periods: Sequence[Days],
    client: str | None,
    table: str,
    query: str,
    summed: Sequence[str],
    which: str,
) -> Iterator[tuple[int, str, list[int]]]:
    """The position of a period, who spent in it, and what is summed; nothing from a table that is not made yet."""
    if not connection.execute(_IS_THERE, (table,)).fetchone()[0]:
        return
    sums = ", ".join(f"sum((day BETWEEN ? AND ?) * ({expression}))" for _ in periods for expression in summed)
    text = query.format(who="client" if client is None else "finess", sums=sums, which=which)
    bounds = [day for period in periods for _ in summed for day in period]
    span = [min(first for first, _ in periods), max(last for _, last in periods)]
    for who, *numbers in connection.execute(text, [*bounds, *span, *([] if client is None else [client])]):
        for one in range(len(periods)):
            yield one, who, numbers[one * len(summed) : (one + 1) * len(summed)]
