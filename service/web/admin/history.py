"""`GET /admin/v1/orders`: every order that was given, newest first, verified from the first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from service.control.format import Order, order_payload, parse_instant
from service.control.history import Filters, named_scope
from service.web.admin.desk import DESK, READERS, admit
from service.web.admin.filters import check_known, distinct, number
from service.web.responses import json_response

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
FILTERS: Final = frozenset({*Filters.__struct_fields__, "limit"})


async def list_orders(request: web.Request) -> web.Response:
    """The orders that filters want; `next` is what `before` must be for those that follow, null at the end."""
    admit(request, *READERS)
    filters, limit = parse_filters(distinct(request))
    orders = await asyncio.to_thread(request.app[DESK].ledger.orders)
    found = [order for order in reversed(orders) if filters.want(order)]
    more = found[limit - 1].version if len(found) > limit else None
    return json_response({"orders": [_members(order) for order in found[:limit]], "next": more})


def parse_filters(query: Mapping[str, str]) -> tuple[Filters, int]:
    """The filters of a query string, and how many orders at most. Raises `InvalidField`."""
    check_known(query, FILTERS)
    since = query.get("since")
    filters = Filters(
        kind=query.get("kind"),
        scope=named_scope(query.get("scope")),
        actor=query.get("actor"),
        since=None if since is None else parse_instant(since, "/since"),
        before=number(query, "before", 2**53 - 1),
    )
    return filters, number(query, "limit", MAX_LIMIT) or DEFAULT_LIMIT


def _members(order: Order) -> Any:
    """The members that were signed, and no others."""
    return orjson.loads(order_payload(order))
