"""`relais snapshot pin|unpin|list`: what a home holds, and going back to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
from cyclopts import Parameter

from service.cli.activation import SequenceArgument, conditions, current_state
from service.cli.aside import aside
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, actor, open_home, print_json
from service.cli.ordering import give_order, give_orders, parse_until
from service.cli.progress import Meter
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind
from service.control.ledger import Intent
from service.control.state import State
from service.errors import OperatorError
from service.snapshot.catalog import Catalog, Held
from service.snapshot.verify import Ordered


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
    catalog = Catalog.of(place)
    catalog.folder(sequence)
    holdings = catalog.list(judged_by, None)
    digest = next(held.digest for held in holdings if held.sequence == sequence)
    if not digest:
        raise OperatorError(f"snapshot {sequence} is damaged: it cannot be pinned")
    judged_by = replace(judged_by, ordered=Ordered(sequence, digest, may_be_expired=False))
    with Meter() as meter:
        aside(lambda progress: catalog.examine(sequence, judged_by, progress=progress), meter.stage("verify"))
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
    holdings = Catalog.of(place).list(judged_by, active, quarantined(state))
    if json:
        print_json({"snapshots": [_members(held) for held in holdings]})
        return
    for held in holdings:
        print(_line(held))
    if not holdings:
        print("no snapshot is held here yet: relais snapshot load")


def quarantined(state: State) -> range:
    """The sequences a pin left behind: activated before, above the one that serves now, and never activated again."""
    if state.activation is None or state.floor is None:
        return range(0)
    return range(state.activation.sequence + 1, state.floor.sequence + 1)


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
