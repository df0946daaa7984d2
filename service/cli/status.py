"""`relais status`: what is served, by whom, who does not follow, and how the supply of snapshots stands."""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

from cyclopts import App, Parameter

from service.access.exposure import most_exposed
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.exposure import describe
from service.cli.ordering import open_ledger
from service.clock import SystemClock
from service.control.fleet import FleetStore, Heartbeat
from service.control.follow import describe_worker, laggards
from service.control.format import instant_text
from service.control.ledger import LedgerStatus
from service.control.state import View
from service.exposing import Meter
from service.exposing import members as members_of
from service.settings import Home, Settings
from service.snapshot.lookout import Lookout, limits_of
from service.snapshot.supply import Facts, Supply, members, supply_of

app = App(name="status")


@app.default
def status(
    *,
    fleet: Annotated[
        bool, Parameter(negative="", show_default=False, help="Name every worker, not only those that do not follow.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Show what serves, how its supply stands, and the workers; status 3 if one does not follow or nobody can tell.

    Warnings do not change the exit status: what serves serves. `--json` has them with their codes.
    """
    where, settings = open_home(home)
    now = SystemClock().now()
    with open_ledger(where, settings, stale=True) as ledger:
        view, ledger_status = ledger.state.view(now), ledger.status
    with closing(FleetStore(where.fleet)) as store:
        beats = store.live(now)
    with closing(Meter(where, settings)) as meter:
        exposed = most_exposed(meter.all(view, now))
    sequence = view.activation.sequence if view.activation else None
    behind = laggards(beats, view.version, sequence)
    supply = _supply(where, settings, view, now)
    if json:
        most = None if exposed is None else members_of(exposed)
        print_json({**_document(view, supply, ledger_status, beats, behind), "most_exposed": most})
    else:
        print(_headline(view))
        print(f"{len(beats)} live workers, {len(beats) - len(behind)} follow")
        phases = Counter(beat.upstream for beat in beats if beat.upstream is not None)
        if phases:
            print("upstream " + ", ".join(f"{phase} in {number}" for phase, number in sorted(phases.items())))
        for beat in beats if fleet else behind:
            print(f"  {'does not follow: ' if beat in behind else ''}{describe_worker(beat)}")
        if exposed is not None:
            print(describe(exposed))
        print("\n".join(_supply_lines(supply)))
    if ledger_status.error:
        print(f"relais: shown from this node's copy: {ledger_status.error}", file=sys.stderr)
    return Exit.UNAVAILABLE if behind or ledger_status.error else Exit.DONE


def _supply(where: Home, settings: Settings, view: View, now: dt.datetime) -> Supply:
    lookout, active = Lookout(where, settings), view.activation
    facts = Facts(
        activated_at=None if active is None else active.at,
        served=None if active is None else lookout.served(active.sequence, active.digest),
        looks=lookout.looks(),
        trust=lookout.trust(),
    )
    return supply_of(facts, limits_of(settings), now)


def _document(
    view: View, supply: Supply, status: LedgerStatus, beats: list[Heartbeat], behind: list[Heartbeat]
) -> dict[str, Any]:
    return {
        "sequence": view.activation.sequence if view.activation else None,
        "pinned": view.pin is not None,
        "order_version": view.version,
        "mode": view.mode_for(None).mode,
        "supply": members(supply),
        "source": status.source,
        "error": status.error,
        "workers": [_worker(beat, follows=beat not in behind) for beat in beats],
    }


def _worker(beat: Heartbeat, *, follows: bool) -> dict[str, Any]:
    return {
        "node": beat.node,
        "server": beat.server,
        "worker": beat.worker,
        "pid": beat.pid,
        "sequence": beat.sequence,
        "order_version": beat.order_version,
        "upstream": beat.upstream,
        "at": instant_text(beat.at),
        "follows": follows,
    }


def _headline(view: View) -> str:
    sequence = "none" if view.activation is None else str(view.activation.sequence)
    pinned = " (pinned)" if view.pin else ""
    return f"snapshot {sequence}{pinned}, order {view.version}, mode {view.mode_for(None).mode}"


def _supply_lines(supply: Supply) -> Iterator[str]:
    stages = {"checked": supply.checked, "changed": supply.changed, "activated": supply.activated}
    yield ", ".join(f"{stage} {_time(instant)}" for stage, instant in stages.items())
    if supply.expires is not None and supply.time_left_seconds is not None:
        days, seconds = divmod(supply.time_left_seconds, 86_400)
        yield f"expires {_time(supply.expires)}, {days} d {seconds // 3600} h left"
    trouble = supply.last_error
    if trouble is not None:
        yield f"last error {_time(trouble.at)}, {trouble.step}: {trouble.text}"
    for warning in supply.warnings:
        yield f"warning {warning.code.value}: {warning.detail}"


def _time(instant: dt.datetime | None) -> str:
    return "never" if instant is None else f"{instant.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
