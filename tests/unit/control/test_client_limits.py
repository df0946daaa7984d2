"""Limits of a client that end: what holds when, and what outlives what."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.clients import CLASS_BUDGETS
from service.control.intent import Intent
from service.control.loosening import loosens
from service.control.orders import fold_all
from service.control.state import State
from tests.unit.control.control_chain import HOUR, KEY, NOON, make_key, make_order, registration

DAY = 24 * HOUR


def order(version: int, kind: str, body: Any = None, at: dt.datetime = NOON, until: dt.datetime | None = None) -> Any:
    return make_order(version, kind, "ph-1", body or {}, at=at, until=until)


def state(*orders: Any) -> State:
    return fold_all(State(), orders)


def body(of: State, now: dt.datetime) -> Any:
    return of.view(now).clients["ph-1"].body


REGISTER = order(1, "client.register", registration(unknown=300))
SLOW = order(2, "client.limit", {"daily": 200}, until=NOON + 7 * DAY)


def test_a_limit_holds_until_its_end_and_then_what_was_before():
    limited = state(REGISTER, SLOW)
    assert body(limited, NOON)["daily"] == 200
    assert body(limited, NOON + 7 * DAY - HOUR)["daily"] == 200
    assert body(limited, NOON + 7 * DAY)["daily"] == 800
    assert body(limited, NOON)["unknown"] == 300
    assert limited.clients["ph-1"].registered["daily"] == 800


def test_the_end_of_a_limit_is_the_next_change():
    limited = state(REGISTER, SLOW)
    assert limited.next_change(NOON) == NOON + 7 * DAY
    assert limited.next_change(NOON + 7 * DAY) is None


def test_views_on_one_side_of_an_end_share_what_they_show():
    limited = state(REGISTER, SLOW)
    early, late = limited.view(NOON), limited.view(NOON + HOUR)
    assert early.clients is late.clients
    after, later = limited.view(NOON + 7 * DAY), limited.view(NOON + 8 * DAY)
    assert after.clients["ph-1"] is later.clients["ph-1"]


@pytest.mark.parametrize("ends", [1, 9])
def test_of_two_limits_the_later_order_holds_while_it_lasts(ends: int):
    second = order(3, "client.limit", {"daily": 400}, until=NOON + ends * DAY)
    both = state(REGISTER, SLOW, second)
    assert body(both, NOON)["daily"] == 400
    assert body(both, NOON + 2 * DAY)["daily"] == (200 if ends == 1 else 400)
    assert body(both, NOON + 8 * DAY)["daily"] == (800 if ends == 1 else 400)
    assert body(both, NOON + 9 * DAY)["daily"] == 800


def test_a_limit_without_end_ends_the_others_of_its_members():
    slow = order(2, "client.limit", {"daily": 200, "unknown": 75}, until=NOON + 7 * DAY)
    lifted = state(REGISTER, slow, order(3, "client.limit", {"daily": 700}))
    assert (body(lifted, NOON)["daily"], body(lifted, NOON)["unknown"]) == (700, 75)
    assert (body(lifted, NOON + 7 * DAY)["daily"], body(lifted, NOON + 7 * DAY)["unknown"]) == (700, 300)


def test_a_limit_outlives_a_new_registration():
    rotated = order(3, "client.register", registration(keys=[dict(make_key().public.jwk)]), at=NOON + HOUR)
    again = state(REGISTER, SLOW, rotated)
    assert body(again, NOON + HOUR)["daily"] == 200
    assert body(again, NOON + 7 * DAY) == registration(keys=rotated.body["keys"])


def test_a_limit_that_was_over_does_not_come_back():
    late = order(3, "client.register", registration(daily=100), at=NOON + 8 * DAY)
    assert state(REGISTER, SLOW, late).clients["ph-1"].limits == ()


def test_a_suspension_does_not_end_with_a_limit():
    suspended = state(REGISTER, SLOW, order(3, "client.suspend"))
    for now in (NOON, NOON + 7 * DAY):
        assert suspended.view(now).clients["ph-1"].suspended is True
    resumed = fold_all(suspended, [order(4, "client.resume")])
    for now in (NOON, NOON + 7 * DAY):
        assert resumed.view(now).clients["ph-1"].suspended is False
    assert body(resumed, NOON)["daily"] == 200


def judged(before: State, kind: str, members: Any, until: dt.datetime | None = None, now: dt.datetime = NOON) -> Any:
    intent = Intent(kind=kind, scope="ph-1", body=members, reason="x", actor="a", until=until)
    return loosens(before, intent, now, CLASS_BUDGETS)


def test_a_limit_below_the_class_takes_one_person_and_one_above_takes_two():
    registered = state(REGISTER)
    assert judged(registered, "client.limit", {"daily": 200}, NOON + DAY) is None
    assert judged(registered, "client.limit", {"daily": 900}, NOON + DAY) == (
        "its budget daily would be 900, above the 800 of its class"
    )
    assert judged(registered, "client.limit", {"watch": "report"}, NOON + DAY) is not None


def test_what_was_allowed_until_an_end_is_not_allowed_beyond_it():
    high = state(REGISTER, order(2, "client.limit", {"daily": 5000}, until=NOON + DAY))
    assert judged(high, "client.limit", {"daily": 5000}, NOON + DAY) is None
    clause = judged(high, "client.limit", {"daily": 5000})
    assert clause == "its budget daily would be 5000, above the 800 of its class from 2024-01-30T12:00:00.000Z on"


def test_a_longer_life_of_a_former_key_takes_two_people():
    soon = int((NOON + DAY).timestamp())
    ending = registration(keys=[{**KEY.public.jwk, "exp": soon}])
    known = state(order(1, "client.register", ending))
    assert judged(known, "client.register", registration(keys=[{**KEY.public.jwk, "exp": soon - 1}])) is None
    for jwk in ({**KEY.public.jwk, "exp": soon + 1}, dict(KEY.public.jwk)):
        assert judged(known, "client.register", registration(keys=[jwk])) == "a key of it would be good for longer"


LIMITS = st.lists(st.tuples(st.sampled_from(["daily", "burst"]), st.integers(1, 9), st.integers(1, 6)), max_size=5)


@given(LIMITS, st.integers(0, 7))
def test_what_holds_is_the_latest_limit_that_lasts(limits: list[tuple[str, int, int]], hours: int):
    orders = [
        order(number, "client.limit", {name: value}, until=NOON + end * HOUR)
        for number, (name, value, end) in enumerate(limits, 2)
    ]
    seen = body(state(REGISTER, *orders), NOON + hours * HOUR)
    for name in ("daily", "burst"):
        lasting = [value for member, value, end in limits if member == name and end > hours]
        assert seen.get(name) == (lasting[-1] if lasting else REGISTER.body.get(name))
