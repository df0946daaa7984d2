from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.control.orders import Order, State, fold, fold_all
from service.errors import ChainBroken, Conflict, InvalidField, NotFound, RelaisError
from tests.unit.control.control_chain import DIGEST, HOUR, NOON, make_order, registration

AMC = "0775671993"
UNPIN = make_order(kind="snapshot.unpin")


def activate(sequence: int, digest: str = DIGEST, **members: Any):
    body = {"sequence": sequence, "digest": digest, "counts": {AMC: {"people": sequence}}, "accepted": []}
    return make_order(kind="snapshot.activate", body=body, **members)


def pin(sequence: int, digest: str = DIGEST, **members: Any):
    return make_order(kind="snapshot.pin", body={"sequence": sequence, "digest": digest}, **members)


def client_order(kind: str, scope: str = "pharm", **members: Any):
    body = registration() if kind == "client.register" else {}
    return make_order(kind=kind, scope=scope, **{"body": body, **members})


def numbered(orders: list[Order]):
    return [replace(order, version=version) for version, order in enumerate(orders, 1)]


def state_of(*orders: Order):
    return fold_all(State(), numbered(orders))


def test_unknown_kind_stops_the_fold():
    with pytest.raises(ChainBroken):
        fold(State(), make_order(kind="mode.dance"))


def test_malformed_body_stops_the_fold():
    with pytest.raises(InvalidField):
        fold(State(), make_order(body={"mode": "off"}))


def test_fold_leaves_the_former_state_untouched():
    before = state_of(client_order("client.register"), make_order())
    seen = (before.version, dict(before.clients), dict(before.modes))
    fold_all(before, [client_order("client.suspend", version=3), make_order(4, "mode.clear")])
    assert seen == (before.version, dict(before.clients), dict(before.modes))


def test_registering_again_does_not_lift_a_suspension():
    state = state_of(
        client_order("client.register"),
        client_order("client.suspend", reason="scraping"),
        client_order("client.register", body=registration(daily=5)),
    )
    client = state.clients["pharm"]
    assert (client.suspended, client.since, client.reason, client.body["daily"]) == (True, NOON, "scraping", 5)
    assert not fold(state, client_order("client.resume", version=4)).clients["pharm"].suspended


def test_limits_replace_what_they_name_and_nothing_else():
    state = state_of(client_order("client.register"), client_order("client.limit", body={"burst": 3}))
    assert state.clients["pharm"].body == {**registration(), "burst": 3}
    assert state.clients["pharm"].version == 2


@pytest.mark.parametrize("kind", ["client.suspend", "client.resume", "client.limit"])
def test_order_about_an_unregistered_client_is_refused(kind: str):
    with pytest.raises(NotFound):
        state_of(client_order(kind))


@pytest.mark.parametrize(
    ("orders", "refused"),
    [
        ([activate(5)], activate(4)),
        ([activate(5)], activate(5, "B" * 43)),
        ([activate(4), activate(5), pin(4, until=NOON + HOUR)], activate(6)),
        ([activate(4), activate(5), pin(4), make_order(kind="snapshot.unpin")], activate(5)),
        ([activate(4), activate(5), pin(4, until=NOON + HOUR)], activate(5, at=NOON + 2 * HOUR)),
        ([activate(4), activate(5), pin(4), UNPIN], pin(5)),
        ([activate(4), activate(5), pin(4, until=NOON + HOUR)], pin(5, at=NOON + 2 * HOUR)),
        ([activate(4), activate(5), activate(6), pin(4)], pin(5)),
        ([activate(4), activate(5), pin(4), make_order(kind="snapshot.unpin"), activate(7)], pin(5)),
        (
            [activate(4), activate(5), pin(4), make_order(kind="snapshot.unpin"), activate(6), activate(7), pin(6)],
            pin(5),
        ),
        ([], pin(1)),
        ([activate(4)], pin(5)),
        ([activate(4)], pin(4, "B" * 43)),
    ],
    ids=[
        "rollback",
        "equivocation",
        "pinned",
        "quarantine",
        "pin-ended",
        "unpinned-quarantine-pinned",
        "pin-ended-quarantine-pinned",
        "pin-above-a-pin",
        "quarantine-below-a-later-one",
        "quarantine-below-a-later-pin",
        "nothing-to-pin",
        "pin-ahead",
        "pin-other",
    ],
)
def test_snapshot_order_that_breaks_the_sequence_is_refused(orders: list[Order], refused: Order):
    state = state_of(*orders)
    with pytest.raises(Conflict):
        fold(state, refused)


def test_pin_serves_the_earlier_snapshot_and_its_end_brings_nothing_back():
    state = state_of(activate(4), activate(5), pin(4, until=NOON + HOUR, reason="bad extract"))
    during, after = state.view(NOON), state.view(NOON + HOUR)
    assert (during.pin.sequence, during.pin.reason, during.activation.sequence) == (4, "bad extract", 4)
    assert (after.pin, after.activation.sequence, after.floor.sequence) == (None, 4, 5)
    assert after.floor.counts == {AMC: {"people": 5}}
    later = fold(state, activate(6, at=NOON + HOUR, version=4))
    assert later.view(NOON + HOUR).activation.sequence == 6


def test_a_pin_may_be_renewed_moved_down_and_moved_back_to_no_quarantine():
    state = state_of(activate(3), activate(4), activate(5), pin(4), pin(4), pin(3))
    assert (state.activation.sequence, state.quarantine) == (3, (range(4, 6),))
    later = state_of(activate(3), activate(4), pin(3), UNPIN, activate(5), activate(6), pin(5))
    assert [sequence for sequence in range(1, 9) if later.is_quarantined(sequence)] == [4, 6]
    assert fold(later, pin(3, version=9)).quarantine == (range(4, 7),)


def test_pinning_the_highest_puts_nothing_in_quarantine():
    state = state_of(activate(4), pin(4, until=NOON + HOUR))
    assert (state.pin.sequence, state.quarantine) == (4, ())


def test_activating_the_active_snapshot_again_changes_nothing_served():
    assert state_of(activate(4), activate(4)).view(NOON).activation.sequence == 4


def test_withdrawing_an_unknown_notice_is_refused():
    with pytest.raises(NotFound):
        state_of(make_order(kind="notice.withdraw", body={"id": "n"}))


hours = st.none() | st.integers(-3, 30).map(lambda n: NOON + n * HOUR)
modes = st.builds(
    lambda mode, scope, at, until: make_order(body={"mode": mode}, scope=scope, at=NOON + at * HOUR, until=until),
    st.sampled_from(["live", "degraded", "suspended"]),
    st.sampled_from(["*", AMC]),
    st.integers(-3, 20),
    hours,
)
clients = st.builds(
    client_order,
    st.sampled_from(["client.register", "client.suspend", "client.resume", "client.limit"]),
    st.sampled_from(["a", "b"]),
)
snapshots = st.builds(
    lambda make, number, digest, until: make(number, digest * 43, until=until),
    st.sampled_from([activate, pin]),
    st.integers(1, 6),
    st.sampled_from(["A", "B"]),
    hours,
)
plain = st.sampled_from([make_order(kind="mode.clear"), make_order(kind="snapshot.unpin")])
histories = st.lists(st.one_of(modes, clients, snapshots, plain), max_size=25)


def accepted(history: list[Order]):
    """The orders an issuer would have let through, and the state after each."""
    state, orders, states = State(), [], []
    for drawn in history:
        order = replace(drawn, version=state.version + 1)
        try:
            state = fold(state, order)
        except RelaisError:
            continue
        orders.append(order)
        states.append(state)
    return orders, states


@given(histories)
def test_what_was_in_quarantine_once_never_serves_again(history: list[Order]):
    left: set[int] = set()
    for state in accepted(history)[1]:
        left |= {sequence for sequence in range(1, 7) if state.is_quarantined(sequence)}
        assert state.activation is None or state.activation.sequence not in left
        assert all(state.is_quarantined(sequence) for sequence in left)


@given(histories)
def test_folding_at_once_is_folding_one_by_one(history: list[Order]):
    orders, states = accepted(history)
    assert fold_all(State(), orders) == (states[-1] if states else State())


@given(histories)
def test_floor_never_goes_down_and_names_one_content(history: list[Order]):
    floors = [state.floor for state in accepted(history)[1] if state.floor]
    for before, after in pairwise(floors):
        assert after.sequence > before.sequence or after == before


@given(histories)
def test_served_sequence_goes_down_only_by_a_pin(history: list[Order]):
    orders, states = accepted(history)
    for order, before, after in zip(orders[1:], states, states[1:], strict=False):
        if before.activation and after.activation and after.activation.sequence < before.activation.sequence:
            assert order.kind == "snapshot.pin"


@given(histories)
def test_suspension_ends_only_by_a_resume(history: list[Order]):
    orders, states = accepted(history)
    for order, before, after in zip(orders[1:], states, states[1:], strict=False):
        freed = {c for c, s in before.clients.items() if s.suspended and not after.clients[c].suspended}
        assert not freed or (order.kind == "client.resume" and freed == {order.scope})


def test_a_thousand_orders_fold_fast():
    orders = numbered([client_order("client.register", f"c{n}") for n in range(500)] + [make_order()] * 500)
    started = time.perf_counter()
    fold_all(State(), orders)
    assert time.perf_counter() - started < 0.5


def test_the_last_order_about_each_subject_is_known_also_where_it_left_nothing():
    notice = make_order(kind="notice.put", scope=AMC, body={"id": "n", "severity": "info", "text": "Bonjour."})
    withdrawn = make_order(kind="notice.withdraw", body={"id": "n"})
    cleared = make_order(kind="mode.clear", scope=AMC)
    state = state_of(make_order(scope=AMC), activate(1), cleared, notice, client_order("client.register"), withdrawn)
    assert state.touched == {f"mode {AMC}": 3, "snapshot": 2, "notice n": 6, "client pharm": 5}
    assert fold(state, pin(1, version=7)).touched["snapshot"] == 7
