"""`relais snapshot pin|unpin|list|prune|hold`: what a home holds, and going back to it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from service.admission import pin_intent, pinnable, standing_of
from service.aside import aside
from service.cli.activation import SequenceArgument
from service.cli.admission import conditions, current_state
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, ReasonOption, actor, open_home, print_json
from service.cli.ordering import await_fleet, give_orders, open_ledger, parse_until, say
from service.cli.progress import Meter
from service.cli.pruning import current_standing
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind
from service.control.intent import Intent
from service.control.state import State
from service.errors import OperatorError
from service.snapshot.catalog import Catalog, Held


def pin(
    sequence: SequenceArgument,
    /,
    *,
    reason: ReasonOption,
    until: Annotated[str, Parameter(help="When it ends: RFC 3339, or 30m, 2h, 7d.")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Roll back: serve an earlier snapshot until a time. Every later one is put in quarantine, for good.

    It waits for a second person to approve it: status 4.
    """
    place, settings = open_home(home)
    now, catalog = SystemClock().now(), Catalog.of(place)
    ends = parse_until(until, now)
    catalog.folder(sequence)
    state = current_state(place, settings)
    judged_by = conditions(place, settings, state)

    def intent_of(held: Held) -> Intent:
        return pin_intent(held, actor(), reason, ends)

    def check(intent: Intent) -> None:
        with open_ledger(place, settings) as ledger:
            ledger.check(intent, now)

    with ExitStack() as stack:
        with Meter() as meter:
            judged = pinnable(catalog, sequence, state, judged_by, intent_of, check, meter.stage("verify"))
            intent = stack.enter_context(judged)
        given = give_orders(place, settings, lambda _: [intent], json=json)
    followed = await_fleet(place, given.version, sequence if given.orders else None)
    return given.told(followed, json=json, sequence=sequence, digest=intent.body["digest"])


def unpin(
    *,
    reason: Annotated[str, Parameter(help="Why.")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """End a pin. The snapshot it held serves on until a higher sequence is loaded."""
    place, settings = open_home(home)
    now = SystemClock().now()
    intent = Intent(kind=Kind.SNAPSHOT_UNPIN, scope=EVERYWHERE, body={}, reason=reason, actor=actor())

    def plan(state: State) -> list[Intent]:
        if state.view(now).pin is not None:
            return [intent]
        say("no snapshot is pinned: no change", json=json)
        return []

    given = give_orders(place, settings, plan, json=json)
    return given.told(await_fleet(place, given.version), json=json)


def list_(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """Show the snapshots the home holds and where each stands in its life."""
    place, settings = open_home(home)
    state = current_state(place, settings)
    holdings = Catalog.of(place).list(conditions(place, settings, state), standing_of(state))
    if json:
        print_json({"snapshots": [_members(held) for held in holdings]})
        return
    for held in holdings:
        print(_line(held))
    if not holdings:
        print("no snapshot is held here yet: relais snapshot load")


def prune(
    *,
    keep: Annotated[
        int | None,
        Parameter(show_default=False, help="How many superseded ones stay; without it, the setting snapshot.keep."),
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only say what would be removed.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Remove superseded snapshots beyond the last few. What serves, and the bases that what stays lies over, stay."""
    place, settings = open_home(home)
    if keep is not None and keep < 0:
        raise OperatorError("--keep takes a number of snapshots, 0 or more")
    kept = settings.snapshot.keep if keep is None else keep
    gone = Catalog.of(place).prune(lambda: current_standing(place, settings), kept, dry_run=dry_run)
    if json:
        print_json({"removed": list(gone), "dry_run": dry_run})
        return
    for sequence in gone:
        print(f"snapshot {sequence} {'would be removed' if dry_run else 'removed'}")
    if not gone:
        print("nothing to remove")


def hold(
    source: Annotated[Path, Parameter(help="The folder of a signed base.")],
    /,
    *,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Copy a base that a delta names into the home and verify it; nothing is activated.

    It may have expired, and be older than what serves: the delta's signers named it, and the delta renews its dates.
    Load the delta next: a base that nothing held lies over goes with the next load of another.
    """
    place, settings = open_home(home)
    catalog, judged_by = Catalog.of(place), conditions(place, settings, current_state(place, settings))
    with Meter() as meter:
        examination = aside(lambda progress: catalog.hold(source, judged_by, progress=progress), meter.stage("verify"))
    sequence = examination.manifest.sequence if examination.manifest else None
    if json:
        print_json({"sequence": sequence, "digest": examination.digest, "signers": sorted(examination.signers)})
        return
    print(f"base {sequence} is held: signed by {', '.join(sorted(examination.signers))}; nothing was activated")


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
