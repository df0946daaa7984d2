"""`relais orders`: who ordered what, and why."""

from __future__ import annotations

from cyclopts import App

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.ordering import open_ledger
from service.control.format import Order, instant_text, order_payload
from service.strictjson import parse_json_object

app = App(name="orders")


@app.command(name="list")
def list_orders(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """List every order, oldest first, after verifying the whole chain; with the guard's findings it accepts."""
    where, settings = open_home(home)
    with open_ledger(where, settings) as ledger:
        orders = ledger.orders()
    if json:
        print_json({"orders": [parse_json_object(order_payload(order)) for order in orders]})
        return
    for order in orders:
        print(_line(order))
        for finding in order.body.get("accepted", ()):
            print(f"       accepted: {finding}")


def _line(order: Order) -> str:
    detail = "".join(
        f" {name}={order.body[name]}" for name in ("mode", "sequence", "class", "id") if name in order.body
    )
    until = "" if order.until is None else f" until {instant_text(order.until)}"
    second = "" if order.approved_by is None else f" with {order.approved_by}"
    what = f"{order.kind} {order.scope}{detail}{until}"
    return f"{order.version:>5}  {instant_text(order.at)}  {order.actor}{second}  {what}: {order.reason}"
