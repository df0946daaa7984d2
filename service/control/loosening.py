"""Which orders take two people: those that loosen something. Pure.

An order is judged by what it does, not by its name: the state before it and the state after it are compared, and
nothing may be looser in the second, now or at any later instant. One person may always tighten.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from service.control.format import EVERYWHERE, Kind, instant_text
from service.control.intent import Intent, draft_order
from service.control.orders import fold
from service.control.state import DEFAULT_MODE, ClientState, State, View
from service.errors import KeyRejected
from service.jwk import parse_public_jwk
from service.strictjson import canonical

#: From the tightest to the loosest.
_LOOSENESS: Final[Mapping[str, int]] = {"suspended": 0, "degraded": 1, "live": 2}
#: Classes whose new client may read much, or order: one person may register the others.
_POWERFUL: Final = frozenset({"hub", "operator", "admin", "auditor"})
_BUDGETS: Final = ("daily", "burst", "unknown")


class ClassLimits(Protocol):
    """The budgets of a class, for a client whose registration names none."""

    @property
    def daily(self) -> int:
        """Lookups a day."""
        ...

    @property
    def burst(self) -> int:
        """Lookups at once."""
        ...

    @property
    def unknown(self) -> int:
        """Answers `beneficiary_unknown` a day."""
        ...


def loosens(state: State, intent: Intent, now: dt.datetime, class_limits: Mapping[str, ClassLimits]) -> str | None:
    """What the order would loosen, in one clause; None where one person may give it.

    `class_limits` are the budgets of each class, above which a second person is asked. Raises as issuing the order
    would: `InvalidField`, `NotFound`, `Conflict`, `ChainBroken`.
    """
    order = draft_order(intent, state, now)
    after = fold(state, order)
    if order.kind == Kind.SNAPSHOT_PIN:
        return f"snapshot {order.body['sequence']} would serve again, older than the latest"
    if order.kind == Kind.SNAPSHOT_ACTIVATE:
        accepted = order.body.get("accepted", ())
        return f"what the guard found would be accepted ({len(accepted)})" if accepted else None
    if order.kind in {Kind.MODE_SET, Kind.MODE_CLEAR}:
        return _looser_mode(state, after, order.scope, now)
    if order.scope in after.clients:
        return _looser_client(state.clients.get(order.scope), after.clients[order.scope], now, class_limits)
    return None


def _looser_mode(before: State, after: State, scope: str, now: dt.datetime) -> str | None:
    """The first instant from `now` on at which the scope is looser after the order than without it.

    Then each at which it is looser still: whoever approves must read how far it goes.
    """
    found: list[str] = []
    loosest = 0
    for instant in _instants((before, after), scope, now):
        former, mode = _mode(before.view(instant), scope), _mode(after.view(instant), scope)
        if _LOOSENESS[mode] > max(_LOOSENESS[former], loosest):
            loosest = _LOOSENESS[mode]
            when = "" if instant == now else f" from {instant_text(instant)} on"
            found.append(f"{_place(scope)} would be {mode} instead of {former}{when}")
    return "; ".join(found) or None


def _instants(states: Iterable[State], scope: str, now: dt.datetime) -> list[dt.datetime]:
    """`now`, and every later end of a mode that the scope's depends on."""
    stacks = [state.modes.get(one, ()) for state in states for one in (scope, EVERYWHERE)]
    ends = {mode.until for stack in stacks for mode in stack if mode.until is not None}
    return [now, *sorted(end for end in ends if end > now)]


def _mode(view: View, scope: str) -> str:
    """The mode of a scope by itself.

    An AMC without its own has everybody's, where `suspended` counts as `degraded`: it is no exclusion, and once
    it is lifted the AMC's own mode is what shows.
    """
    everywhere = view.modes.get(EVERYWHERE, DEFAULT_MODE).mode
    if scope == EVERYWHERE:
        return everywhere
    own = view.modes.get(scope)
    if own is not None:
        return own.mode
    return "degraded" if everywhere == "suspended" else everywhere


def _place(scope: str) -> str:
    return "everything" if scope == EVERYWHERE else f"AMC {scope}"


def _looser_client(
    before: ClientState | None, after: ClientState, now: dt.datetime, class_limits: Mapping[str, ClassLimits]
) -> str | None:
    """What is looser now, then what else is once a limit ends: whoever approves must read how far it goes."""
    found: dict[str, str] = {}
    ends = {*after.ends(), *(() if before is None else before.ends())}
    for instant in (now, *sorted(end for end in ends if end > now)):
        former, client = None if before is None else before.at(instant), after.at(instant)
        when = "" if instant == now else f" from {instant_text(instant)} on"
        known = {} if former is None else former.body
        for clause in (
            *_standing(former, client),
            *_reach(known, client.body, known=former is not None),
            *_budgets(known, client.body, class_limits),
        ):
            found.setdefault(clause, when)
    return "; ".join(f"{clause}{when}" for clause, when in found.items()) or None


def _standing(before: ClientState | None, after: ClientState) -> Iterable[str]:
    """What the client is, and whether it is answered at all."""
    named = after.body.get("class")
    if before is None:
        if named in _POWERFUL:
            yield f"a client of class {named} would be registered"
        return
    if named != before.body.get("class"):
        yield f"its class would be {named} instead of {before.body.get('class')}"
    if before.suspended and not after.suspended:
        yield "its suspension would end"
    for finess in sorted(before.suspended_finess.keys() - after.suspended_finess.keys()):
        yield f"its suspension for FINESS {finess} would end"


def _reach(before: Mapping[str, Any], after: Mapping[str, Any], *, known: bool) -> Iterable[str]:
    """Who may speak for the client, for whom a hub may, and how closely it is watched."""
    if known and _kids(after) - _kids(before):
        yield "it would have a key it did not have"
    if known and _later(before, after):
        yield "a key of it would be good for longer"
    if known and after.get("class") == "hub" and _finess(after) - _finess(before):
        yield "the hub would act for a FINESS it did not act for"
    if after.get("watch") == "report" and before.get("watch") != "report":
        yield "it would be watched in report mode only"


def _budgets(
    before: Mapping[str, Any], after: Mapping[str, Any], class_limits: Mapping[str, ClassLimits]
) -> Iterable[str]:
    """Budgets above the class's default, unless a second person let them be as high already."""
    for name in _BUDGETS:
        usual = getattr(class_limits.get(str(after.get("class"))), name, 0)
        former, value = before.get(name), after.get(name)
        allowed = max(usual, former) if isinstance(former, int) else usual
        if isinstance(value, int) and value > allowed:
            yield f"its budget {name} would be {value}, above the {usual} of its class"


def _finess(body: Mapping[str, Any]) -> set[str]:
    return set(map(str, body.get("finess", ())))


def _kids(body: Mapping[str, Any]) -> set[str]:
    """The registration's keys by thumbprint; one that is no key counts as itself."""
    return {_kid(jwk) for jwk in body.get("keys", ())}


def _later(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a key it has would lose its end, or get a later one."""
    ends = {_kid(jwk): jwk["exp"] for jwk in before.get("keys", ()) if isinstance(jwk.get("exp"), int)}
    kept = {_kid(jwk): jwk.get("exp") for jwk in after.get("keys", ())}
    return any(kid in kept and not (isinstance(kept[kid], int) and kept[kid] <= end) for kid, end in ends.items())


def _kid(jwk: Mapping[str, Any]) -> str:
    try:
        return parse_public_jwk(jwk).kid
    except KeyRejected:
        return canonical(jwk).decode()
