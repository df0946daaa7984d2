"""`relais mode`: how queries are answered, everywhere and for one AMC."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, ReasonOption, actor, open_home, print_json
from service.cli.ordering import await_fleet, give_orders, open_ledger, parse_until, say
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind, ModeName, instant_text, parse_scope
from service.control.intent import Intent
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
    mode: Annotated[ModeName, Parameter(help="live needs an upstream: the setting upstream.url.")],
    /,
    *,
    reason: ReasonOption,
    scope: Annotated[str, Parameter(help="An AMC number, or * for all.")] = EVERYWHERE,
    until: Annotated[str | None, Parameter(help="When it ends: RFC 3339, or 30m, 2h, 7d.")] = None,
    clear: Annotated[
        bool,
        Parameter(name="--all", negative="", show_default=False, help="With scope *: also clear the AMCs that differ."),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Set the mode of a scope, and return when every worker follows (status 3 if one does not).

    A looser mode (live, the end of a suspension) is proposed and waits for a second person: status 4.
    """
    where, settings = open_home(home)
    check_mode(mode, upstream_configured=bool(settings.upstream.url))
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

    given = give_orders(where, settings, plan, json=json)
    followed = await_fleet(where, given.version)
    if json:
        print_json({**given.members(followed), "differing": differing})
        return given.status(followed)
    # A suspension of all stands above each AMC's own mode: nobody may read that one AMC is answered still.
    word = "suspended as well, with a mode of its own for afterwards" if mode == "suspended" else "still differs"
    for one in differing:
        print(f"{word}: {one['scope']} {one['mode']} (--all clears it)")
    return given.status(followed)


@app.command(name="clear")
def clear_mode(
    *,
    scope: Annotated[str, Parameter(help="An AMC number: the mode of all is its mode again. Or *: degraded again.")],
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Take a scope's own mode away, and return when every worker follows (status 3 if one does not)."""
    where, settings = open_home(home)
    intent = Intent(kind=Kind.MODE_CLEAR, scope=parse_scope(scope), body={}, reason=reason, actor=actor())

    def plan(state: State) -> list[Intent]:
        # Also where its end has passed, something may lie below it.
        if intent.scope in state.modes:
            return [intent]
        say(f"{intent.scope} has no mode of its own: no change", json=json)
        return []

    given = give_orders(where, settings, plan, json=json)
    return given.told(await_fleet(where, given.version), json=json)


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
