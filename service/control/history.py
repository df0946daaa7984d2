"""Which of the orders given somebody wants to see. Pure."""

from __future__ import annotations

import datetime as dt

import msgspec

from service.control.format import Order, parse_scope
from service.errors import InvalidField


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Of what kind, about what scope, by whom (or approved by whom), since when, below which version; None: any."""

    kind: str | None = None
    scope: str | None = None
    actor: str | None = None
    since: dt.datetime | None = None
    before: int | None = None

    def want(self, order: Order) -> bool:
        """Whether an order is one of them."""
        return (
            self.kind in (None, order.kind)
            and self.scope in (None, order.scope)
            and self.actor in (None, order.actor, order.approved_by)
            and (self.since is None or order.at >= self.since)
            and (self.before is None or order.version < self.before)
        )


def named_scope(text: str | None) -> str | None:
    """A scope to filter by: an AMC number as orders write it; a client's id is none, and stays as it is."""
    if text is None:
        return None
    try:
        return parse_scope(text)
    except InvalidField:
        return text
