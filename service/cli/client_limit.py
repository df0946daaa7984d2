"""`relais client limit`: other budgets for a client, for good or until a time, as an order."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from service.access.clients import Watch, parse_client
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, ReasonOption, actor, open_home, print_json
from service.cli.ordering import await_fleet, give_orders, parse_until, say
from service.clock import SystemClock
from service.control.format import Kind, instant_text
from service.control.intent import Intent
from service.control.state import State
from service.errors import InvalidField, OperatorError


def limit(  # noqa: PLR0913 - one parameter an option
    client_id: Annotated[str, Parameter(name="ID", help="A registered client.")],
    /,
    *,
    daily: Annotated[int | None, Parameter(help="Lookups a day (hub: for each FINESS).")] = None,
    burst: Annotated[int | None, Parameter(help="Lookups at once.")] = None,
    unknown: Annotated[int | None, Parameter(help="Answers beneficiary_unknown a day.")] = None,
    watch: Annotated[Watch | None, Parameter(help="Whether the sentinel acts or only reports.")] = None,
    until: Annotated[
        str | None, Parameter(help="When it ends by itself: RFC 3339 with its offset, or 30m, 2h, 7d.")
    ] = None,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Replace a client's budgets or watch; what is not named stays as it is. Status 3 if a worker does not follow.

    With --until what was before holds again then; without, it replaces limits that would have ended, too, but the
    sentinel's, which `relais client resume` lifts. A budget
    above the class's default, or above an earlier limit's end, is proposed and waits for a second person: status 4.
    """
    where, settings = open_home(home)
    given = {"daily": daily, "burst": burst, "unknown": unknown, "watch": None if watch is None else watch.value}
    members = {name: value for name, value in given.items() if value is not None}
    if not members:
        raise OperatorError("say what to limit: --daily, --burst, --unknown or --watch")
    end = None if until is None else parse_until(until, SystemClock().now())
    intent = Intent(kind=Kind.CLIENT_LIMIT, scope=client_id, body=members, reason=reason, actor=actor(), until=end)

    def plan(state: State) -> list[Intent]:
        _check(client_id, members, state)
        if end is None and _is_so(client_id, members, state):
            say(f"{client_id} has these limits already: no change", json=json)
            return []
        return [intent]

    made = give_orders(where, settings, plan, json=json)
    followed = await_fleet(where, made.version)
    if json:
        shown = None if end is None else instant_text(end)
        print_json({"id": client_id, "limits": members, "until": shown, **made.members(followed)})
    return made.status(followed)


def _check(client_id: str, members: dict[str, Any], state: State) -> None:
    """Raises `OperatorError` for a limit that would make the registration unreadable, and so the client unknown."""
    known = state.clients.get(client_id)
    if known is None:
        return
    try:
        parse_client(client_id, {**known.registered, **members})
    except InvalidField as error:
        raise OperatorError(f"{error.pointer.lstrip('/') or client_id}: {error.detail}") from error


def _is_so(client_id: str, members: dict[str, Any], state: State) -> bool:
    known = state.clients.get(client_id)
    return known is not None and not known.limits and all(known.body.get(name) == members[name] for name in members)
