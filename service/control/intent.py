"""What somebody wants ordered, and the order it would be. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from service.control.format import Order, check_order, to_milliseconds
from service.control.state import State


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants ordered. It becomes an `Order` with a number, a time and a link to the one before."""

    kind: str
    scope: str
    body: Mapping[str, Any]
    reason: str
    actor: str
    until: dt.datetime | None = None
    approved_by: str | None = None


def draft_order(intent: Intent, state: State, now: dt.datetime, previous: str | None = None) -> Order:
    """The order an intent would be, next after `state`. Raises `InvalidField`, `ChainBroken` as `check_order`.

    Whether it may follow from `state` is for the fold to say.
    """
    order = Order(
        version=state.version + 1,
        at=to_milliseconds(now),
        actor=intent.actor,
        kind=intent.kind,
        scope=intent.scope,
        body=dict(intent.body),
        reason=intent.reason,
        until=None if intent.until is None else to_milliseconds(intent.until),
        approved_by=intent.approved_by,
        previous=previous,
    )
    check_order(order)
    return order
