"""`relais orders proposals|approve|reject`: the second person's part in an order that loosens something."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from cyclopts import Parameter
from msgspec import to_builtins

from service.admission import floor_left, still_held
from service.cli.admission import remember_floor
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, actor, open_home, print_json
from service.cli.exits import Exit
from service.cli.ordering import LIST_SECONDS, Given, await_fleet, open_decisions, say
from service.cli.pruning import prune_superseded
from service.clock import SystemClock
from service.control.format import Kind, Order, Pin, instant_text, order_body
from service.control.lists import IMPORT
from service.control.proposals import Proposal, proposal_members
from service.settings import Home, Settings
from service.strictjson import canonical

ProposalArgument = Annotated[str, Parameter(name="ID", help="As `relais orders proposals` shows it.")]


def proposals(
    *,
    show: Annotated[
        str | None, Parameter(name="--show", help="Only this one, with everything it would order; an ID.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """List what waits for a second person, and what became of what waited, oldest first.

    With --show, one of them in full: of a vendor's list each client, as `relais orders approve` would register it.
    """
    place, settings = open_home(home)
    if show is not None:
        _show(place, settings, show, json=json)
        return
    with open_decisions(place, settings) as decisions:
        found = decisions.proposals(SystemClock().now())
    if json:
        print_json({"proposals": [proposal_members(one) for one in found]})
        return
    for one in found:
        print(_line(one))
    if not found:
        print("nothing waits for a second person")


def approve(
    proposal_id: ProposalArgument,
    /,
    *,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Give the order somebody else proposed, and return when every worker follows (status 3 if one does not)."""
    place, settings = open_home(home)
    now = SystemClock().now()
    with open_decisions(place, settings) as decisions:
        proposal = decisions.get(proposal_id, now)
        with still_held(place, settings, decisions.ledger.state, proposal, now):
            order = decisions.approve(proposal_id, actor(), now)
    listed = int(proposal.body["orders"]) if proposal.kind == IMPORT else None
    if listed is None:
        say(f"order {order.version}: {order.kind} {order.scope}", json=json)
        followed = _follow(place, settings, order)
    else:
        say(f"orders {order.version - listed + 1} to {order.version}: {proposal.loosens}", json=json)
        followed = await_fleet(place, order.version, seconds=LIST_SECONDS)
    if json:
        print_json({"id": proposal_id, **Given(order.version, (order,), ()).members(followed)})
    return followed


def reject(
    proposal_id: ProposalArgument,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; no personal data.")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Decide that a proposal becomes no order. Whoever made it takes it back so."""
    place, settings = open_home(home)
    with open_decisions(place, settings) as decisions:
        rejected = decisions.reject(proposal_id, actor(), reason, SystemClock().now())
    if json:
        print_json(proposal_members(rejected))
        return
    print(f"rejected {proposal_id}: {rejected.kind} {rejected.scope}")


def _follow(place: Home, settings: Settings, order: Order) -> Exit:
    """What a load or a pin does after its order."""
    if order.kind == Kind.SNAPSHOT_PIN:
        return await_fleet(place, order.version, order_body(order, Pin).sequence)
    floor = floor_left(order)
    if floor is None:
        return await_fleet(place, order.version)
    remember_floor(place, floor)
    followed = await_fleet(place, order.version, floor.sequence)
    prune_superseded(place, settings)
    return followed


def _show(place: Home, settings: Settings, proposal_id: str, *, json: bool) -> None:
    with open_decisions(place, settings) as decisions:
        found = decisions.get(proposal_id, SystemClock().now())
        items = decisions.listed(found)
    if json:
        listed = {"list": [to_builtins(item) for item in items]} if items else {}
        print_json({**proposal_members(found), **listed})
        return
    print(_line(found))
    if not items:
        print(canonical(found.body).decode())
    for item in items:
        lasts = "" if item.lasts is None else f" for {dt.timedelta(seconds=item.lasts)}"
        print(f"{item.kind} {item.scope}{lasts} {canonical(item.body).decode()}")


def _line(one: Proposal) -> str:
    until = "" if one.until is None else f" until {instant_text(one.until)}"
    listed = f" (list {one.body['digest']})" if one.kind == IMPORT else ""
    what = f"{one.kind} {one.scope}{until}: {one.loosens}{listed}; {one.actor}: {one.reason}"
    return f"{one.id}  {_standing(one)}  {what}"


def _standing(one: Proposal) -> str:
    if one.state == "approved":
        return f"approved by {one.decided_by} as order {one.order}"
    if one.state == "rejected":
        return f"rejected by {one.decided_by}: {one.decided_reason}"
    return f"waits until {instant_text(one.ends)}" if one.state == "waiting" else "over"
