"""A store of orders that was lost or damaged, written anew from the copy a node kept.

Never over a sound store, and never shorter than what is there: an order that only the store holds may be a
suspension. What is replaced stays beside the new store under another name.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from service.control.chain import ChainVerifier
from service.control.database import COMMAND_BUSY_SECONDS
from service.control.format import StoredOrder
from service.control.orders import State, fold_all
from service.control.replica import Replica
from service.control.store import SqliteOrderStore
from service.errors import OperatorError, RelaisError, StoreUnavailable
from service.files import sync_directory
from service.jwk import PublicKey
from service.locks import ALONE, locked

_SIDECARS: Final = ("-wal", "-shm")
#: Whoever has the old file open lets go of it within a poll (`control.watch_seconds`) of its name being gone. SQLite
#: removes a write-ahead log by name, so nobody may do that when the new store has one.
_POLLS: Final = 5
_PAUSE_SECONDS: Final = 1.0


def restore_orders(
    path: Path,
    keys: Mapping[str, PublicKey],
    copy: Replica,
    label: str,
    pause: Callable[[float], object],
    watch_seconds: float,
) -> int:
    """The version of the last order in the store, which is now as the node's copy has it.

    What was there is renamed to end in `label`. Raises `OperatorError` where the copy does not verify, the store is
    sound, or holds what the copy lacks; `StoreUnavailable` where nobody can tell, as while it is locked.
    """
    orders = _verified(copy, keys)
    _check_owner(path.parent)
    with locked(path.with_name(f".{path.name}.restore.lock"), ALONE, "another restore is under way"):
        if path.exists():
            with _judged(path, keys, orders):
                path.rename(_aside(path, label))
        for sidecar in _SIDECARS:
            beside = path.with_name(path.name + sidecar)
            if beside.exists():
                beside.rename(_aside(path, label + sidecar))
        sync_directory(path.parent)
        pause(max(_PAUSE_SECONDS, _POLLS * watch_seconds))
        SqliteOrderStore.create(path, orders)
    return len(orders)


def _verified(copy: Replica, keys: Mapping[str, PublicKey]) -> Sequence[StoredOrder]:
    """The node's copy, if it holds to its end."""
    rows, damaged = copy.load()
    if damaged or not rows:
        raise OperatorError(f"this node's copy of the orders is {'damaged' if damaged else 'empty'}: take another's")
    orders, failure = ChainVerifier(keys).verify_each(rows)
    try:
        fold_all(State(), orders)
    except RelaisError as error:
        raise OperatorError(f"this node's copy of the orders does not fold: {error}") from error
    if failure is not None:
        raise OperatorError(f"this node's copy of the orders does not verify: {failure}")
    return rows


def _check_owner(folder: Path) -> None:
    """Workers must be able to open what is written here."""
    if folder.stat().st_uid != os.geteuid():
        raise OperatorError(f"{folder} belongs to another user: restore as the user of the servers")


@contextmanager
def _judged(path: Path, keys: Mapping[str, PublicKey], copy: Sequence[StoredOrder]) -> Iterator[None]:
    """Holds off every writer of a store that may be replaced. Raises `OperatorError` for one that may not."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(closing(_connected(path)))
            connection.execute("BEGIN IMMEDIATE")
            rows = connection.execute("SELECT version, jws FROM orders ORDER BY version").fetchall()
        except sqlite3.Error as error:
            _check_damage(path, error)
        else:
            _check_replaceable(rows, keys, copy)
        yield


def _connected(path: Path) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=COMMAND_BUSY_SECONDS)


def _check_damage(path: Path, error: sqlite3.Error) -> None:
    """Damaged is what is no database, or no store of orders; a lock or a failing disk says nothing of the content."""
    damaged = not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR
    if not damaged:
        text = f"{path.name} does not answer ({error}), so nobody can tell whether it is sound"
        raise StoreUnavailable(f"{text}: where its disk is gone, move it away and restore again") from error


def _check_replaceable(rows: Sequence[StoredOrder], keys: Mapping[str, PublicKey], copy: Sequence[StoredOrder]) -> None:
    orders, failure = ChainVerifier(keys).accept(rows)
    for mine, theirs in zip(copy, rows[: len(orders)], strict=False):
        if mine != theirs:
            raise OperatorError(f"store and copy hold different orders {mine[0]}, and both verify: it is for people")
    if failure is None and len(rows) >= len(copy):
        raise OperatorError(f"the store is sound, up to order {len(rows)}: there is nothing to restore")
    if rows and rows[-1][0] > len(copy):
        raise OperatorError(
            f"the store goes to order {rows[-1][0]} and this node's copy only to {len(copy)}: take a longer one"
        )


def _aside(path: Path, label: str) -> Path:
    return path.with_name(f"{path.name}.{label}")
