from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from service.control.format import Order
from service.errors import InvalidField
from service.web.admin.history import DEFAULT_LIMIT, MAX_LIMIT, Wanted, parse_wanted
from tests.unit.web.admin.conftest import Office

NOON = dt.datetime(2024, 1, 29, 12, tzinfo=dt.UTC)


def order(version: int, **more: Any) -> Order:
    members = {"at": NOON + dt.timedelta(minutes=version), "actor": "anna", "kind": "mode.set", "scope": "*"}
    rest = {"body": {}, "reason": "essai", "until": None, "approved_by": None, "previous": None}
    return Order(version=version, **{**members, **rest, **more})


ORDERS = [
    order(1),
    order(2, actor="olga"),
    order(3, kind="mode.clear", scope="0990000011"),
    order(4, approved_by="bruno"),
    order(5),
]


@pytest.mark.parametrize(
    ("query", "versions"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"kind": "mode.clear"}, [3]),
        ({"kind": "mode"}, []),
        ({"scope": "*"}, [5, 4, 2, 1]),
        ({"actor": "olga"}, [2]),
        ({"actor": "bruno"}, [4]),
        ({"actor": "anna", "kind": "mode.set"}, [5, 4, 1]),
        ({"since": "2024-01-29T13:04:00+01:00"}, [5, 4]),
        ({"before": "3"}, [2, 1]),
        ({"before": "1"}, []),
    ],
)
def test_filters_say_which_orders(query: dict[str, str], versions: list[int]):
    assert [one.version for one in parse_wanted(query).of(ORDERS)] == versions


def test_one_more_than_the_limit_is_found_so_that_the_caller_knows_of_it():
    assert [one.version for one in Wanted(limit=2).of(ORDERS)] == [5, 4, 3]
    assert [one.version for one in Wanted(limit=5).of(ORDERS)] == [5, 4, 3, 2, 1]
    assert parse_wanted({}).limit == DEFAULT_LIMIT


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
        parse_wanted(query)
    assert caught.value.pointer == pointer
    assert "MARQUE" not in caught.value.detail


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
