"""How commands give orders: the ledger and the order key of a home, ends, and waiting until every worker follows."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from service.cli.exits import Exit
from service.clock import SystemClock
from service.control.database import COMMAND_BUSY_SECONDS
from service.control.fleet import FleetStore
from service.control.follow import FOLLOW_SECONDS, describe_worker, wait_for_fleet
from service.control.format import Order
from service.control.ledger import Intent, Ledger
from service.control.replica import COPY_FILE, Replica
from service.control.state import State
from service.control.store import SqliteOrderStore
from service.errors import ChainBroken, OperatorError, StoreUnavailable
from service.keyring import load_order_key, load_order_keys
from service.settings import Home, Settings

_DURATION: Final = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@contextmanager
def open_ledger(home: Home, settings: Settings, *, stale: bool = False) -> Iterator[Ledger]:
    """The verified orders of a home.

    Raises `StoreUnavailable` or `ChainBroken`; with `stale`, the node's copy will do and `Ledger.status` tells.
    Commands never write the node's copy: workers must be able to read it whoever ran the command.
    """
    replica = Replica(home.node / COPY_FILE, writable=False)
    store = SqliteOrderStore(home.orders, read_busy_seconds=COMMAND_BUSY_SECONDS)
    ledger = Ledger(store, load_order_keys(home, settings), replica)
    with closing(ledger):
        ledger.open()
        status = ledger.status
        if status.source == "copy" and not stale:
            raise (ChainBroken if status.code == ChainBroken.code else StoreUnavailable)(status.error or "")
        yield ledger


def append_orders(
    home: Home,
    settings: Settings,
    plan: Callable[[State], list[Intent]],
    expected: Callable[[State], None] | None = None,
    *,
    json: bool = False,
) -> tuple[int, list[Order]]:
    """Append the orders planned on the state as it is, in turn; the version to follow then, and the orders given.

    They are in force before anybody is known to follow them. With `json` standard output is the caller's: what is said
    here goes to standard error. Raises as `Ledger.issue`.
    """
    key = load_order_key(home, settings)
    with open_ledger(home, settings) as ledger:
        version, given = ledger.state.version, []
        for intent in plan(ledger.state):
            order = ledger.issue(intent, key, SystemClock().now(), expected)
            given.append(order)
            version = order.version
            print(f"order {version}: {order.kind} {order.scope}", file=sys.stderr if json else sys.stdout)
    return version, given


def order_members(version: int, given: Sequence[Order], status: int) -> dict[str, Any]:
    """What a command that gives orders tells a machine of them: who does not follow stands on standard error."""
    orders = [{"version": order.version, "kind": order.kind, "scope": order.scope} for order in given]
    return {"order_version": version, "orders": orders, "follows": status == Exit.DONE}


def await_fleet(home: Home, order_version: int, sequence: int | None = None) -> Exit:
    """Done once all live workers follow; otherwise unavailable, naming those that do not on standard error."""
    with closing(FleetStore(home.fleet)) as fleet:
        try:
            behind = wait_for_fleet(fleet, SystemClock(), order_version, sequence, FOLLOW_SECONDS)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"order {order_version} is given, but who follows it is not known: {error}"
            ) from error
    for beat in behind:
        print(f"relais: does not follow order {order_version}: {describe_worker(beat)}", file=sys.stderr)
    return Exit.UNAVAILABLE if behind else Exit.DONE


def parse_until(text: str, now: dt.datetime) -> dt.datetime:
    """An end: RFC 3339 with its offset, or a duration from now (30m, 2h, 7d). Raises `OperatorError`."""
    duration = _DURATION.fullmatch(text)
    try:
        if duration is not None:
            return now + dt.timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        until = dt.datetime.fromisoformat(text)
        utc = until.astimezone(dt.UTC)  # the last hours of the year 9999 are beyond it in UTC
    except (ValueError, OverflowError) as error:
        raise OperatorError("--until takes a time such as 2024-02-12T13:00:00+01:00, or 30m, 2h, 7d") from error
    if until.tzinfo is None:
        raise OperatorError("--until needs the offset from UTC: end the time with Z, or +01:00")
    return utc
