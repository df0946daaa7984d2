"""The clients a worker knows, kept in step with the control state. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from service.access.clients import Client, parse_client
from service.errors import InvalidField

#: More new registrations than these are parsed later, for the event loop of a worker must not wait for thousands.
_AT_ONCE: Final = 64


class Registration(Protocol):
    """What the control state holds for a client."""

    @property
    def body(self) -> Mapping[str, Any]:
        """The body of its registration order, limits applied."""
        ...

    @property
    def suspended(self) -> bool:
        """Whether an order in force suspends it."""
        ...

    @property
    def suspended_finess(self) -> Mapping[str, object]:
        """The FINESS for which orders in force suspend it."""
        ...


class Registry:
    """The clients a worker knows, kept in step with the control state.

    A registration that does not parse makes that one client unknown (fail closed) and is named in `broken`; all
    others go on. Where many change at once, each is parsed by `settle`, or sooner, when somebody asks for it: nobody
    ever sees a client as it was before.
    """

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._sources: Mapping[str, Registration] = {}
        self._broken: set[str] = set()
        self._with_ends: set[str] = set()
        #: What the client was parsed from that is to be parsed anew; None where there was none.
        self._waiting: dict[str, Registration | None] = {}

    def __len__(self) -> int:
        return len(self._sources.keys() - self._broken)

    @property
    def broken(self) -> frozenset[str]:
        """The clients whose registration does not parse, as far as they have been."""
        return frozenset(self._broken)

    def get(self, client_id: str) -> Client | None:
        """The client as of the last update."""
        if client_id in self._waiting:
            self._settle(client_id)
        return self._clients.get(client_id)

    def update(self, registrations: Mapping[str, Registration]) -> None:
        """Follow the control state. Keys are parsed only where a registration is new or its body changed."""
        sources = self._sources
        # The control state keeps the object of whatever did not change, so almost all are told by identity alone.
        changed = [name for name, registration in registrations.items() if sources.get(name) is not registration]
        gone = sources.keys() - registrations.keys() if len(sources) + len(changed) > len(registrations) else ()
        if not changed and not gone:
            return
        for client_id in gone:
            self._forget(client_id)
            self._waiting.pop(client_id, None)
            self._broken.discard(client_id)
        for client_id in changed:
            self._waiting.setdefault(client_id, sources.get(client_id))
        self._sources = dict(registrations)
        if len(changed) <= _AT_ONCE:
            for client_id in changed:
                self._settle(client_id)

    @property
    def with_key_ends(self) -> list[Client]:
        """The clients one of whose keys has an end, as far as they have been parsed."""
        return [self._clients[client_id] for client_id in self._with_ends]

    @property
    def waiting(self) -> int:
        """How many clients are still to be parsed."""
        return len(self._waiting)

    def settle(self, most: int) -> None:
        """Parse up to so many of those that wait."""
        for client_id in list(itertools.islice(self._waiting, most)):
            self._settle(client_id)

    def _settle(self, client_id: str) -> None:
        source = self._waiting.pop(client_id)
        known = None if source is None else self._clients.get(client_id)
        self._forget(client_id)
        try:
            client = _followed(client_id, self._sources[client_id], source, known)
        except InvalidField:
            self._broken.add(client_id)
            return
        self._clients[client_id] = client
        self._broken.discard(client_id)
        if client.key_ends:
            self._with_ends.add(client_id)

    def _forget(self, client_id: str) -> None:
        self._clients.pop(client_id, None)
        self._with_ends.discard(client_id)


def _followed(client_id: str, registration: Registration, source: Registration | None, known: Client | None) -> Client:
    """The client of a registration; `known` is the one `source` made."""
    if known is None or source is None:
        known = parse_client(client_id, registration.body)
    elif source.body != registration.body:
        # Limits of many thousands may end in one instant.
        same = source.body.get("keys") == registration.body.get("keys")
        known = parse_client(client_id, registration.body, known_keys=known.keys if same else None)
    suspended, apart = registration.suspended, frozenset(registration.suspended_finess)
    if (known.suspended, known.suspended_finess) == (suspended, apart):
        return known
    return msgspec.structs.replace(known, suspended=suspended, suspended_finess=apart)
