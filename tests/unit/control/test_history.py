from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from service.control.format import Order
from service.control.history import Filters, named_scope

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
        ({}, [1, 2, 3, 4, 5]),
        ({"kind": "mode.clear"}, [3]),
        ({"kind": "mode"}, []),
        ({"scope": "*"}, [1, 2, 4, 5]),
        ({"actor": "olga"}, [2]),
        ({"actor": "bruno"}, [4]),
        ({"actor": "anna", "kind": "mode.set"}, [1, 4, 5]),
        ({"since": NOON + dt.timedelta(minutes=4)}, [4, 5]),
        ({"before": 3}, [1, 2]),
        ({"before": 1}, []),
    ],
)
def test_filters_say_which_orders(query: dict[str, Any], versions: list[int]):
    assert [one.version for one in ORDERS if Filters(**query).want(one)] == versions


def test_a_scope_to_filter_by_is_written_as_orders_write_it_or_is_a_client():
    assert [named_scope(text) for text in (None, "*", "990000011", "demo-hub")] == [None, "*", "0990000011", "demo-hub"]
