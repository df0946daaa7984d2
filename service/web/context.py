"""What the handlers of a worker share: the view of orders, the open snapshot, the gate, the journal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from service.access.gate import Gate
from service.access.registry import Registry
from service.clock import Clock
from service.control.format import EVERYWHERE
from service.control.ledger import LedgerStatus
from service.control.state import View, live_since
from service.journal.writer import JournalWriter
from service.jwk import PublicKey
from service.paris import paris_date
from service.rights.model import Knowledge, Mode, Stance
from service.sentinel.witness import Witness
from service.settings import Settings
from service.snapshot.lookout import Lookout, limits_of
from service.snapshot.opened import Snapshot
from service.snapshot.supply import Facts, Served, Supply, served_extracts, supply_of
from service.upstream.consult import Consultant
from service.web.charging import Charging
from service.web.server import SERVER_NAME


@dataclass(slots=True)
class Context:
    """One worker's resources. `view`, `snapshot` and what derives from them are replaced whole, never changed in place.

    `receipt_keys` verify receipts, by kid. `spread(a, b)` picks a whole number of seconds between, so that callers do
    not come back all at once. `refusal` says why the snapshot an order names could not be opened here; `ledger_status`
    what the orders rest on; `live` whether any scope may ask the upstream; `settings_error` what is wrong with
    relais.toml, where this worker goes on with the settings before; `lookout` what this node's files say of its supply.
    """

    settings: Settings
    clock: Clock
    registry: Registry
    gate: Gate
    receipt_keys: Mapping[str, PublicKey]
    view: View
    spread: Callable[[int, int], int]
    ledger_status: Callable[[], LedgerStatus]
    lookout: Lookout
    journal: JournalWriter | None = None
    upstream: Consultant | None = None
    charging: Charging | None = None
    witness: Witness | None = None
    snapshot: Snapshot | None = None
    knowledge: Knowledge | None = None
    clock_suspect: bool = False
    live: bool = False
    refusal: str | None = None
    settings_error: str | None = None
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    bodies_in_flight: int = 0
    unreadable_records: int = 0
    _stances: dict[tuple[str | None, bool], tuple[Stance, dict[str, Any]]] = field(default_factory=dict)
    _named: frozenset[str] = frozenset()
    _today: dt.date = dt.date.min
    _minute: float = -1.0
    _served: Served | None = None
    _modes_version: int | None = None

    @property
    def serves_rights(self) -> bool:
        """Whether this is a rights worker: only those journal."""
        return self.journal is not None

    @property
    def suspended(self) -> bool:
        """Whether an order suspends everything."""
        return self.view.mode_for(None).mode == "suspended"

    def follow(
        self, view: View, snapshot: Snapshot | None, knowledge: Knowledge | None, *, clock_suspect: bool
    ) -> None:
        """Take over a new view and the snapshot that goes with it: one step between two requests."""
        if view.modes != self.view.modes:
            self._modes_version = view.version
        self.view, self.snapshot, self.knowledge, self.clock_suspect = view, snapshot, knowledge, clock_suspect
        self._stances = {}
        since = live_since(view)
        self.live = since is not None
        if self.upstream is not None:
            self.upstream.follow(since, self._modes_version)
        self._served = self._what_serves()
        self._named = frozenset(view.modes).union(notice.scope for notice in view.notices)
        served = None
        if snapshot is not None:
            served = snapshot.sequence
        elif view.activation is not None and not self.serves_rights:  # the admin server opens none
            served = view.activation.sequence
        self.headers = CIMultiDict(
            {
                istr("Relais-Mode"): view.mode_for(None).mode,
                istr("Relais-Snapshot"): "none" if served is None else str(served),
                hdrs.SERVER: SERVER_NAME,
            }
        )

    def supply(self, now: dt.datetime) -> Supply:
        """How this node's supply of snapshots stands."""
        activation = self.view.activation
        facts = Facts(
            activated_at=None if activation is None else activation.at,
            served=self._served,
            looks=self.lookout.looks(),
            trust=self.lookout.trust(),
        )
        return supply_of(facts, limits_of(self.settings), now)

    def stance(self, amc: str | None, *, upstream_failed: bool = False) -> tuple[Stance, dict[str, Any]]:
        """How orders colour the answer to a query that names `amc`, and the answer's members that say so."""
        # Callers choose the number: only those that an order names may have an entry of their own.
        if amc not in self._named:
            amc = None
        known = self._stances.get((amc, upstream_failed))
        if known is None:
            mode = self.view.mode_for(amc)
            stance = Stance(
                mode=Mode(mode.mode),
                mode_order=mode.version,
                upstream_failed=upstream_failed,
                excluded=self.view.excluded,
                clock_suspect=self.clock_suspect,
                pinned=self.view.pin is not None,
            )
            members = {"mode": mode.mode, "mode_order": mode.version, "notices": self.notices(amc)}
            known = self._stances[amc, upstream_failed] = (stance, members)
        return known

    def notices(self, amc: str | None = None) -> list[dict[str, str]]:
        """The notices in force for everybody and, where named, for one AMC; without `amc`, those of `*` only."""
        return [
            {"id": notice.id, "severity": notice.severity, "text": notice.text}
            for notice in self.view.notices
            if notice.scope in (EVERYWHERE, amc)
        ]

    def today(self, now: dt.datetime) -> dt.date:
        """The date in Europe/Paris, worked out once a minute."""
        minute = now.timestamp() // 60
        if minute != self._minute:
            self._today, self._minute = paris_date(now), minute
        return self._today

    def _what_serves(self) -> Served | None:
        """The snapshot this worker answers from; on the admin server, which opens none, the one the orders name."""
        known, activation = self.knowledge, self.view.activation
        if known is not None:
            amcs = known.amcs.values()
            extracts = served_extracts((amc.number, amc.extracted_at, amc.stand_in.max_age_days) for amc in amcs)
            return Served(known.signed_at, known.valid_until, extracts)
        if activation is None or self.serves_rights:
            return None
        return self.lookout.served(activation.sequence, activation.digest)


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)
