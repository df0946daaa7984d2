"""From what the sentinel decided to the orders it comes to. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from service.access.clients import ClientClass, Watch
from service.access.counters import OTHERS
from service.access.sentinel import SLOW_LOOKUPS_AN_HOUR, Action
from service.access.suspicion import Step
from service.control.format import Kind
from service.control.intent import Intent
from service.control.state import ClientState
from service.control.tightening import SENTINEL, lowest_daily

#: Why a step was only told, beside `access.sentinel.Held`: a hub's budget is of all its pharmacies; there is no budget
#: in the registration that could be lowered.
HUB: Final = "hub"
UNBOUNDED: Final = "unbounded"


class Sentence(NamedTuple):
    """The orders an action comes to, by client, and why any of it is only told."""

    intents: dict[str, Intent]
    held: str | None = None


def detail(action: Action) -> str:
    """What was seen, in figures; it names nobody."""
    seen = (f"{one.rule} {one.found:g} (expected {one.expected:g})" for one in action.findings)
    return ", ".join(seen)


def meant(action: Action, clients: Mapping[str, ClientState]) -> list[str]:
    """The registered clients an action is about: those named, or all that may ask for the FINESS."""
    if OTHERS not in action.clients:
        return [name for name in action.clients if name in clients]
    return sorted(name for name, known in clients.items() if action.finess in known.body.get("finess", ()))


def is_hub(known: ClientState) -> bool:
    """Whether the client asks for many pharmacies."""
    return bool(known.body.get("class") == ClientClass.HUB)


def is_watched(known: ClientState) -> bool:
    """Whether the sentinel only tells of the client, whoever else is meant."""
    return bool(known.body.get("watch") == Watch.REPORT)


def suspensions(action: Action, clients: Mapping[str, ClientState]) -> Sentence:
    """A suspension of each client that is meant; of a hub, for that FINESS only. None of who is suspended already."""
    intents = {}
    for name in meant(action, clients):
        known = clients[name]
        finess = action.finess if is_hub(known) else None
        if not known.suspended and not known.is_suspended(finess):
            body = {} if finess is None else {"finess": finess}
            intents[name] = _intent(Kind.CLIENT_SUSPEND, name, body, f"suspended: {detail(action)}")
    return Sentence(intents)


def slowing(
    action: Action, clients: Mapping[str, ClientState], spent: Callable[[str], int], until: dt.datetime
) -> Sentence:
    """A limit of each client that is meant: what it has had today, and an hour's lookups more."""
    intents, held = {}, None
    for name in meant(action, clients):
        known = clients[name]
        if is_hub(known) or lowest_daily(known) is None:
            held = HUB if is_hub(known) else UNBOUNDED
            continue
        limit = slower(name, known, spent(name), until, f"slowed: {detail(action)}")
        if limit is not None:
            intents[name] = limit
    return Sentence(intents, held)


def slower(name: str, known: ClientState, spent: int, until: dt.datetime, reason: str) -> Intent | None:
    """The limit for the next hour; None where the client may have no more than that anyway."""
    bound, daily = lowest_daily(known), spent + SLOW_LOOKUPS_AN_HOUR
    if bound is None or daily >= bound:
        return None
    return _intent(Kind.CLIENT_LIMIT, name, {"daily": daily}, reason, until)


def lifted(finess: str, names: Iterable[str], clients: Mapping[str, ClientState]) -> bool:
    """Whether somebody has lifted any of these suspensions."""
    return any(
        name in clients
        and not clients[name].suspended
        and not (is_hub(clients[name]) and clients[name].is_suspended(finess))
        for name in names
    )


def step_name(step: Step) -> str:
    """A step as suspicions and logs have it."""
    return step.name.lower()


def _intent(kind: Kind, name: str, body: Mapping[str, Any], reason: str, until: dt.datetime | None = None) -> Intent:
    return Intent(kind=kind, scope=name, body=body, reason=reason, actor=SENTINEL, until=until)
