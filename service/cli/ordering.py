"""How commands give orders: the ledger and the order key of a home, ends, and waiting until every worker follows."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from service.cli.common import print_json
from service.cli.exits import Exit
from service.clock import SystemClock
from service.control.database import COMMAND_BUSY_SECONDS
from service.control.decisions import Decisions
from service.control.fleet import FleetStore
from service.control.follow import FOLLOW_SECONDS, describe_worker, wait_for_fleet
from service.control.format import Order, instant_text, parse_instant
from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.proposals import Proposal
from service.control.replica import COPY_FILE, Replica
from service.control.state import State
from service.control.store import SqliteOrderStore
from service.deciding import chain_keys, decisions_on
from service.errors import ChainBroken, InvalidField, OperatorError, StoreUnavailable
from service.settings import Home, Settings

#: A list of 20,000 clients is 40,000 signatures to verify, for each worker.
LIST_SECONDS: Final = 60.0
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
    ledger = Ledger(store, chain_keys(home, settings), replica)
    with closing(ledger):
        ledger.open()
        status = ledger.status
        if status.source == "copy" and not stale:
            raise (ChainBroken if status.code == ChainBroken.code else StoreUnavailable)(status.error or "")
        yield ledger


@contextmanager
def open_decisions(home: Home, settings: Settings) -> Iterator[Decisions]:
    """How orders come to be in a home. Raises as `open_ledger`, and `SettingsError` without the order key."""
    with open_ledger(home, settings) as ledger, closing(decisions_on(ledger, home, settings)) as decisions:
        yield decisions


@dataclass(frozen=True, slots=True)
class Given:
    """What became of a command's intents: orders in force, proposals that wait, and the order version to follow."""

    version: int
    orders: tuple[Order, ...]
    proposals: tuple[Proposal, ...]

    def status(self, followed: Exit) -> Exit:
        """What the command ends with, once it is known whether the workers follow."""
        return Exit.PROPOSED if followed == Exit.DONE and self.proposals else followed

    def members(self, followed: Exit) -> dict[str, Any]:
        """What the command tells a machine of them: who does not follow stands on standard error."""
        orders = [{"version": order.version, "kind": order.kind, "scope": order.scope} for order in self.orders]
        proposals = [
            {"id": one.id, "kind": one.kind, "scope": one.scope, "loosens": one.loosens, "ends": instant_text(one.ends)}
            for one in self.proposals
        ]
        follows = followed == Exit.DONE
        return {"order_version": self.version, "orders": orders, "proposals": proposals, "follows": follows}

    def told(self, followed: Exit, *, json: bool, **about: Any) -> Exit:
        """The status a command ends with; with `json` a machine is told it too, after what it is `about`."""
        if json:
            print_json({**about, **self.members(followed)})
        return self.status(followed)


def give_orders(
    home: Home,
    settings: Settings,
    plan: Callable[[State], list[Intent]],
    expected: Callable[[State], None] | None = None,
    *,
    json: bool = False,
) -> Given:
    """Give the orders planned on the state as it is, in turn; those that loosen are proposed where that takes two.

    They are in force before anybody is known to follow them. With `json` standard output is the caller's: what is said
    here goes to standard error. Raises as `Decisions.decide`.
    """
    orders: list[Order] = []
    proposals: list[Proposal] = []
    with open_decisions(home, settings) as decisions:
        for intent in plan(decisions.ledger.state):
            made = decisions.decide(intent, SystemClock().now(), expected)
            if isinstance(made, Order):
                orders.append(made)
                say(f"order {made.version}: {made.kind} {made.scope}", json=json)
            else:
                proposals.append(made)
                say(
                    f"proposed {made.id}: {made.kind} {made.scope}: {made.loosens}  "
                    f"(relais orders approve {made.id}, by somebody else)",
                    json=json,
                )
        version = orders[-1].version if orders else decisions.ledger.state.version
    return Given(version, tuple(orders), tuple(proposals))


def say(text: str, *, json: bool) -> None:
    """A line for people: on standard error where standard output is a machine's."""
    print(text, file=sys.stderr if json else sys.stdout)


def await_fleet(home: Home, order_version: int, sequence: int | None = None, *, seconds: float | None = None) -> Exit:
    """Done once all live workers follow; otherwise unavailable, naming those that do not on standard error.

    `seconds` where there is more to follow than one order.
    """
    patience = FOLLOW_SECONDS if seconds is None else seconds
    with closing(FleetStore(home.fleet)) as fleet:
        try:
            behind = wait_for_fleet(fleet, SystemClock(), order_version, sequence, patience)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"order {order_version} is given, but who follows it is not known: {error}"
            ) from error
    for beat in behind:
        print(f"relais: does not follow order {order_version}: {describe_worker(beat)}", file=sys.stderr)
    return Exit.UNAVAILABLE if behind else Exit.DONE


def parse_until(text: str, now: dt.datetime, option: str = "--until") -> dt.datetime:
    """An instant to come: RFC 3339 with its offset, or a duration from now (30m, 2h, 7d). Raises `OperatorError`."""
    return _parse_time(text, now, option, 1)


def parse_since(text: str, now: dt.datetime, option: str = "--since") -> dt.datetime:
    """An instant past: RFC 3339 with its offset, or how long ago (30m, 2h, 7d). Raises `OperatorError`."""
    return _parse_time(text, now, option, -1)


def _parse_time(text: str, now: dt.datetime, option: str, sign: int) -> dt.datetime:
    duration = _DURATION.fullmatch(text)
    try:
        if duration is not None:
            return now + sign * dt.timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        return parse_instant(text)
    except (InvalidField, OverflowError) as error:
        example = "2024-02-12T13:00:00+01:00 (the offset from UTC is needed)"
        raise OperatorError(f"{option} takes a time such as {example}, or 30m, 2h, 7d") from error
