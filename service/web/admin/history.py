"""`GET /admin/v1/orders`: every order that was given, newest first, verified from the first."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from service.control.format import Order, order_payload
from service.errors import InvalidField
from service.web.admin.desk import DESK, READERS, admit, parse_instant
from service.web.responses import json_response

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
_FILTERS: Final = frozenset({"kind", "scope", "actor", "since", "before", "limit"})


class Wanted(msgspec.Struct, frozen=True):
    """Which orders: those at `since` or later, of a version below `before`, at most `limit`; None is no matter.

    `actor` is its author, or who approved it.
    """

    kind: str | None = None
    scope: str | None = None
    actor: str | None = None
    since: dt.datetime | None = None
    before: int | None = None
    limit: int = DEFAULT_LIMIT

    def of(self, orders: Iterable[Order]) -> list[Order]:
        """The orders wanted, and one more where there are more than `limit`; newest first."""
        found = [order for order in orders if self._wants(order)]
        return found[::-1][: self.limit + 1]

    def _wants(self, order: Order) -> bool:
        return (
            self.kind in (None, order.kind)
            and self.scope in (None, order.scope)
            and self.actor in (None, order.actor, order.approved_by)
            and (self.since is None or order.at >= self.since)
            and (self.before is None or order.version < self.before)
        )


async def list_orders(request: web.Request) -> web.Response:
    """The orders that filters want; `next` is what `before` must be for those that follow, null at the end."""
    admit(request, *READERS)
    wanted = parse_wanted(dict(_distinct(request)))
    found = wanted.of(await asyncio.to_thread(request.app[DESK].ledger.orders))
    shown = found[: wanted.limit]
    more = shown[-1].version if len(found) > len(shown) else None
    return json_response({"orders": [_members(order) for order in shown], "next": more})


def parse_wanted(query: Mapping[str, str]) -> Wanted:
    """The filters of a query string. Raises `InvalidField`."""
    if not query.keys() <= _FILTERS:
        raise InvalidField(f"a filter that is not known here: they are {', '.join(sorted(_FILTERS))}")
    return Wanted(
        kind=query.get("kind"),
        scope=query.get("scope"),
        actor=query.get("actor"),
        since=parse_instant(query.get("since"), "/since"),
        before=_number(query, "before", 2**53 - 1),
        limit=_number(query, "limit", MAX_LIMIT) or DEFAULT_LIMIT,
    )


def _distinct(request: web.Request) -> Mapping[str, str]:
    if len(set(request.query)) != len(request.query):
        raise InvalidField("a filter is named once")
    return request.query


def _number(query: Mapping[str, str], name: str, most: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else 0
    if not 1 <= number <= most:
        raise InvalidField(f"a number from 1 to {most}", f"/{name}")
    return number


def _members(order: Order) -> Any:
    """The members that were signed, and no others."""
    return orjson.loads(order_payload(order))
