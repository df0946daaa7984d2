"""Many orders that one decision gives: the list a proposal names by its digest. Pure.

A proposal of kind `client.import` is no order and becomes none by itself: approved, it gives the orders of its list,
all in one append. The list lies beside the proposal; its SHA-256 stands in the proposal, which is signed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from service.base64url import sha256_b64u
from service.control.format import Kind
from service.control.intent import Intent
from service.control.orders import subject_of
from service.control.state import State
from service.errors import Conflict
from service.strictjson import canonical

#: The kind of a proposal that stands for a list; no order is of it.
IMPORT: Final = "client.import"
#: What a list may order: clients that are not there yet, and how much of their budget they begin with.
_LISTED: Final = frozenset({Kind.CLIENT_REGISTER, Kind.CLIENT_LIMIT})
#: Whoever may do more is registered one by one, so that a second person reads who it is.
_LISTED_CLASS: Final = "pharmacy"


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order of a list; it ends `lasts` seconds after it is given, whenever that is."""

    kind: str
    scope: str
    body: dict[str, Any]
    lasts: int | None = None


def list_payload(items: Iterable[Item]) -> bytes:
    """The RFC 8785 bytes of a list, by which it is known."""
    return canonical([msgspec.to_builtins(item) for item in items])


def list_digest(payload: bytes) -> str:
    """What a proposal names: base64url(SHA-256) of `list_payload`."""
    return sha256_b64u(payload)


def open_list(payload: bytes, digest: str) -> tuple[Item, ...]:
    """The items of the list with this digest. Raises `Conflict` for any other bytes."""
    if list_digest(payload) != digest:
        raise Conflict("the list beside this proposal is not the one it was made for")
    return msgspec.json.decode(payload, type=tuple[Item, ...])


def list_intents(items: Iterable[Item], heading: Intent, now: dt.datetime) -> list[Intent]:
    """The orders of a list as the proposal's author wants them, and whoever approved it."""
    return [
        Intent(
            kind=item.kind,
            scope=item.scope,
            body=item.body,
            reason=heading.reason,
            actor=heading.actor,
            until=None if item.lasts is None else now + dt.timedelta(seconds=item.lasts),
            approved_by=heading.approved_by,
        )
        for item in items
    ]


def check_listed(items: Sequence[Item], state: State) -> None:
    """Raises `Conflict` for a list that would do more than add clients: one there already is not replaced by a list."""
    if not items:
        raise Conflict("an empty list: there is nothing to order")
    for item in items:
        if item.kind not in _LISTED:
            raise Conflict(f"a list does not order {item.kind}")
        if item.kind == Kind.CLIENT_REGISTER and item.body.get("class") != _LISTED_CLASS:
            raise Conflict(f"{item.scope} is of another class than {_LISTED_CLASS}: a list registers no other")
        if item.scope in state.clients:
            raise Conflict(f"{item.scope} is registered already: a list replaces nobody")


def check_unchanged(items: Iterable[Item], state: State, version: int) -> None:
    """Raises `Conflict` where an order after `version` was about a client of the list."""
    for item in items:
        if state.touched.get(subject_of(item.kind, item.scope, item.body), 0) > version:
            raise Conflict(f"{item.scope} was registered since: make the list anew")


def list_clause(items: Iterable[Item]) -> str:
    """What a list loosens, in one clause."""
    number = len({item.scope for item in items})
    return f"{number} client{'s'[: number != 1]} would be registered"


def list_body(heading: Intent, items: Sequence[Item], digest: str, state: State) -> Mapping[str, Any]:
    """What a proposal says of its list: the heading's own members, how many orders, digest, and what was seen."""
    return {**heading.body, "orders": len(items), "digest": digest, "version": state.version}
