"""`relais snapshot load|activate|pin|unpin|list`: which snapshot serves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, actor, open_home, print_json
from service.cli.exits import Exit
from service.cli.ordering import await_fleet, give_order, give_orders, open_ledger, parse_until
from service.cli.progress import Meter
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind
from service.control.ledger import Intent
from service.control.state import State
from service.errors import OperatorError
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog, Held
from service.snapshot.floor import FLOOR_FILE, counts_of, floor_of_order, load_floor, raise_floor
from service.snapshot.guard import floor_of, higher_floor
from service.snapshot.pepper import load_peppers
from service.snapshot.truststore import TrustStore
from service.snapshot.verify import Conditions, Examination, Ordered

SequenceArgument = Annotated[int, Parameter(help="A sequence that `relais snapshot list` shows.")]
AcceptOption = Annotated[str | None, Parameter(help="Why the guard's findings are right this time; put on record.")]


def load(
    source: Annotated[Path, Parameter(help="The folder of a signed snapshot.")],
    /,
    *,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only verify a copy and say what would happen.")
    ] = False,
    accept: AcceptOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Copy a snapshot into the home, verify the copy, activate it, and wait until every worker serves it.

    A refusal names the step, what was expected and what was found, here and in DIR.verdict.json; what serves goes on
    serving. Loading the active snapshot again changes nothing.
    """
    place, settings = open_home(home)
    state = current_state(place, settings)
    with Meter() as meter:
        examination = Catalog(place.snapshots).take(
            source, conditions(place, settings, state, accept), keep=not dry_run, progress=meter.stage("load")
        )
    if dry_run:
        return _say(examination, "would be activated", json=json)
    return _activate(place, settings, state, examination, json=json)


def activate_folder(place: Home, settings: Settings, source: Path, accept: str | None = None) -> int:
    """What `load` does, for a snapshot made on this machine."""
    state = current_state(place, settings)
    examination = Catalog(place.snapshots).take(source, conditions(place, settings, state, accept))
    return _activate(place, settings, state, examination, json=False)


def activate(
    sequence: SequenceArgument,
    /,
    *,
    accept: AcceptOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Activate a snapshot the home already holds, after verifying it again."""
    place, settings = open_home(home)
    state = current_state(place, settings)
    examination = Examination(conditions(place, settings, state, accept))
    with Meter() as meter:
        examination.run(_held(place, sequence), meter.stage("verify"))
    return _activate(place, settings, state, examination, json=json)


def pin(
    sequence: SequenceArgument,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; kept for ever, so no personal data.")],
    until: Annotated[str, Parameter(help="When it ends: RFC 3339, or 30m, 2h, 7d.")],
    home: HomeOption = DEFAULT_HOME,
) -> int:
    """Roll back: serve an earlier snapshot until a time. Every later one is put in quarantine."""
    place, settings = open_home(home)
    now = SystemClock().now()
    judged_by = conditions(place, settings, current_state(place, settings), None)
    catalog = Catalog(place.snapshots)
    _held(place, sequence)
    holdings = catalog.list(judged_by, None)
    digest = next(held.digest for held in holdings if held.sequence == sequence)
    if not digest:
        raise OperatorError(f"snapshot {sequence} is damaged: it cannot be pinned")
    with Meter() as meter:
        catalog.verify_held(Ordered(sequence, digest, may_be_expired=False), judged_by, meter.stage("verify"))
    intent = Intent(
        kind=Kind.SNAPSHOT_PIN,
        scope=EVERYWHERE,
        body={"sequence": sequence, "digest": digest},
        reason=reason,
        actor=actor(),
        until=parse_until(until, now),
    )
    return give_order(place, settings, intent, sequence)


def unpin(*, reason: Annotated[str, Parameter(help="Why.")], home: HomeOption = DEFAULT_HOME) -> int:
    """End a pin. The snapshot it held serves on until a higher sequence is loaded."""
    place, settings = open_home(home)
    now = SystemClock().now()
    intent = Intent(kind=Kind.SNAPSHOT_UNPIN, scope=EVERYWHERE, body={}, reason=reason, actor=actor())

    def plan(state: State) -> list[Intent]:
        if state.view(now).pin is not None:
            return [intent]
        print("no snapshot is pinned: no change")
        return []

    return give_orders(place, settings, plan)


def list_(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """Show the snapshots the home holds and where each stands in its life."""
    place, settings = open_home(home)
    state = current_state(place, settings)
    active = state.activation.sequence if state.activation else None
    judged_by = conditions(place, settings, state, None)
    holdings = Catalog(place.snapshots).list(judged_by, active, quarantined(state))
    if json:
        print_json({"snapshots": [_members(held) for held in holdings]})
        return
    for held in holdings:
        print(_line(held))
    if not holdings:
        print("no snapshot is held here yet: relais snapshot load")


def _activate(place: Home, settings: Settings, state: State, examination: Examination, *, json: bool) -> int:
    manifest = examination.manifest
    if manifest is None:
        raise OperatorError("nothing was verified")
    active = state.activation
    if active is not None and (active.sequence, active.digest) == (manifest.sequence, examination.digest):
        _say(examination, "already active: no change", json=json)
        return await_fleet(place, active.version, manifest.sequence)
    floor = floor_of(manifest, examination.digest)
    accepted = [str(finding) for finding in examination.findings]
    reason = examination.conditions.accept or "a verified snapshot was loaded"
    intent = Intent(
        kind=Kind.SNAPSHOT_ACTIVATE,
        scope=EVERYWHERE,
        body={
            "sequence": manifest.sequence,
            "digest": examination.digest,
            "counts": counts_of(floor),
            "accepted": accepted,
        },
        reason=reason,
        actor=actor(),
    )

    def unchanged(now: State) -> None:
        if now.floor != state.floor:
            raise OperatorError("another snapshot was activated while this one was judged by the former: load it again")

    _say(examination, "verified", json=json)
    status = give_order(place, settings, intent, manifest.sequence, unchanged, json=json)
    raise_floor(place.node / FLOOR_FILE, floor)
    Catalog(place.snapshots).prune(manifest.sequence, settings.snapshot.keep)
    return status


def _say(examination: Examination, outcome: str, *, json: bool) -> int:
    manifest = examination.manifest
    if manifest is None:
        return Exit.DONE
    findings = [str(finding) for finding in examination.findings]
    if json:
        print_json(
            {
                "sequence": manifest.sequence,
                "digest": examination.digest,
                "outcome": outcome,
                "signers": sorted(examination.signers),
                "first_load": examination.first_load,
                "accepted": findings,
            }
        )
        return Exit.DONE
    print(f"snapshot {manifest.sequence} {outcome}: signed by {', '.join(sorted(examination.signers))}")
    if examination.first_load:
        print("this installation never activated a snapshot: there was no floor to compare with")
    for finding in findings:
        print(f"accepted: {finding}")
    return Exit.DONE


def current_state(place: Home, settings: Settings) -> State:
    """What the orders of a home say now."""
    with open_ledger(place, settings) as ledger:
        return ledger.state


def conditions(place: Home, settings: Settings, state: State, accept: str | None) -> Conditions:
    """What a candidate is held against; the floor is the higher of the control store's and this node's."""
    now = SystemClock().now()
    known = state.floor
    ordered = None if known is None else floor_of_order(known.sequence, known.digest, known.counts)
    return Conditions(
        trust=TrustStore.of(place, demo=settings.instance.demo).load(now),
        peppers=load_peppers(place.path(settings.keys.pepper)),
        now=now,
        floor=higher_floor(ordered, load_floor(place.node / FLOOR_FILE)),
        accept=accept,
    )


def quarantined(state: State) -> range:
    """The sequences a pin left behind: activated before, above the one that serves now, and never activated again."""
    if state.activation is None or state.floor is None:
        return range(0)
    return range(state.activation.sequence + 1, state.floor.sequence + 1)


def _held(place: Home, sequence: int) -> Path:
    directory = Catalog(place.snapshots).path(sequence)
    if not os.path.lexists(directory):
        raise OperatorError(f"snapshot {sequence} is not held here: relais snapshot list shows those that are")
    return directory


def _members(held: Held) -> dict[str, object]:
    manifest = held.manifest
    return {
        "sequence": held.sequence,
        "state": held.state.value,
        "digest": held.digest or None,
        "signers": list(held.signers),
        "expired": held.expired,
        "problem": held.problem or None,
        "manifest": None if manifest is None else msgspec.to_builtins(manifest),
    }


def _line(held: Held) -> str:
    if held.manifest is None:
        return f"{held.sequence:>6}  {held.state.value:<11}  {held.problem}"
    expired = ", expired" if held.expired else ""
    return (
        f"{held.sequence:>6}  {held.state.value:<11}  {held.manifest.counts.people} people, "
        f"valid until {held.manifest.valid_until:%Y-%m-%d %H:%M} UTC{expired}, signed by {', '.join(held.signers)}"
    )
