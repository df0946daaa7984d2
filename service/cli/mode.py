"""`relais mode`: how queries are answered, everywhere and for one AMC."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, actor, open_home, print_json
from service.cli.ordering import append_orders, await_fleet, open_ledger, order_members, parse_until
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind, ModeName, instant_text, parse_scope
from service.control.ledger import Intent
from service.control.modes import check_mode, differing_scopes
from service.control.state import ModeState, State, View

app = App(name="mode")


@app.command(name="show")
def show(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """Show the mode of every scope, and the order that set it."""
    where, settings = open_home(home)
    with open_ledger(where, settings, stale=True) as ledger:
        view, status = ledger.state.view(SystemClock().now()), ledger.status
    modes = {EVERYWHERE: view.mode_for(None), **view.modes}
    if status.error:
        print(f"relais: shown from this node's copy: {status.error}", file=sys.stderr)
    if json:
        scopes = [{"scope": scope, **_members(mode)} for scope, mode in sorted(modes.items())]
        print_json({"order_version": view.version, "source": status.source, "modes": scopes})
        return
    for scope, mode in sorted(modes.items()):
        print(f"{scope:<10}  {mode.mode:<9}  {_origin(mode)}")


@app.command(name="set")
def set_mode(
    mode: Annotated[ModeName, Parameter(help="live needs an upstream, which cannot be configured yet.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; kept for ever, so no personal data.")],
    scope: Annotated[str, Parameter(help="An AMC number, or * for all.")] = EVERYWHERE,
    until: Annotated[str | None, Parameter(help="When it ends: RFC 3339, or 30m, 2h, 7d.")] = None,
    clear: Annotated[
        bool,
        Parameter(name="--all", negative="", show_default=False, help="With scope *: also clear the AMCs that differ."),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Set the mode of a scope, and return when every worker follows (status 3 if one does not)."""
    where, settings = open_home(home)
    # No upstream can be configured yet.
    check_mode(mode, upstream_configured=False)
    now = SystemClock().now()
    end = None if until is None else parse_until(until, now)
    target = parse_scope(scope)
    who = actor()
    order = Intent(kind=Kind.MODE_SET, scope=target, body={"mode": mode}, reason=reason, actor=who, until=end)

    differing: list[dict[str, str]] = []

    def plan(state: State) -> list[Intent]:
        view = state.view(now)
        others = differing_scopes(view, mode) if target == EVERYWHERE else []
        if target != EVERYWHERE and not _serves(view, target):
            print(f"relais: warning: no AMC {target} is in the snapshot that serves", file=sys.stderr)
        if not clear:
            differing.extend({"scope": other, "mode": view.modes[other].mode} for other in others)
            return [order]
        cleared = [Intent(kind=Kind.MODE_CLEAR, scope=one, body={}, reason=reason, actor=who) for one in others]
        # The mode of all first: if what follows fails, a suspension already holds.
        return [order, *cleared]

    version, given = append_orders(where, settings, plan, json=json)
    status = await_fleet(where, version)
    if json:
        print_json({**order_members(version, given, status), "differing": differing})
        return status
    # A suspension of all stands above each AMC's own mode: nobody may read that one AMC is answered still.
    word = "suspended as well, with a mode of its own for afterwards" if mode == "suspended" else "still differs"
    for one in differing:
        print(f"{word}: {one['scope']} {one['mode']} (--all clears it)")
    return status


def _serves(view: View, amc: str) -> bool:
    """Whether the active snapshot names an AMC; without a snapshot there is nothing to compare with."""
    return view.activation is None or not view.activation.counts or amc in view.activation.counts


def _members(mode: ModeState) -> dict[str, Any]:
    return {
        "mode": mode.mode,
        "since": None if mode.since is None else instant_text(mode.since),
        "until": None if mode.until is None else instant_text(mode.until),
        "reason": mode.reason,
        "order": mode.version,
    }


def _origin(mode: ModeState) -> str:
    if mode.version is None or mode.since is None:
        return "by default"
    until = "" if mode.until is None else f" until {instant_text(mode.until)}"
    return f"since {instant_text(mode.since)}{until}, order {mode.version}: {mode.reason}"
