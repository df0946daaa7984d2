from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.access.clients import CLASS_BUDGETS
from service.control.intent import Intent
from service.control.loosening import loosens
from service.control.orders import Order, fold, fold_all
from service.control.state import State
from service.errors import Conflict, InvalidField, NotFound
from tests.unit.control.control_chain import DIGEST, HOUR, KEY, NOON, make_key, make_order, registration

AMC, OTHER = "0775671993", "0775671994"
OTHER_KEY = dict(make_key().public.jwk)
LOOSENESS = {"suspended": 0, "degraded": 1, "live": 2}


def state_of(*orders: Order) -> State:
    return fold_all(State(), [replace(order, version=number) for number, order in enumerate(orders, 1)])


def mode(name: str, scope: str = "*", **members: Any) -> Order:
    return make_order(scope=scope, body={"mode": name}, **members)


def client(**members: Any) -> Order:
    return make_order(kind="client.register", scope="c", body=registration(**members))


def clause(before: State, order: Order) -> str | None:
    intent = Intent(
        kind=order.kind, scope=order.scope, body=order.body, reason=order.reason, actor=order.actor, until=order.until
    )
    return loosens(before, intent, NOON, CLASS_BUDGETS)


@pytest.mark.parametrize(
    ("before", "order", "said"),
    [
        ([], mode("live"), "everything would be live instead of degraded"),
        ([mode("suspended")], mode("degraded"), "everything would be degraded instead of suspended"),
        ([mode("suspended")], make_order(kind="mode.clear"), "everything would be degraded instead of suspended"),
        ([], mode("live", AMC), f"AMC {AMC} would be live instead of degraded"),
        ([mode("suspended", AMC)], mode("degraded", AMC), f"AMC {AMC} would be degraded instead of suspended"),
        (
            [mode("suspended", AMC)],
            make_order(kind="mode.clear", scope=AMC),
            f"AMC {AMC} would be degraded instead of suspended",
        ),
        (
            [mode("live"), mode("degraded", AMC)],
            make_order(kind="mode.clear", scope=AMC),
            f"AMC {AMC} would be live instead of degraded",
        ),
        # It would show as soon as everything is resumed.
        ([mode("suspended")], mode("live", AMC), f"AMC {AMC} would be live instead of degraded"),
        (
            [mode("suspended"), mode("suspended", AMC)],
            mode("degraded", AMC),
            f"AMC {AMC} would be degraded instead of suspended",
        ),
        (
            [mode("suspended")],
            mode("suspended", until=NOON + HOUR),
            "everything would be degraded instead of suspended from 2024-01-29T13:00:00.000Z on",
        ),
        (
            [mode("suspended", until=NOON + 3 * HOUR)],
            mode("suspended", until=NOON + 2 * HOUR),
            "everything would be degraded instead of suspended from 2024-01-29T14:00:00.000Z on",
        ),
        (
            [mode("live", until=NOON + HOUR)],
            mode("live"),
            "everything would be live instead of degraded from 2024-01-29T13:00:00.000Z on",
        ),
        # What it would be at first is not all that it would be.
        (
            [mode("live"), mode("degraded", until=NOON + HOUR), mode("suspended", AMC)],
            make_order(kind="mode.clear", scope=AMC),
            (
                f"AMC {AMC} would be degraded instead of suspended; "
                f"AMC {AMC} would be live instead of suspended from 2024-01-29T13:00:00.000Z on"
            ),
        ),
        (
            [mode("degraded", AMC), mode("live", until=NOON + HOUR)],
            make_order(kind="mode.clear", scope=AMC),
            f"AMC {AMC} would be live instead of degraded",
        ),
    ],
)
def test_a_looser_mode_takes_two_now_or_later(before: list[Order], order: Order, said: str):
    assert clause(state_of(*before), order) == said


@pytest.mark.parametrize(
    ("before", "order"),
    [
        ([], mode("degraded")),
        ([], mode("suspended")),
        ([], mode("suspended", AMC, until=NOON + HOUR)),
        ([mode("live")], mode("degraded")),
        ([mode("live")], mode("live")),
        ([mode("live")], mode("live", AMC)),
        ([mode("live")], mode("degraded", until=NOON + HOUR)),
        # What ends as `degraded` would have been live again.
        ([mode("live")], mode("suspended", until=NOON + HOUR)),
        ([mode("suspended", until=NOON + HOUR)], mode("suspended", until=NOON + 2 * HOUR)),
        ([mode("live"), mode("live", AMC)], make_order(kind="mode.clear", scope=AMC)),
        ([mode("suspended")], mode("degraded", AMC)),
        ([], make_order(kind="mode.clear", scope=AMC)),
        ([mode("suspended", OTHER)], mode("degraded", AMC)),
    ],
)
def test_a_mode_that_is_nowhere_looser_takes_one(before: list[Order], order: Order):
    assert clause(state_of(*before), order) is None


_ENDS = st.none() | st.integers(1, 12).map(lambda half_hours: NOON + half_hours * HOUR / 2)
_MODES = st.builds(
    lambda name, scope, until: mode(name, scope, until=until),
    st.sampled_from(sorted(LOOSENESS)),
    st.sampled_from(["*", AMC, OTHER]),
    _ENDS,
) | st.builds(lambda scope: make_order(kind="mode.clear", scope=scope), st.sampled_from(["*", AMC, OTHER]))


def looseness(state: State, amc: str, half_hours: int) -> int:
    """How a query that names the AMC is answered, as workers see it."""
    view = state.view(NOON + half_hours * HOUR / 2)
    if amc in view.excluded or view.mode_for(None).mode == "suspended":
        return 0
    return LOOSENESS[view.mode_for(amc).mode]


@given(st.lists(_MODES, max_size=5), _MODES)
def test_one_person_makes_no_query_looser_at_any_time(orders: list[Order], order: Order):
    before = state_of(*orders)
    if clause(before, order) is None:
        after = fold(before, replace(order, version=before.version + 1))
        for amc in (AMC, OTHER):
            for half_hours in range(14):
                assert looseness(after, amc, half_hours) <= looseness(before, amc, half_hours)


@given(st.lists(_MODES, max_size=5), st.sampled_from(["*", AMC]))
def test_one_person_may_always_suspend(orders: list[Order], scope: str):
    assert clause(state_of(*orders), mode("suspended", scope)) is None


HUB = client(**{"class": "hub"}, finess=["750012346", "750012353"])


@pytest.mark.parametrize(
    ("before", "order", "said"),
    [
        ([], client(**{"class": "hub"}), "a client of class hub would be registered"),
        ([], client(**{"class": "operator"}, finess=[]), "a client of class operator would be registered"),
        ([], client(**{"class": "admin"}, finess=[]), "a client of class admin would be registered"),
        ([], client(**{"class": "auditor"}, finess=[]), "a client of class auditor would be registered"),
        ([], client(daily=801), "its budget daily would be 801, above the 800 of its class"),
        ([], client(unknown=301), "its budget unknown would be 301, above the 300 of its class"),
        ([], client(watch="report"), "it would be watched in report mode only"),
        ([client()], client(keys=[dict(KEY.public.jwk), OTHER_KEY]), "it would have a key it did not have"),
        ([client()], client(keys=[OTHER_KEY]), "it would have a key it did not have"),
        ([client()], client(**{"class": "vendor"}), "its class would be vendor instead of pharmacy"),
        (
            [HUB],
            client(**{"class": "hub"}, finess=["750012346", "750012361"]),
            "the hub would act for a FINESS it did not act for",
        ),
        (
            [client()],
            make_order(kind="client.limit", scope="c", body={"burst": 61}),
            "its budget burst would be 61, above the 60 of its class",
        ),
        (
            [client()],
            make_order(kind="client.limit", scope="c", body={"watch": "report"}),
            "it would be watched in report mode only",
        ),
        (
            [client(), make_order(kind="client.suspend", scope="c")],
            make_order(kind="client.resume", scope="c"),
            "its suspension would end",
        ),
        (
            [client()],
            client(daily=900, keys=[OTHER_KEY]),
            "it would have a key it did not have; its budget daily would be 900, above the 800 of its class",
        ),
    ],
)
def test_a_client_that_may_more_takes_two(before: list[Order], order: Order, said: str):
    assert clause(state_of(*before), order) == said


@pytest.mark.parametrize(
    ("before", "order"),
    [
        ([], client()),
        ([], client(daily=None, burst=1)),
        ([], client(**{"class": "vendor"}, finess=[])),
        ([client()], client()),
        ([client()], client(keys=[{**KEY.public.jwk, "use": "sig"}])),
        ([client(keys=[dict(KEY.public.jwk), OTHER_KEY])], client()),
        ([client(**{"class": "admin"}, finess=[], keys=[dict(KEY.public.jwk), OTHER_KEY])],
         client(**{"class": "admin"}, finess=[])),
        ([HUB], client(**{"class": "hub"}, finess=["750012346"])),
        ([client(daily=2000)], client(daily=2000)),
        ([client(daily=2000)], make_order(kind="client.limit", scope="c", body={"daily": 1500})),
        ([client(daily=10)], make_order(kind="client.limit", scope="c", body={"daily": 800})),
        ([client(watch="report")], make_order(kind="client.limit", scope="c", body={"watch": "enforce"})),
        ([client()], make_order(kind="client.suspend", scope="c")),
        ([client()], make_order(kind="client.resume", scope="c")),
        ([client(), make_order(kind="client.suspend", scope="c")], client()),
    ],
)  # fmt: skip
def test_a_client_that_may_no_more_than_before_takes_one(before: list[Order], order: Order):
    assert clause(state_of(*before), order) is None


def activate(sequence: int, *accepted: str) -> Order:
    body = {"sequence": sequence, "digest": DIGEST, "counts": {}, "accepted": list(accepted)}
    return make_order(kind="snapshot.activate", body=body)


PIN = make_order(kind="snapshot.pin", body={"sequence": 1, "digest": DIGEST}, until=NOON + HOUR)


def test_an_accepted_finding_and_a_pin_take_two():
    assert clause(State(), activate(1)) is None
    assert clause(State(), activate(1, "people: 10 % fewer")) == "what the guard found would be accepted (1)"
    before = state_of(activate(1), activate(2))
    assert clause(before, PIN) == "snapshot 1 would serve again, older than the latest"
    assert clause(state_of(activate(1), activate(2), PIN), make_order(kind="snapshot.unpin")) is None


def test_notices_take_one():
    notice = make_order(kind="notice.put", body={"id": "n", "severity": "info", "text": "Bonjour."})
    assert clause(State(), notice) is None
    assert clause(state_of(notice), make_order(kind="notice.withdraw", body={"id": "n"})) is None


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (mode("live", reason=""), InvalidField),
        (make_order(kind="client.resume", scope="nobody"), NotFound),
        (PIN, Conflict),
    ],
)
def test_what_may_not_be_ordered_is_not_judged(order: Order, error: type[Exception]):
    with pytest.raises(error):
        clause(State(), order)
