"""The state orders make, and that state seen at an instant. Pure.

`State` is what the chain says for ever; `View` is what holds now, after ends have passed. An order whose end has
passed is ignored, so what it overrode holds again: with one exception, a `suspended` mode, which becomes `degraded`
rather than giving way to what came before it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from service.control.format import EVERYWHERE, ModeName


class ModeState(msgspec.Struct, frozen=True):
    """A mode and the order that set it; `version` None is the default nobody ordered."""

    mode: ModeName
    version: int | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    reason: str | None = None


#: Without an order the upstream is not asked.
DEFAULT_MODE: Final = ModeState(mode="degraded")


class TimedLimit(msgspec.Struct, frozen=True):
    """Members of a client's registration that an order replaces until its end; `slowed` where the sentinel gave it."""

    members: Mapping[str, Any]
    version: int
    until: dt.datetime
    slowed: bool = False


class Suspension(msgspec.Struct, frozen=True):
    """The order that suspends a client for one FINESS."""

    version: int
    since: dt.datetime
    reason: str


class ClientState(msgspec.Struct, frozen=True):
    """A registration, limits applied, by its last order; `since` and `reason` are those of its suspension.

    `suspended_finess` are the pharmacies it is suspended for, whether or not it is as a whole.

    Where `limits` end, this holds until `until`, and `then` what comes after: made once, so that whoever compares
    views compares one reference.
    """

    body: Mapping[str, Any]
    version: int
    suspended: bool = False
    since: dt.datetime | None = None
    reason: str | None = None
    suspended_finess: Mapping[str, Suspension] = {}
    limits: tuple[TimedLimit, ...] = ()
    until: dt.datetime | None = None
    then: ClientState | None = None

    @property
    def registered(self) -> Mapping[str, Any]:
        """The registration without the limits that end."""
        return self.body if self.then is None else self.then.registered

    def at(self, now: dt.datetime) -> ClientState:
        """The client without the limits that are over by `now`."""
        return self if self.then is None or not is_over(self.until, now) else self.then.at(now)

    def is_suspended(self, finess: str | None = None) -> bool:
        """Whether it is suspended, as a whole or where one is named for that FINESS alone."""
        return self.suspended if finess is None else finess in self.suspended_finess

    @property
    def slowed(self) -> bool:
        """Whether the sentinel has limited it."""
        return any(limit.slowed for limit in self.limits)

    def ends(self) -> tuple[dt.datetime, ...]:
        """When its limits end, soonest first."""
        return tuple(sorted({limit.until for limit in self.limits}))

    def limited(self, limits: Iterable[TimedLimit]) -> ClientState:
        """The same client, this body under those limits; of two that name one member, the later order's holds.

        The sentinel's lowers what the others come to, whichever came first: it never raises it.
        """
        given = sorted(limits, key=lambda limit: limit.version)
        client = msgspec.structs.replace(self, limits=(), until=None, then=None)
        for end in sorted({limit.until for limit in given}, reverse=True):
            held = tuple(limit for limit in given if limit.until >= end)
            client = msgspec.structs.replace(client, body=_under(self.body, held), limits=held, until=end, then=client)
        return client


def _under(body: Mapping[str, Any], held: Iterable[TimedLimit]) -> Mapping[str, Any]:
    """A registration under limits, the earliest first."""
    said: dict[str, Any] = dict(body)
    slowed: dict[str, Any] = {}
    for limit in held:
        (slowed if limit.slowed else said).update(limit.members)
    for name, value in slowed.items():
        known = said.get(name)
        said[name] = min(known, value) if isinstance(known, int) else value
    return said


class Activation(msgspec.Struct, frozen=True):
    """The snapshot that serves, and the order (an activation or a pin) that chose it."""

    sequence: int
    digest: str
    version: int
    at: dt.datetime
    counts: Mapping[str, Any] = {}


class Pin(msgspec.Struct, frozen=True):
    """An order that holds an earlier snapshot in place."""

    sequence: int
    digest: str
    version: int
    since: dt.datetime
    until: dt.datetime | None
    reason: str


class Floor(msgspec.Struct, frozen=True):
    """The highest sequence ever activated. No pin lowers it."""

    sequence: int
    digest: str
    counts: Mapping[str, Any]


class Notice(msgspec.Struct, frozen=True):
    """A sentence for everybody who asks, within a scope."""

    id: str
    scope: str
    severity: str
    text: str
    version: int
    since: dt.datetime
    until: dt.datetime | None


class View(msgspec.Struct, frozen=True):
    """What holds at one instant. `excluded` are the AMCs suspended by an order; a pin that ended is None."""

    version: int
    modes: Mapping[str, ModeState]
    clients: Mapping[str, ClientState]
    activation: Activation | None
    pin: Pin | None
    floor: Floor | None
    notices: tuple[Notice, ...]
    excluded: frozenset[str]

    def mode_for(self, amc: str | None) -> ModeState:
        """The mode of a query and the order that set it; `suspended` only if everything is.

        An AMC suspended by itself is excluded, never a 503: a query that names it is answered as `degraded`, because
        the upstream is not asked for it.
        """
        everywhere = self.modes.get(EVERYWHERE, DEFAULT_MODE)
        own = None if amc is None else self.modes.get(amc)
        if own is None or everywhere.mode == "suspended":
            return everywhere
        if own.mode == "suspended":
            return msgspec.structs.replace(own, mode="degraded")
        return own


def live_since(view: View) -> dt.datetime | None:
    """Since when the upstream may be asked: by the order about everything, else by the latest about one AMC."""
    everywhere = view.mode_for(None)
    if everywhere.mode == "suspended":
        return None
    if everywhere.mode == "live":
        return everywhere.since
    return max((mode.since for mode in view.modes.values() if mode.mode == "live" and mode.since), default=None)


class State(msgspec.Struct, frozen=True):
    """All that the orders up to `version` say.

    `modes` keeps, for each scope, the orders a later end may uncover; `quarantine` the sequences that pins left above
    them, for good; `touched` the last order about each subject (`orders.subject_of`), also where it left nothing.
    """

    version: int = 0
    modes: Mapping[str, tuple[ModeState, ...]] = {}
    clients: Mapping[str, ClientState] = {}
    activation: Activation | None = None
    pin: Pin | None = None
    floor: Floor | None = None
    notices: Mapping[str, Notice] = {}
    quarantine: tuple[range, ...] = ()
    touched: Mapping[str, int] = {}

    def is_quarantined(self, sequence: int) -> bool:
        """Whether a pin left this snapshot above it: it is neither activated nor pinned again."""
        return any(sequence in left for left in self.quarantine)

    def view(self, now: dt.datetime) -> View:
        """The state without what has ended by `now`, or not yet begun."""
        seen = {scope: _effective(stack, now) for scope, stack in self.modes.items()}
        modes = {scope: mode for scope, mode in seen.items() if mode is not None}
        shown = [notice for notice in self.notices.values() if notice.since <= now and not is_over(notice.until, now)]
        return View(
            version=self.version,
            modes=modes,
            clients=self._clients(now),
            activation=self.activation,
            pin=None if self.pin is None or is_over(self.pin.until, now) else self.pin,
            floor=self.floor,
            notices=tuple(sorted(shown, key=lambda notice: notice.version)),
            excluded=frozenset(s for s, mode in modes.items() if s != EVERYWHERE and mode.mode == "suspended"),
        )

    def next_change(self, now: dt.datetime) -> dt.datetime | None:
        """The earliest instant after `now` at which the view changes without an order."""
        instants = [mode.until for stack in self.modes.values() for mode in stack]
        instants += [instant for notice in self.notices.values() for instant in (notice.since, notice.until)]
        instants += [] if self.pin is None else [self.pin.until]
        instants += [client.at(now).until for client in self.clients.values() if client.then is not None]
        return min((instant for instant in instants if instant is not None and instant > now), default=None)

    def _clients(self, now: dt.datetime) -> Mapping[str, ClientState]:
        """The mapping itself while no limit has ended: a worker then sees at once that nobody changed."""
        over = {name: client.at(now) for name, client in self.clients.items() if is_over(client.until, now)}
        return {**self.clients, **over} if over else self.clients


def is_over(until: dt.datetime | None, now: dt.datetime) -> bool:
    """Whether an end has passed."""
    return until is not None and until <= now


def _effective(stack: tuple[ModeState, ...], now: dt.datetime) -> ModeState | None:
    """The newest order of a scope that holds; an ended `suspended` holds on as `degraded`."""
    for mode in reversed(stack):
        if not is_over(mode.until, now):
            return mode
        if mode.mode == "suspended":
            return msgspec.structs.replace(mode, mode="degraded", since=mode.until, until=None)
    return None
