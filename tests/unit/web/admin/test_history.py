from __future__ import annotations

import datetime as dt

import pytest

from service.control.format import Order
from service.control.history import Filters
from service.errors import InvalidField
from service.web.admin.history import DEFAULT_LIMIT, MAX_LIMIT, parse_filters
from tests.unit.web.admin.conftest import Office

NOON = dt.datetime(2024, 1, 29, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"MARQUE": "1"}, ""),
        ({"since": "MARQUE"}, "/since"),
        ({"since": "2024-01-29"}, "/since"),
        ({"before": "MARQUE"}, "/before"),
        ({"before": "0"}, "/before"),
        ({"before": "-1"}, "/before"),
        ({"before": "9" * 5000}, "/before"),
        ({"before": "\u0661"}, "/before"),
        ({"limit": "0"}, "/limit"),
        ({"limit": str(MAX_LIMIT + 1)}, "/limit"),
    ],
)
def test_a_bad_filter_is_pointed_at_and_not_repeated(query: dict[str, str], pointer: str):
    with pytest.raises(InvalidField) as caught:
        parse_filters(query)
    assert caught.value.pointer == pointer
    assert "MARQUE" not in caught.value.detail


def test_filters_are_read_and_a_scope_is_one_however_its_number_is_written():
    query = {
        "kind": "mode.set",
        "scope": "990000011",
        "actor": "olga",
        "since": "2024-01-29T13:00:00+01:00",
        "before": "7",
    }
    filters = Filters(kind="mode.set", scope="0990000011", actor="olga", since=NOON, before=7)
    assert parse_filters(query) == (filters, DEFAULT_LIMIT)
    assert parse_filters({"scope": "demo-hub", "limit": "3"}) == (Filters(scope="demo-hub"), 3)


async def test_the_history_is_read_page_by_page_as_it_was_signed(office: Office):
    seen: list[int] = []
    path, pages = "orders?limit=2", 0
    while path:
        page = (await office.get(path, "aude")).json
        seen += [one["version"] for one in page["orders"]]
        path, pages = f"orders?limit=2&before={page['next']}" if page["next"] else "", pages + 1
    assert (seen, pages) == ([5, 4, 3, 2, 1], 3)
    first = (await office.get("orders?before=2")).json["orders"][0]
    assert set(first) == set(Order.__struct_fields__)
    assert first["at"].endswith("Z")


async def test_a_filter_is_named_once(office: Office):
    reply = await office.get("orders?kind=mode.set&kind=mode.clear")
    assert (reply.code, reply.json["pointer"]) == ("invalid_field", "")


async def test_a_chain_that_does_not_hold_is_not_shown(office: Office):
    (office.home.orders).unlink()
    assert (await office.get("orders")).code == "internal"
