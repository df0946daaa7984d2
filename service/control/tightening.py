"""What a rights worker may order by itself: the sentinel's orders, which only tighten. Pure.

They are signed with the node's receipt key, so that a server that answers need not hold the order key; their `typ`
keeps receipts and orders apart, and these rules keep a stolen receipt key from more than stopping clients.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from service.control.format import ORDER_TYP, Kind, Limit, Order, order_body
from service.control.state import ClientState
from service.errors import Conflict, InvalidField

SENTINEL: Final = "sentinel"
SENTINEL_TYP: Final = "relais-sentinel-order+jws"
#: A day with an hour more, when summer time ends.
_LONGEST: Final = dt.timedelta(hours=25)


def is_sentinels(order: Order) -> bool:
    """Whether the order is the sentinel's; `check_author` has seen that nobody else says so."""
    return order.actor == SENTINEL


def check_author(order: Order, typ: str) -> None:
    """Raises `InvalidField` for an order that this `typ` may not carry.

    Everybody's orders are of one type; the sentinel's of another, and of these only: a client's suspension, and a
    lower `daily` for a day at most.
    """
    if typ == ORDER_TYP:
        if is_sentinels(order):
            raise InvalidField("the sentinel's orders have a type of their own", "/actor")
        if order.scope == SENTINEL:
            raise InvalidField("the sentinel's name is nobody else's", "/scope")
        return
    if not is_sentinels(order) or order.approved_by is not None:
        raise InvalidField("an order of this type is the sentinel's, and nobody approves it", "/actor")
    if order.kind == Kind.CLIENT_LIMIT:
        _check_limit(order)
    elif order.kind != Kind.CLIENT_SUSPEND:
        raise InvalidField("the sentinel suspends and limits, and does nothing else", "/kind")


def check_lowers(order: Order, client: ClientState) -> None:
    """Raises `Conflict` unless the sentinel's limit lies below all that others said of the client, now and later."""
    bound, daily = lowest_daily(client.at(order.at)), order_body(order, Limit).daily
    if bound is None or not isinstance(daily, int) or daily >= bound:
        raise Conflict("the sentinel may only lower a daily budget that is told")


def lowest_daily(client: ClientState) -> int | None:
    """The least `daily` by the registration and by every limit that is not the sentinel's; None if none is told."""
    said = [client.registered.get("daily")]
    said += [limit.members.get("daily") for limit in client.limits if not limit.slowed]
    return min((daily for daily in said if isinstance(daily, int)), default=None)


def slow_end(order: Order) -> dt.datetime:
    """When the sentinel's limit ends; `check_author` has seen that it does."""
    return order.at if order.until is None else order.until


def _check_limit(order: Order) -> None:
    body = order_body(order, Limit)
    others = (body.burst, body.unknown, body.watch)
    if not isinstance(body.daily, int) or body.daily < 0 or any(one is not msgspec.UNSET for one in others):
        raise InvalidField("the sentinel limits `daily`, and nothing else", "/body")
    if order.until is None or order.until > order.at + _LONGEST:
        raise InvalidField("the sentinel limits for a day at most", "/until")
