"""`relais snapshot load|activate`: which snapshot serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from service.cli.aside import aside
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, actor, open_home, print_json
from service.cli.exits import Exit
from service.cli.ordering import await_fleet, give_order, open_ledger
from service.cli.progress import Meter
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind
from service.control.ledger import Intent
from service.control.state import State
from service.errors import OperatorError
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.floor import FLOOR_FILE, counts_of, floor_of_order, load_floor, raise_floor
from service.snapshot.guard import floor_of, higher_floor
from service.snapshot.pepper import load_peppers
from service.snapshot.trustfile import load_trust
from service.snapshot.verify import Conditions, Examination

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
    catalog, judged_by = Catalog.of(place), conditions(place, settings, state, accept)
    with Meter() as meter:
        examination = aside(
            lambda progress: catalog.take(source, judged_by, keep=not dry_run, progress=progress), meter.stage("load")
        )
    if dry_run:
        return _say(examination, "would be activated", json=json)
    return _activate(place, settings, state, examination, json=json)


def activate_folder(place: Home, settings: Settings, source: Path, accept: str | None = None) -> int:
    """What `load` does, for a snapshot made on this machine."""
    state = current_state(place, settings)
    examination = Catalog.of(place).take(source, conditions(place, settings, state, accept))
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
    catalog, judged_by = Catalog.of(place), conditions(place, settings, state, accept)
    with Meter() as meter:
        examination = aside(
            lambda progress: catalog.examine(sequence, judged_by, progress=progress), meter.stage("verify")
        )
    return _activate(place, settings, state, examination, json=json)


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
    Catalog.of(place).prune(manifest.sequence, settings.snapshot.keep)
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
        trust=load_trust(place.trust, now, demo=settings.instance.demo),
        peppers=load_peppers(place.path(settings.keys.pepper)),
        now=now,
        floor=higher_floor(ordered, load_floor(place.node / FLOOR_FILE)),
        accept=accept,
        bases=Catalog.of(place).path,
    )
