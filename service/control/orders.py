"""Orders folded into the state they make. Pure.

Each kind has one handler, which also holds the rules that bind the order to what came before: sequences only rise, a
suspension outlives a new registration, nothing is said about a client that is not registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from service.control.format import (
    ORDER_TYP,
    Activate,
    Kind,
    Limit,
    ModeSet,
    NoticePut,
    NoticeWithdraw,
    Order,
    Standing,
    order_body,
    order_digest,
    order_kind,
    order_payload,
    parse_order,
)
from service.control.format import Pin as PinBody
from service.control.state import (
    Activation,
    ClientState,
    Floor,
    ModeState,
    Notice,
    Pin,
    State,
    Suspension,
    TimedLimit,
    View,
    is_over,
)
from service.control.tightening import check_lowers, is_sentinels, slow_end
from service.errors import Conflict, NotFound

#: The pure face of control: an order's form, the fold, and what it makes.
__all__ = [
    "ORDER_TYP",
    "Kind",
    "Order",
    "State",
    "View",
    "fold",
    "fold_all",
    "order_digest",
    "order_payload",
    "parse_order",
    "subject_of",
]


def subject_of(kind: str, scope: str, body: Mapping[str, Any]) -> str:
    """What an order is about, and what no other order may have changed since its author looked.

    `mode <scope>`, `client <id>` or `notice <id>`; `snapshot`, for there is only one that serves.
    """
    family = kind.partition(".")[0]
    return {"snapshot": family, "notice": f"{family} {body.get('id')}"}.get(family, f"{family} {scope}")


def fold(state: State, order: Order) -> State:
    """The state after one more order. Raises as `fold_all`."""
    return fold_all(state, (order,))


def fold_all(state: State, orders: Iterable[Order]) -> State:
    """The state after the orders, at a cost that grows with their number and not with its square.

    Raises `ChainBroken` for an unknown kind, `InvalidField` for a malformed body, `NotFound` for an order about a
    client or notice that is not there, `Conflict` for a snapshot that may not be activated or pinned. Whoever issues
    an order folds it first, so that no such order enters the chain.
    """
    draft = _Draft(
        modes=dict(state.modes),
        clients=dict(state.clients),
        notices=dict(state.notices),
        activation=state.activation,
        pin=state.pin,
        floor=state.floor,
        quarantine=state.quarantine,
        touched=dict(state.touched),
    )
    version = state.version
    for order in orders:
        _APPLY[order_kind(order)](draft, order)
        version = draft.touched[subject_of(order.kind, order.scope, order.body)] = order.version
    return State(
        version=version,
        modes=draft.modes,
        clients=draft.clients,
        activation=draft.activation,
        pin=draft.pin,
        floor=draft.floor,
        notices=draft.notices,
        quarantine=draft.quarantine,
        touched=draft.touched,
    )


@dataclass(slots=True)
class _Draft:
    """The state being folded, private to one call."""

    modes: dict[str, tuple[ModeState, ...]]
    clients: dict[str, ClientState]
    notices: dict[str, Notice]
    activation: Activation | None
    pin: Pin | None
    floor: Floor | None
    quarantine: tuple[range, ...]
    touched: dict[str, int]


def _set_mode(draft: _Draft, order: Order) -> None:
    mode = order_body(order, ModeSet).mode
    added = ModeState(mode=mode, version=order.version, since=order.at, until=order.until, reason=order.reason)
    # Nothing lies below an order without an end, nor below a suspension: neither ever uncovers it.
    below = () if order.until is None or mode == "suspended" else draft.modes.get(order.scope, ())
    kept = tuple(mode for mode in below if mode.mode == "suspended" or not is_over(mode.until, order.at))
    draft.modes[order.scope] = (*kept, added)


def _clear_mode(draft: _Draft, order: Order) -> None:
    draft.modes.pop(order.scope, None)


def _activate(draft: _Draft, order: Order) -> None:
    """Sequences only rise; what a pin left above it stays in quarantine (its end does not bring it back)."""
    body = order_body(order, Activate)
    if draft.pin is not None and not is_over(draft.pin.until, order.at):
        raise Conflict(f"snapshot {draft.pin.sequence} is pinned by order {draft.pin.version}: unpin first")
    if draft.floor is not None:
        if body.sequence < draft.floor.sequence:
            raise Conflict(
                f"snapshot {draft.floor.sequence} was active before: an earlier one is pinned, not activated"
            )
        if body.sequence == draft.floor.sequence and body.digest != draft.floor.digest:
            raise Conflict(f"snapshot {body.sequence} was active before with another content")
    _refuse_quarantined(draft, body.sequence)
    draft.activation = Activation(body.sequence, body.digest, order.version, order.at, body.counts)
    draft.floor = Floor(body.sequence, body.digest, body.counts)


def _pin(draft: _Draft, order: Order) -> None:
    """An earlier snapshot serves; every later one is put in quarantine for good, and no pin brings it back either."""
    body = order_body(order, PinBody)
    if draft.floor is None or body.sequence > draft.floor.sequence:
        raise Conflict("only a snapshot that was active before can be pinned")
    if body.sequence == draft.floor.sequence and body.digest != draft.floor.digest:
        raise Conflict(f"snapshot {body.sequence} was active before with another content")
    _refuse_quarantined(draft, body.sequence)
    left = range(body.sequence + 1, draft.floor.sequence + 1)
    if left:
        # One range ends at the floor of its time; those that lie within the new one say nothing more.
        draft.quarantine = (*(one for one in draft.quarantine if one.start < left.start), left)
    draft.activation = Activation(body.sequence, body.digest, order.version, order.at)
    draft.pin = Pin(body.sequence, body.digest, order.version, order.at, order.until, order.reason)


def _refuse_quarantined(draft: _Draft, sequence: int) -> None:
    if any(sequence in left for left in draft.quarantine):
        raise Conflict(f"snapshot {sequence} was put in quarantine by a pin: publish a higher sequence")


def _unpin(draft: _Draft, order: Order) -> None:  # noqa: ARG001 - all handlers have one shape
    draft.pin = None


def _register(draft: _Draft, order: Order) -> None:
    """A new registration replaces the former; a suspension outlives it, and so does a limit until its end."""
    fresh = ClientState(body=order.body, version=order.version)
    if order.scope in draft.clients:
        known = _client(draft, order)
        standing = {name: getattr(known, name) for name in ("suspended", "since", "reason", "suspended_finess")}
        fresh = msgspec.structs.replace(fresh, **standing)
        fresh = fresh.limited(known.limits)
    draft.clients[order.scope] = fresh


def _limit(draft: _Draft, order: Order) -> None:
    """Without an end it replaces what the registration says and what people's limits say of the same members."""
    members = msgspec.to_builtins(order_body(order, Limit))
    client = _client(draft, order)
    plain = msgspec.structs.replace(client, body=client.registered, version=order.version)
    if is_sentinels(order):
        check_lowers(order, client)
        limits = (*_without_sentinels(client), TimedLimit(members, order.version, slow_end(order), slowed=True))
    elif order.until is not None:
        limits = (*client.limits, TimedLimit(members, order.version, order.until))
    else:
        plain = msgspec.structs.replace(plain, body={**plain.body, **members})
        limits = tuple(
            left for limit in client.limits for left in ((limit,) if limit.slowed else _without(limit, members))
        )
    draft.clients[order.scope] = plain.limited(limits)


def _without(limit: TimedLimit, members: Mapping[str, Any]) -> Iterable[TimedLimit]:
    kept = {name: value for name, value in limit.members.items() if name not in members}
    return [msgspec.structs.replace(limit, members=kept)] if kept else []


def _without_sentinels(client: ClientState) -> tuple[TimedLimit, ...]:
    return tuple(limit for limit in client.limits if not limit.slowed)


def _suspend(draft: _Draft, order: Order) -> None:
    client, finess = _client(draft, order), order_body(order, Standing).finess
    if finess is not msgspec.UNSET:
        added = client.suspended_finess.get(finess) or Suspension(order.version, order.at, order.reason)
        apart = {**client.suspended_finess, finess: added}
        draft.clients[order.scope] = _standing(client, order, suspended_finess=apart)
        return
    since, reason = (client.since, client.reason) if client.suspended else (order.at, order.reason)
    draft.clients[order.scope] = _standing(client, order, suspended=True, since=since, reason=reason)


def _resume(draft: _Draft, order: Order) -> None:
    """Of the client: what the sentinel limited is lifted too, what is suspended for a FINESS is lifted by name only."""
    client, finess = _client(draft, order), order_body(order, Standing).finess
    if finess is not msgspec.UNSET:
        apart = {name: kept for name, kept in client.suspended_finess.items() if name != finess}
        draft.clients[order.scope] = _standing(client, order, suspended_finess=apart)
        return
    resumed = _standing(client, order, suspended=False, since=None, reason=None)
    plain = msgspec.structs.replace(resumed, body=resumed.registered)
    draft.clients[order.scope] = plain.limited(_without_sentinels(client))


def _standing(client: ClientState, order: Order, **members: Any) -> ClientState:
    """The client with another standing, also once its limits have ended."""
    plain = msgspec.structs.replace(client, body=client.registered, version=order.version, **members)
    return plain.limited(client.limits)


def _client(draft: _Draft, order: Order) -> ClientState:
    client = draft.clients.get(order.scope)
    if client is None:
        raise NotFound("no client of this id is registered")
    # The sentinel's orders only tighten: a time that lies ahead must not end what people limited.
    return client if is_sentinels(order) else client.at(order.at)


def _put_notice(draft: _Draft, order: Order) -> None:
    body = order_body(order, NoticePut)
    since = body.since or order.at
    draft.notices[body.id] = Notice(body.id, order.scope, body.severity, body.text, order.version, since, order.until)


def _withdraw_notice(draft: _Draft, order: Order) -> None:
    if draft.notices.pop(order_body(order, NoticeWithdraw).id, None) is None:
        raise NotFound("no notice of this id")


_APPLY: Final[Mapping[Kind, Callable[[_Draft, Order], None]]] = {
    Kind.MODE_SET: _set_mode,
    Kind.MODE_CLEAR: _clear_mode,
    Kind.SNAPSHOT_ACTIVATE: _activate,
    Kind.SNAPSHOT_PIN: _pin,
    Kind.SNAPSHOT_UNPIN: _unpin,
    Kind.CLIENT_REGISTER: _register,
    Kind.CLIENT_LIMIT: _limit,
    Kind.CLIENT_SUSPEND: _suspend,
    Kind.CLIENT_RESUME: _resume,
    Kind.NOTICE_PUT: _put_notice,
    Kind.NOTICE_WITHDRAW: _withdraw_notice,
}
