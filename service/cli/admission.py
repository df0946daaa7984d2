"""How a verified snapshot becomes the active one: what it is judged by, and the order that activates it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.cli.common import actor
from service.cli.ordering import open_ledger
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind, check_reason
from service.control.ledger import Intent
from service.control.state import State
from service.errors import InvalidField, OperatorError, RelaisError
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.floor import FLOOR_FILE, counts_of, floor_of_order, load_floor, raise_floor
from service.snapshot.guard import Floor, floor_of, higher_floor
from service.snapshot.pepper import load_peppers
from service.snapshot.truststore import TrustStore
from service.snapshot.verdict import early_verdict, verdict_of
from service.snapshot.verify import Conditions, Examination

#: The reason of an activation for which nobody had to give one.
_NOTHING_ACCEPTED = "a verified snapshot was loaded"


def current_state(place: Home, settings: Settings) -> State:
    """What the orders of a home say now."""
    with open_ledger(place, settings) as ledger:
        return ledger.state


def conditions(
    place: Home, settings: Settings, state: State, accept: str | None = None, at_least: int = 1
) -> Conditions:
    """What a candidate is held against; the floor is the higher of the control store's and this node's.

    Raises `TrustError` where trust file, pepper or floor cannot be relied on.
    """
    now = SystemClock().now()
    known = state.floor
    ordered = None if known is None else floor_of_order(known.sequence, known.digest, known.counts)
    return Conditions(
        trust=TrustStore.of(place, demo=settings.instance.demo).load(now),
        peppers=load_peppers(place.path(settings.keys.pepper)),
        now=now,
        floor=higher_floor(ordered, load_floor(place.node / FLOOR_FILE)),
        accept=accept,
        at_least=at_least,
        quarantine=_quarantine(state),
        bases=Catalog.of(place).path,
    )


def check_accept(reason: str | None) -> None:
    """Raises `OperatorError` for a reason that may not stand in an order, before a snapshot is looked at."""
    if reason is None:
        return
    try:
        check_reason(reason)
    except InvalidField as error:
        raise OperatorError(f"--accept: {error.detail}") from error


@contextmanager
def noted(catalog: Catalog, beside: Path | None, examination: Examination | None = None) -> Iterator[None]:
    """Whatever fails in the body of a load is in its verdict too, so that status and the morning after know of it."""
    try:
        yield
    except RelaisError as error:
        known = early_verdict(SystemClock().now(), error) if examination is None else verdict_of(examination, error)
        # Where the disk is full, the refusal matters more than its record.
        with suppress(OSError):
            catalog.record(known, beside)
        raise


def activation_order(examination: Examination) -> Intent:
    """The order that makes a verified snapshot the active one; it lists the findings that its reason accepts."""
    manifest, accepted = examination.manifest, [str(finding) for finding in examination.findings]
    if manifest is None:
        raise OperatorError("nothing was verified")
    reason = examination.conditions.accept if accepted else None
    return Intent(
        kind=Kind.SNAPSHOT_ACTIVATE,
        scope=EVERYWHERE,
        body={
            "sequence": manifest.sequence,
            "digest": examination.digest,
            "counts": counts_of(floor_of(manifest, examination.digest)),
            "accepted": accepted,
        },
        reason=reason or _NOTHING_ACCEPTED,
        actor=actor(),
    )


def remember_floor(place: Home, floor: Floor | None) -> None:
    """Raise the floor beside the node. The control store has it too: a disk that fails here undoes no order."""
    if floor is None:
        return
    try:
        raise_floor(place.node / FLOOR_FILE, floor)
    except OSError as error:
        text = f"{FLOOR_FILE} cannot be written ({error.strerror}): until it can, only the orders hold the floor"
        print(f"relais: warning: {text}", file=sys.stderr)


def _quarantine(state: State) -> str | None:
    """Why the highest snapshot ever activated may not come back, where a pin went below it."""
    if state.floor is None or not state.is_quarantined(state.floor.sequence):
        return None
    pin = state.view(SystemClock().now()).pin
    if pin is None:
        return "put in quarantine by a pin"
    return f"in quarantine, for snapshot {pin.sequence} is pinned by order {pin.version}"
