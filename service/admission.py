"""How a verified snapshot comes to serve: what it is judged by, and the orders that activate or pin it.

Shared by the command line and the admin server, so that neither can let in what the other would refuse.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from service.aside import aside
from service.clock import Clock
from service.control.format import EVERYWHERE, Activate, Kind, Order, order_body
from service.control.intent import Intent
from service.control.proposals import Proposal
from service.control.state import State
from service.errors import OperatorError, RelaisError
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog, Held
from service.snapshot.floor import FLOOR_FILE, counts_of, floor_of_order, load_floor
from service.snapshot.folder import Progress
from service.snapshot.guard import Floor, floor_of, higher_floor
from service.snapshot.life import Standing
from service.snapshot.pepper import load_peppers
from service.snapshot.truststore import TrustStore
from service.snapshot.verdict import early_verdict, verdict_of
from service.snapshot.verify import Conditions, Examination, Ordered

#: The reason of an activation for which nobody had to give one.
NOTHING_ACCEPTED: Final = "a verified snapshot was loaded"


def conditions(
    place: Home, settings: Settings, state: State, now: dt.datetime, accept: str | None = None, at_least: int = 1
) -> Conditions:
    """What a candidate is held against; the floor is the higher of the control store's and this node's.

    Raises `TrustError` where trust file, pepper or floor cannot be relied on.
    """
    known = state.floor
    ordered = None if known is None else floor_of_order(known.sequence, known.digest, known.counts)
    return Conditions(
        trust=TrustStore.of(place, demo=settings.instance.demo).load(now),
        peppers=load_peppers(place.path(settings.keys.pepper)),
        now=now,
        floor=higher_floor(ordered, load_floor(place.node / FLOOR_FILE)),
        accept=accept,
        at_least=at_least,
        quarantine=_quarantine(state, now),
        bases=Catalog.of(place).path,
    )


def standing_of(state: State) -> Standing:
    """What orders say of held snapshots."""
    return Standing(None if state.activation is None else state.activation.sequence, state.quarantine)


def serves(state: State, sequence: int, digest: str) -> bool:
    """Whether exactly this snapshot is the active one."""
    active = state.activation
    return active is not None and (active.sequence, active.digest) == (sequence, digest)


def activation_intent(examination: Examination, actor: str, reason: str | None = None) -> Intent:
    """What makes a verified snapshot the active one; it lists the findings that its reason accepts.

    Without `reason`, that of the acceptance is given, or where nothing was accepted, that it was loaded.
    """
    manifest, accepted = examination.manifest, [str(finding) for finding in examination.findings]
    if manifest is None:
        raise OperatorError("nothing was verified")
    return Intent(
        kind=Kind.SNAPSHOT_ACTIVATE,
        scope=EVERYWHERE,
        body={
            "sequence": manifest.sequence,
            "digest": examination.digest,
            "counts": counts_of(floor_of(manifest, examination.digest)),
            "accepted": accepted,
        },
        reason=reason or (examination.conditions.accept if accepted else None) or NOTHING_ACCEPTED,
        actor=actor,
    )


def floor_kept(state: State) -> Callable[[State], None]:
    """What refuses to activate a snapshot, once verified, on another floor than it was held against."""

    def unchanged(now: State) -> None:
        if now.floor != state.floor:
            raise OperatorError("another snapshot was activated while this one was judged by the former: load it again")

    return unchanged


def pin_intent(held: Held, actor: str, reason: str, until: dt.datetime | None) -> Intent:
    """What makes a held snapshot serve again until a time. Raises `OperatorError` for a damaged one."""
    if held.manifest is None:
        raise OperatorError(f"snapshot {held.sequence} is damaged and cannot be pinned: {held.problem}")
    return Intent(
        kind=Kind.SNAPSHOT_PIN,
        scope=EVERYWHERE,
        body={"sequence": held.sequence, "digest": held.digest},
        reason=reason,
        actor=actor,
        until=until,
    )


@contextmanager
def noted(
    catalog: Catalog, beside: Path | None, clock: Clock, examination: Examination | None = None
) -> Iterator[None]:
    """Whatever fails in the body of a load is in its verdict too, so that status and the morning after know of it."""
    try:
        yield
    except RelaisError as error:
        known = early_verdict(clock.now(), error) if examination is None else verdict_of(examination, error)
        # Where the disk is full, the refusal matters more than its record.
        with suppress(OSError):
            catalog.record(known, beside)
        raise


@contextmanager
def pinnable(
    catalog: Catalog,
    sequence: int,
    state: State,
    judged_by: Conditions,
    intent_of: Callable[[Held], Intent],
    check: Callable[[Intent], None],
    progress: Progress,
) -> Iterator[Intent]:
    """The order that pins a held snapshot, once every step holds; nothing is pruned while the body gives it.

    `check` raises for an order that may not be given, before minutes of reading data. Raises what it raises,
    `TrustError`, and `OperatorError` for a snapshot that is not held or is damaged.
    """
    with catalog.staying():
        catalog.folder(sequence)
        intent = intent_of(catalog.look(sequence, judged_by, standing_of(state)))
        check(intent)
        exactly = replace(judged_by, ordered=Ordered(sequence, intent.body["digest"], may_be_expired=False))
        aside(lambda step: catalog.examine(sequence, exactly, progress=step), progress)
        yield intent


@contextmanager
def still_held(place: Home, settings: Settings, state: State, proposal: Proposal, now: dt.datetime) -> Iterator[None]:
    """A snapshot that is to serve stays here, as it was proposed, while the body gives the order.

    Between a proposal and its approval it may have been pruned, or have expired: then no worker could serve it. Its
    data was verified when it was proposed, and workers verify it before they serve it. Raises `OperatorError`,
    `TrustError`.
    """
    if proposal.kind not in (Kind.SNAPSHOT_ACTIVATE, Kind.SNAPSHOT_PIN) or proposal.state != "waiting":
        yield
        return
    sequence, catalog = int(proposal.body["sequence"]), Catalog.of(place)
    with catalog.staying():
        catalog.folder(sequence)
        held = catalog.look(sequence, conditions(place, settings, state, now), standing_of(state))
        if held.digest != proposal.body["digest"]:
            raise OperatorError(f"snapshot {sequence} is not held here as it was proposed: {held.problem or 'another'}")
        if held.expired:
            raise OperatorError(f"snapshot {sequence} has expired since it was proposed")
        yield


def floor_left(order: Order) -> Floor | None:
    """The floor that an order leaves; None for one that activates nothing."""
    if order.kind != Kind.SNAPSHOT_ACTIVATE:
        return None
    body = order_body(order, Activate)
    return floor_of_order(body.sequence, body.digest, body.counts)


def _quarantine(state: State, now: dt.datetime) -> str | None:
    """Why the highest snapshot ever activated may not come back, where a pin went below it."""
    if state.floor is None or not state.is_quarantined(state.floor.sequence):
        return None
    pin = state.view(now).pin
    if pin is None:
        return "put in quarantine by a pin"
    return f"in quarantine, for snapshot {pin.sequence} is pinned by order {pin.version}"
