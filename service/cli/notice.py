"""`relais notice`: sentences that answers and the status page carry."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, ReasonOption, actor, open_home, print_json
from service.cli.exits import Exit
from service.cli.ordering import await_fleet, give_orders, open_ledger, parse_until, say
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind, Severity, instant_text, parse_scope
from service.control.intent import Intent
from service.control.state import Notice, State, is_over
from service.settings import Home, Settings

app = App(name="notice")

NoticeArgument = Annotated[str, Parameter(name="ID", help="1 to 64 of a-z, 0-9, '.', '_', '-'.")]


@app.command(name="put")
def put(  # noqa: PLR0913 - one parameter an option
    notice_id: NoticeArgument,
    /,
    *,
    severity: Annotated[Severity, Parameter(help="How much it matters.")],
    text: Annotated[str, Parameter(help="What people read, in French; up to 500 characters, no personal data.")],
    reason: ReasonOption,
    scope: Annotated[str, Parameter(help="An AMC number, or * for all.")] = EVERYWHERE,
    begin: Annotated[
        str | None, Parameter(name="--from", help="When it begins: RFC 3339, or in 30m, 2h, 7d; without it, at once.")
    ] = None,
    until: Annotated[str | None, Parameter(help="When it ends: RFC 3339, or 30m, 2h, 7d.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Show a notice, or replace the one of this id; return when every worker follows (status 3 if one does not)."""
    where, settings = open_home(home)
    now = SystemClock().now()
    since = None if begin is None else instant_text(parse_until(begin, now, "--from"))
    intent = Intent(
        kind=Kind.NOTICE_PUT,
        scope=parse_scope(scope),
        body={"id": notice_id, "severity": severity, "text": text, "from": since},
        reason=reason,
        actor=actor(),
        until=None if until is None else parse_until(until, now),
    )
    return _give(where, settings, intent, json=json)


@app.command(name="withdraw")
def withdraw(
    notice_id: NoticeArgument,
    /,
    *,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Take a notice back, and return when every worker follows (status 3 if one does not)."""
    where, settings = open_home(home)
    with open_ledger(where, settings) as ledger:
        known = ledger.state.notices.get(notice_id)
    scope = EVERYWHERE if known is None else known.scope
    intent = Intent(kind=Kind.NOTICE_WITHDRAW, scope=scope, body={"id": notice_id}, reason=reason, actor=actor())
    return _give(where, settings, intent, json=json)


@app.command(name="list")
def list_notices(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """List the notices that were put and not withdrawn: those shown, to come, and ended."""
    where, settings = open_home(home)
    now = SystemClock().now()
    with open_ledger(where, settings, stale=True) as ledger:
        state, status = ledger.state, ledger.status
    if status.error:
        say(f"relais: shown from this node's copy: {status.error}", json=True)
    notices = _sorted(state)
    if json:
        shown = [_members(one, now) for one in notices]
        print_json({"order_version": state.version, "source": status.source, "notices": shown})
        return
    for one in notices:
        print(_line(one, now))
    if not notices:
        print("there is no notice")


def _give(where: Home, settings: Settings, intent: Intent, *, json: bool) -> Exit:
    given = give_orders(where, settings, lambda _: [intent], json=json)
    return given.told(await_fleet(where, given.version), json=json, id=intent.body["id"])


def _sorted(state: State) -> list[Notice]:
    return sorted(state.notices.values(), key=lambda notice: notice.version)


def _standing(notice: Notice, now: dt.datetime) -> str:
    if is_over(notice.until, now):
        return "ended"
    return "shown" if notice.since <= now else "to come"


def _members(notice: Notice, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": notice.id,
        "scope": notice.scope,
        "severity": notice.severity,
        "text": notice.text,
        "from": instant_text(notice.since),
        "until": None if notice.until is None else instant_text(notice.until),
        "state": _standing(notice, now),
        "order": notice.version,
    }


def _line(notice: Notice, now: dt.datetime) -> str:
    until = "" if notice.until is None else f" until {instant_text(notice.until)}"
    when = f"from {instant_text(notice.since)}{until}"
    return f"{notice.id}  {_standing(notice, now)}  {notice.severity} {notice.scope} {when}: {notice.text}"
