"""`relais status`: what is served, by whom, and who does not follow."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated, Any

from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.ordering import open_ledger
from service.clock import SystemClock
from service.control.fleet import FleetStore, Heartbeat
from service.control.follow import describe_worker, laggards
from service.control.format import instant_text
from service.control.ledger import LedgerStatus
from service.control.state import View

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
    """Show the active snapshot, the last order, and the workers; status 3 if one does not follow or nobody can tell."""
    where, settings = open_home(home)
    now = SystemClock().now()
    with open_ledger(where, settings, stale=True) as ledger:
        view, ledger_status = ledger.state.view(now), ledger.status
    with closing(FleetStore(where.fleet)) as store:
        beats = store.live(now)
    sequence = view.activation.sequence if view.activation else None
    behind = laggards(beats, view.version, sequence)
    if json:
        print_json(_document(view, ledger_status, beats, behind))
    else:
        _print(view, beats if fleet else behind, behind, len(beats))
    if ledger_status.error:
        print(f"relais: shown from this node's copy: {ledger_status.error}", file=sys.stderr)
    return Exit.UNAVAILABLE if behind or ledger_status.error else Exit.DONE


def _document(view: View, status: LedgerStatus, beats: list[Heartbeat], behind: list[Heartbeat]) -> dict[str, Any]:
    return {
        "sequence": view.activation.sequence if view.activation else None,
        "pinned": view.pin is not None,
        "order_version": view.version,
        "mode": view.mode_for(None).mode,
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
        "at": instant_text(beat.at),
        "follows": follows,
    }


def _print(view: View, shown: list[Heartbeat], behind: list[Heartbeat], live: int) -> None:
    sequence = "none" if view.activation is None else str(view.activation.sequence)
    print(
        f"snapshot {sequence}{' (pinned)' if view.pin else ''}, order {view.version}, mode {view.mode_for(None).mode}"
    )
    print(f"{live} live workers, {live - len(behind)} follow")
    for beat in shown:
        print(f"  {'does not follow: ' if beat in behind else ''}{describe_worker(beat)}")
