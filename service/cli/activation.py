"""`relais snapshot load|activate`: which snapshot serves."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from service.admission import floor_kept, serves
from service.aside import aside
from service.cli.admission import activation_order, check_accept, conditions, current_state, noted, remember_floor
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home
from service.cli.exits import Exit
from service.cli.fetching import local_folder
from service.cli.ordering import Given, await_fleet, give_orders
from service.cli.progress import Meter
from service.cli.pruning import prune_superseded
from service.cli.rehearsal import rehearse
from service.control.state import State
from service.errors import OperatorError
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.depot import is_url
from service.snapshot.guard import floor_of
from service.snapshot.verdict import verdict_of
from service.snapshot.verify import Examination

SequenceArgument = Annotated[int, Parameter(help="A sequence that `relais snapshot list` shows.")]
AcceptOption = Annotated[str | None, Parameter(help="Why the guard's findings are right this time; put on record.")]


def load(
    source: Annotated[str, Parameter(help="The folder of a signed snapshot, or the URL of a depot: its latest.")],
    /,
    *,
    dry_run: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Compare with what serves, say what would be refused."),
    ] = False,
    accept: AcceptOption = None,
    at_least: Annotated[
        int, Parameter(show_default=False, help="Refuse a lower sequence: for a node that knows of none yet.")
    ] = 1,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Copy a snapshot into the home, verify the copy, activate it, and wait until every worker serves it.

    A refusal names the step, what was expected and what was found, here and in DIR.verdict.json; what serves goes on
    serving. Loading the active snapshot again changes nothing. What --accept lets pass waits for a second person to
    approve it: status 4.
    """
    check_accept(accept)
    place, settings = open_home(home)
    if dry_run:
        return rehearse(place, settings, source, accept=accept, at_least=at_least, json=json)
    beside = None if is_url(source) else Path(source)
    return _load(place, settings, source, beside, accept=accept, at_least=at_least, json=json)


def activate_folder(
    place: Home, settings: Settings, source: Path, accept: str | None = None, *, move: bool = False
) -> int:
    """What `load` does, for a snapshot made on this machine, or (`move`) downloaded into the home."""
    return _load(place, settings, source, None if move else source, accept=accept)


def activate(
    sequence: SequenceArgument,
    /,
    *,
    accept: AcceptOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Activate a snapshot the home already holds, after verifying it again."""
    check_accept(accept)
    place, settings = open_home(home)
    catalog = Catalog.of(place)
    catalog.folder(sequence)
    with noted(catalog, None), Meter() as meter:
        state = current_state(place, settings)
        judged_by = conditions(place, settings, state, accept)
        remember_floor(place, judged_by.floor)
        examination = aside(
            lambda progress: catalog.examine(sequence, judged_by, progress=progress), meter.stage("verify")
        )
    catalog.record(verdict_of(examination), None)
    return _activate(place, settings, state, examination, None, json=json)


def _load(
    place: Home,
    settings: Settings,
    source: str | Path,
    beside: Path | None,
    *,
    accept: str | None,
    at_least: int = 1,
    json: bool = False,
) -> int:
    """`beside`: the folder a verdict is written beside; a folder without it was downloaded into the home."""
    catalog = Catalog.of(place)
    with Meter() as meter, ExitStack() as stack:
        with noted(catalog, beside):
            state = current_state(place, settings)
            judged_by = conditions(place, settings, state, accept, at_least)
            remember_floor(place, judged_by.floor)
            if isinstance(source, Path):
                folder, move = source, beside is None
            else:
                local = local_folder(place, settings, source, judged_by, meter.stage("fetch"))
                folder, move = stack.enter_context(local)
        examination = aside(
            lambda progress: catalog.take(folder, judged_by, move=move, progress=progress), meter.stage("load")
        )
    return _activate(place, settings, state, examination, beside, json=json)


def _activate(
    place: Home, settings: Settings, state: State, examination: Examination, beside: Path | None, *, json: bool
) -> int:
    manifest, active = examination.manifest, state.activation
    if manifest is None:
        raise OperatorError("nothing was verified")
    if active is not None and serves(state, manifest.sequence, examination.digest):
        if not json:
            print(_headline(examination, "already active: no change"))
        followed = await_fleet(place, active.version, manifest.sequence)
        return _told(examination, "unchanged", Given(active.version, (), ()), followed, json=json)

    if not json:
        _say(examination)
    with noted(Catalog.of(place), beside, examination):
        order = activation_order(examination)
        given = give_orders(place, settings, lambda _state: [order], floor_kept(state), json=json)
    if given.proposals:
        return _told(examination, "proposed", given, Exit.DONE, json=json)
    remember_floor(place, floor_of(manifest, examination.digest))
    followed = await_fleet(place, given.version, manifest.sequence)
    prune_superseded(place, settings)
    return _told(examination, "activated", given, followed, json=json)


def _headline(examination: Examination, outcome: str) -> str:
    sequence = examination.manifest.sequence if examination.manifest else "?"
    return f"snapshot {sequence} {outcome}: signed by {', '.join(sorted(examination.signers))}"


def _say(examination: Examination) -> None:
    print(_headline(examination, "verified"))
    if examination.first_load:
        print("this installation never activated a snapshot: there was no floor to compare with")
    for finding in examination.findings:
        print(f"accepted: {finding}")
    if examination.conditions.accept and not examination.findings:
        print("nothing to accept: the guard found nothing, and the reason is not recorded")


def _told(examination: Examination, outcome: str, given: Given, followed: Exit, *, json: bool) -> Exit:
    manifest = examination.manifest
    return given.told(
        followed,
        json=json,
        sequence=manifest.sequence if manifest else None,
        digest=examination.digest,
        outcome=outcome,
        signers=sorted(examination.signers),
        first_load=examination.first_load,
        accepted=[str(finding) for finding in examination.findings],
    )
