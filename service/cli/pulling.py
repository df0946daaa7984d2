"""The look a sync takes at a depot, and what it makes of what it finds there."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from service.aside import aside
from service.cli import activation, admission
from service.cli.exits import Exit
from service.cli.fetching import begin_fetch
from service.cli.progress import Meter
from service.clock import SystemClock
from service.control.state import State
from service.errors import DepotError, DepotMissing, SnapshotRefused, StoreUnavailable
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.depot import Depot
from service.snapshot.fetch import Fetch, fetched, holds
from service.snapshot.guard import Floor, check_floor
from service.snapshot.pointer import Pointer
from service.snapshot.records import RECORDS_FILE
from service.snapshot.steps import Step
from service.snapshot.verify import Conditions

#: What was refused after it was fetched is not fetched again for so long, unless something about it changed.
REFUSED_SECONDS: Final = 3600.0
_AFTER_FETCH: Final = frozenset({Step.FILES, Step.PEPPER, Step.GUARD})


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found: in words, and whether it brought a snapshot."""

    said: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class _Refused:
    """A refusal that fetching again would only repeat, and what it depended on."""

    pointer: Pointer
    tags: tuple[str, ...]
    floor: Floor | None
    at: float
    refusal: SnapshotRefused


class Puller:
    """Looks at one depot for one home. `automatic`: what verifies is activated; otherwise it is held."""

    def __init__(self, place: Home, settings: Settings, depot: Depot, *, automatic: bool) -> None:
        self.place = place
        self.source = depot.source
        self._settings = settings
        self._depot = depot
        self._automatic = automatic
        self._clock = SystemClock()
        self._refused: _Refused | None = None

    def look(self) -> Look:
        """One look, and whatever follows from it. Raises `RelaisError`; what serves is untouched by that."""
        state = admission.current_state(self.place, self._settings)
        fetch = begin_fetch(self.place, self._settings, self._depot)
        pointer = fetch.pointer()
        if state.floor is not None and (state.floor.sequence, state.floor.digest) == (pointer.sequence, pointer.digest):
            return Look(f"snapshot {pointer.sequence} is the latest")
        judged_by = admission.conditions(self.place, self._settings, state, None)
        # Where it points back there is nothing to ask for, whatever is held.
        check_floor(pointer.sequence, pointer.digest, judged_by.floor, quarantine=judged_by.quarantine)
        waits_for = self._waits_for(state)
        if holds(fetch.catalog, pointer.sequence, pointer.digest):
            try:
                return self._held(pointer, waits_for)
            except SnapshotRefused as refusal:
                # Damaged since it was held: a good copy takes its place.
                if refusal.step != Step.FILES:
                    raise
        self._check_refused(fetch, pointer, judged_by.floor)
        try:
            return self._fetch(fetch, pointer, judged_by, waits_for)
        except SnapshotRefused as refusal:
            self._remember(fetch, pointer, judged_by.floor, refusal)
            raise

    def _waits_for(self, state: State) -> str:
        """Why a verified snapshot is not activated by itself; empty where it is."""
        if not self._automatic:
            return "for somebody to activate it"
        pin = state.view(self._clock.now()).pin
        return "" if pin is None else f"because {pin.sequence} is pinned"

    def _fetch(self, fetch: Fetch, pointer: Pointer, judged_by: Conditions, waits_for: str) -> Look:
        with ExitStack() as stack:
            with Meter() as meter:
                folder = stack.enter_context(fetched(fetch, pointer, judged_by, meter.stage("fetch")))
            if not waits_for:
                _check_followed(activation.activate_folder(self.place, self._settings, folder, move=True))
                return Look(f"snapshot {pointer.sequence} activated", changed=True)
            catalog = Catalog.of(self.place)
            with Meter() as meter:
                step = meter.stage("verify")
                aside(lambda progress: catalog.take(folder, judged_by, move=True, progress=progress), step)
        return Look(_waiting(pointer, waits_for), changed=True)

    def _held(self, pointer: Pointer, waits_for: str) -> Look:
        if waits_for:
            return Look(_waiting(pointer, waits_for))
        _check_followed(activation.activate(pointer.sequence, home=self.place.root))
        return Look(f"snapshot {pointer.sequence} activated", changed=True)

    def _check_refused(self, fetch: Fetch, pointer: Pointer, floor: Floor | None) -> None:
        known = self._refused
        if known is None or self._clock.monotonic() - known.at > REFUSED_SECONDS:
            return
        if (pointer, floor) == (known.pointer, known.floor) and _tags(fetch, pointer) == known.tags:
            raise known.refusal

    def _remember(self, fetch: Fetch, pointer: Pointer, floor: Floor | None, refusal: SnapshotRefused) -> None:
        self._refused = None
        if refusal.step in _AFTER_FETCH:
            with suppress(DepotError):
                tags = _tags(fetch, pointer)
                self._refused = _Refused(pointer, tags, floor, self._clock.monotonic(), refusal)


def _waiting(pointer: Pointer, waits_for: str) -> str:
    return f"snapshot {pointer.sequence} is verified and waits {waits_for}: relais snapshot activate {pointer.sequence}"


def _check_followed(status: int) -> None:
    if status != Exit.DONE:
        raise StoreUnavailable("the order to activate is given, but not every worker follows: relais status --fleet")


def _tags(fetch: Fetch, pointer: Pointer) -> tuple[str, ...]:
    """What lies there now: the data of the snapshot (an empty delta has none) and of its base."""
    tags = []
    for one in (pointer, pointer.base):
        try:
            tags.append("" if one is None else fetch.depot.tag(f"{one.path}/{RECORDS_FILE}"))
        except DepotMissing:
            tags.append("")
    return tuple(tags)
