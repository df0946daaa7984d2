"""`relais orders`: who ordered what, and why; what waits for a second person; a lost store, written anew."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import App, Parameter

from service.cli import approval
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.ordering import await_fleet, open_ledger, parse_since
from service.clock import SystemClock
from service.control.format import Kind, Order, instant_text, order_payload
from service.control.history import Filters, named_scope
from service.control.replica import COPY_FILE, Replica
from service.control.restore import restore_orders
from service.deciding import chain_keys
from service.errors import OperatorError
from service.strictjson import parse_json_object

app = App(name="orders")
app.command(approval.proposals, name="proposals")
app.command(approval.approve, name="approve")
app.command(approval.reject, name="reject")

_STAMP = "%Y%m%dT%H%M%SZ"


@app.command(name="list")
def list_orders(
    *,
    kind: Annotated[str | None, Parameter(help="Only orders of this kind, e.g. mode.set.")] = None,
    scope: Annotated[str | None, Parameter(help="Only about this AMC number, client, or *.")] = None,
    actor: Annotated[str | None, Parameter(help="Only by this author, or approved by them.")] = None,
    since: Annotated[str | None, Parameter(help="Only from then on: RFC 3339, or 30m, 2h, 7d ago.")] = None,
    limit: Annotated[int | None, Parameter(show_default=False, help="Only the latest of them.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """List every order, oldest first, after verifying the whole chain; with the guard's findings it accepts."""
    where, settings = open_home(home)
    if limit is not None and limit < 1:
        raise OperatorError("--limit takes a number of orders, 1 or more")
    if kind is not None and kind not in set(Kind):
        raise OperatorError(f"--kind takes one of {', '.join(Kind)}")
    start = None if since is None else parse_since(since, SystemClock().now())
    filters = Filters(kind=kind, scope=named_scope(scope), actor=actor, since=start)
    with open_ledger(where, settings) as ledger:
        orders = [order for order in ledger.orders() if filters.want(order)]
    if limit is not None:
        orders = orders[-limit:]
    if json:
        print_json({"orders": [parse_json_object(order_payload(order)) for order in orders]})
        return
    for order in orders:
        print(_line(order))
        for finding in order.body.get("accepted", ()):
            print(f"       accepted: {finding}")


@app.command(name="restore")
def restore(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> int:
    """Write a lost or damaged store of orders anew from this node's copy, once that is verified.

    Never over a sound store, nor over one that holds an order the copy lacks; what was there stays beside it. Workers
    find the new one by themselves. To be run as the user of the servers; status 3 if a worker does not follow.
    """
    where, settings = open_home(home)
    copy = Replica(where.node / COPY_FILE, writable=False)
    label = f"replaced-{SystemClock().now():{_STAMP}}"
    keys = chain_keys(where, settings)
    version = restore_orders(where.orders, keys, copy, label, time.sleep, settings.control.watch_seconds)
    if not json:
        print(f"{where.orders.name} is written anew, up to order {version}")
    followed = await_fleet(where, version)
    if json:
        print_json({"order_version": version, "follows": followed == Exit.DONE})
    return followed


def _line(order: Order) -> str:
    detail = "".join(
        f" {name}={order.body[name]}" for name in ("mode", "sequence", "class", "id") if name in order.body
    )
    until = "" if order.until is None else f" until {instant_text(order.until)}"
    second = "" if order.approved_by is None else f" with {order.approved_by}"
    what = f"{order.kind} {order.scope}{detail}{until}"
    return f"{order.version:>5}  {instant_text(order.at)}  {order.actor}{second}  {what}: {order.reason}"
