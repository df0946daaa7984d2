"""`GET /admin/v1/exposure`: how much each client reads of what it may."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from service.access.exposure import Sort, ranked
from service.control.format import instant_text
from service.errors import InvalidField, NotFound, SpendingsUnavailable, StoreUnavailable
from service.exposing import members, place_members, totals
from service.paris import paris_date
from service.web.admin.desk import DESK, READERS, admit, current_state
from service.web.admin.filters import check_known, distinct, number
from service.web.context import CONTEXT
from service.web.responses import json_response

DEFAULT_TOP: Final = 100
MAX_TOP: Final = 1000


class Filters(msgspec.Struct, frozen=True):
    """Who is told of: the first `top` clients by `sort`, or one `client` with each FINESS that it asked for."""

    client: str | None = None
    sort: Sort = Sort.SHARE
    top: int = DEFAULT_TOP


_FILTERS: Final = frozenset(Filters.__struct_fields__)


async def read_exposure(request: web.Request) -> web.Response:
    """The clients that read most, with what all read together; or one. Nothing here names anybody who was read."""
    admit(request, *READERS)
    filters = parse_filters(distinct(request))
    state = await current_state(request)
    meter, now = request.app[DESK].meter, request.app[CONTEXT].clock.now()
    view = state.view(now)

    def told() -> dict[str, Any]:
        if filters.client is not None:
            found = meter.one(filters.client, view, now)
            if found is None:
                raise NotFound("no client of this id is registered, and none asked within the week")
            exposed, places = found
            return {"client": members(exposed), "finess": [place_members(place) for place in places]}
        clients = meter.all(view, now)
        shown = ranked(clients, filters.sort)[: filters.top]
        listed = {"clients": [members(one) for one in shown], "left_out": len(clients) - len(shown)}
        return {"sort": filters.sort, "totals": totals(clients), **listed}

    try:
        document = await asyncio.to_thread(told)
    except StoreUnavailable:
        raise SpendingsUnavailable("the second store (fleet.db) does not answer") from None
    return json_response(
        {"at": instant_text(now), "day": paris_date(now).isoformat(), "order_version": view.version, **document}
    )


def parse_filters(query: Mapping[str, str]) -> Filters:
    """The filters of a query string. Raises `InvalidField`."""
    check_known(query, _FILTERS)
    if "client" in query and len(query) > 1:
        raise InvalidField("of one client everything is told: no other filter goes with it")
    sort = query.get("sort", Sort.SHARE)
    if sort not in set(Sort):
        raise InvalidField(f"one of {', '.join(Sort)}", "/sort")
    return Filters(query.get("client"), Sort(sort), number(query, "top", MAX_TOP) or DEFAULT_TOP)
