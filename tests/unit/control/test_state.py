from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.control.orders import Order, State
from tests.unit.control.control_chain import HOUR, NOON, make_order
from tests.unit.control.test_orders import AMC, accepted, activate, histories, numbered, pin, state_of

OTHER = "0123456789"


def mode(name: str, scope: str = "*", **members: Any):
    return make_order(body={"mode": name}, scope=scope, **members)


def test_without_orders_the_mode_is_degraded_by_nobody():
    seen = State().view(NOON).mode_for(AMC)
    assert (seen.mode, seen.version, seen.since) == ("degraded", None, None)


def test_suspended_everywhere_wins_over_an_amc_s_own_mode():
    view = state_of(mode("live", AMC), mode("suspended")).view(NOON)
    assert [(view.mode_for(amc).mode, view.mode_for(amc).version) for amc in (None, AMC, OTHER)] == [
        ("suspended", 2)
    ] * 3


def test_an_amc_s_mode_applies_to_queries_that_name_it():
    view = state_of(mode("degraded"), mode("live", AMC)).view(NOON)
    assert [view.mode_for(amc).mode for amc in (None, AMC, OTHER)] == ["degraded", "live", "degraded"]
    assert view.mode_for(AMC).version == 2


def test_suspended_amc_is_excluded_and_never_a_503():
    view = state_of(mode("live"), mode("suspended", AMC)).view(NOON)
    assert view.excluded == {AMC}
    assert [view.mode_for(amc).mode for amc in (None, AMC)] == ["live", "degraded"]
    assert view.modes[AMC].mode == "suspended"


@pytest.mark.parametrize("scope", ["*", AMC])
def test_suspended_whose_end_passed_is_degraded_and_not_what_was_before(scope: str):
    state = state_of(mode("live", scope), mode("suspended", scope, until=NOON + HOUR))
    after = state.view(NOON + HOUR)
    assert after.mode_for(AMC).mode == "degraded"
    assert (after.modes[scope].version, after.modes[scope].since, after.excluded) == (2, NOON + HOUR, frozenset())


def test_what_an_ended_order_overrode_holds_again():
    state = state_of(mode("suspended"), mode("live", until=NOON + HOUR))
    assert state.view(NOON).mode_for(None).mode == "live"
    assert (state.view(NOON + HOUR).mode_for(None).mode, state.view(NOON + HOUR).mode_for(None).version) == (
        "suspended",
        1,
    )


def test_orders_with_ends_pile_up_only_while_they_may_matter():
    state = state_of(*[mode("live", at=NOON + n * HOUR, until=NOON + (n + 1) * HOUR) for n in range(100)])
    assert len(state.modes["*"]) == 1


def test_clear_gives_the_scope_back_to_the_rest():
    view = state_of(mode("live"), mode("suspended", AMC), make_order(kind="mode.clear", scope=AMC)).view(NOON)
    assert (view.mode_for(AMC).mode, view.excluded) == ("live", frozenset())


def test_clock_going_back_forgets_no_order():
    state = state_of(mode("suspended", at=NOON), mode("degraded", AMC, at=NOON - 48 * HOUR))
    assert state.view(NOON - 72 * HOUR).mode_for(AMC).mode == "suspended"


def test_notice_is_shown_from_its_beginning_to_its_end():
    body = {"id": "n", "severity": "warning", "from": "2024-01-29T13:00:00Z", "text": "Portail fermé"}
    state = state_of(make_order(kind="notice.put", scope=AMC, body=body, until=NOON + 2 * HOUR))
    assert [len(state.view(NOON + n * HOUR).notices) for n in range(3)] == [0, 1, 0]
    assert [state.next_change(NOON + n * HOUR) for n in range(3)] == [NOON + HOUR, NOON + 2 * HOUR, None]
    assert state.view(NOON + HOUR).notices[0].scope == AMC


def test_next_change_is_the_earliest_end_ahead():
    state = state_of(activate(4), pin(4, until=NOON + 3 * HOUR), mode("live", until=NOON + 2 * HOUR))
    assert state.next_change(NOON) == NOON + 2 * HOUR
    assert state.next_change(NOON + 2 * HOUR) == NOON + 3 * HOUR
    assert state.next_change(NOON + 3 * HOUR) is None


def folded(history: list[Order]):
    states = accepted(history)[1]
    return states[-1] if states else State()


@given(histories, st.integers(0, 40), st.integers(0, 10))
def test_view_changes_only_where_next_change_says(history: list[Order], hour: int, minutes: int):
    state = folded(history)
    now = NOON + hour * HOUR
    change = state.next_change(now)
    later = now + minutes * HOUR / 5
    if change is None or later < change:
        assert state.view(later) == state.view(now)


@given(st.lists(st.sampled_from(["live", "degraded", "suspended"]), min_size=1), st.integers(1, 5))
def test_time_passing_never_turns_suspended_into_live(names: list[str], length: int):
    orders = [mode(name, until=NOON + length * HOUR if name == "suspended" else None) for name in names]
    view_now, view_later = (state_of(*numbered(orders)).view(NOON + n * HOUR) for n in (0, 6))
    if view_now.mode_for(None).mode == "suspended":
        assert view_later.mode_for(None).mode == "degraded"
