"""`relais client`: who may ask. A registration, a suspension and its end are orders."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from service.access.clients import Client, ClientClass, Watch, client_body, client_members, parse_client
from service.access.keylife import EndingKey, ending_keys
from service.cli.client_import import import_list
from service.cli.client_limit import limit
from service.cli.client_rotate import rotate
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, ReasonOption, actor, open_home, print_json
from service.cli.ordering import Given, await_fleet, give_orders, open_ledger, say
from service.clock import SystemClock
from service.control.format import Kind, instant_text
from service.control.intent import Intent
from service.control.state import ClientState, State
from service.errors import InvalidField, OperatorError
from service.identifiers import check_finess, finess_has_valid_key
from service.keyfiles import load_jwks
from service.settings import Home, Settings

app = App(name="client")
app.command(import_list, name="import")
app.command(limit, name="limit")
app.command(rotate, name="rotate")

FinessOption = Annotated[str | None, Parameter(help="Only what it asks for this FINESS (of a hub).")]
_SHOWN_FINESS = 3


@app.command(name="add")
def add(  # noqa: PLR0913 - one parameter an option
    client_id: Annotated[str, Parameter(name="ID", help="1 to 64 of a-z, 0-9, '.', '_', '-'.")],
    /,
    *,
    client_class: Annotated[ClientClass, Parameter(name="--class", help="What the client is.")],
    key: Annotated[Path, Parameter(help="A JWK or a JWK set; of a private key only the public part is kept.")],
    finess: Annotated[
        tuple[str, ...], Parameter(negative="", show_default=False, help="A pharmacy's own; for a hub, repeated.")
    ] = (),
    daily: Annotated[int | None, Parameter(help="Lookups a day (hub: for each FINESS).")] = None,
    burst: Annotated[int | None, Parameter(help="Lookups at once.")] = None,
    unknown: Annotated[int | None, Parameter(help="Answers beneficiary_unknown a day.")] = None,
    watch: Annotated[Watch, Parameter(help="Whether the sentinel acts or only reports.")] = Watch.ENFORCE,
    replace: Annotated[
        bool, Parameter(negative="", show_default=False, help="Register a known id anew, keys included.")
    ] = False,
    reason: ReasonOption = "registered from the command line",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Register a client, and return when every worker follows (status 3 if one does not).

    What lets it do more (a class beyond pharmacy and vendor, a further key, a budget above its class) is proposed and
    waits for a second person: status 4.
    """
    where, settings = open_home(home)
    jwks = load_jwks(key)
    limits = {"daily": daily, "burst": burst, "unknown": unknown, "watch": watch.value}
    client = _parse(client_id, {"class": client_class.value, "finess": list(finess), "keys": list(jwks), **limits})
    _warn(client, jwks)
    given = _register(where, settings, client, reason, replace=replace, json=json)
    if not json:
        for one in client.keys.values():
            print(f"  key {one.kid} ({one.alg})")
    keys = [{"kid": one.kid, "alg": one.alg} for one in client.keys.values()]
    return given.told(await_fleet(where, given.version), json=json, id=client.id, keys=keys)


@app.command(name="list")
def list_clients(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """List the registered clients with their budgets, keys and state."""
    where, settings = open_home(home)
    with open_ledger(where, settings, stale=True) as ledger:
        state, status = ledger.state, ledger.status
    if status.error:
        print(f"relais: shown from this node's copy: {status.error}", file=sys.stderr)
    now = SystemClock().now()
    clients = state.view(now).clients
    rows = [_members(client_id, known) for client_id, known in sorted(clients.items())]
    for ending in ending_keys(clients, now):
        print(f"relais: warning: {_ending(ending)}", file=sys.stderr)
    if json:
        print_json({"order_version": state.version, "source": status.source, "clients": rows})
        return
    width = max((len(row["id"]) for row in rows), default=0)
    for row in rows:
        print(f"{row['id']:<{width}}  {_line(row)}")


@app.command(name="suspend")
def suspend(
    client_id: Annotated[str, Parameter(name="ID", help="A registered client.")],
    /,
    *,
    finess: FinessOption = None,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Stop answering a client, and return when every worker follows (status 3 if one does not)."""
    return _set_suspended(home, client_id, finess, reason, suspended=True, json=json)


@app.command(name="resume")
def resume(
    client_id: Annotated[str, Parameter(name="ID", help="A registered client.")],
    /,
    *,
    finess: FinessOption = None,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Answer a suspended or slowed client again, once a second person approves; status 3 if a worker is behind."""
    return _set_suspended(home, client_id, finess, reason, suspended=False, json=json)


def _register(home: Home, settings: Settings, client: Client, reason: str, *, replace: bool, json: bool) -> Given:
    """The order that registers the client, or its proposal; none where that is done already."""
    intent = Intent(kind=Kind.CLIENT_REGISTER, scope=client.id, body=client_body(client), reason=reason, actor=actor())

    def plan(state: State) -> list[Intent]:
        known = state.clients.get(client.id)
        if known is not None and known.suspended:
            print(f"relais: {client.id} stays suspended until it is resumed", file=sys.stderr)
        if not _is_registered(state, client):
            return [intent]
        say(f"{client.id} is registered so already: no change", json=json)
        return []

    def expected(state: State) -> None:
        _refuse_to_replace(state, client, replace=replace)

    return give_orders(home, settings, plan, expected, json=json)


def _set_suspended(home: Path, client_id: str, finess: str | None, reason: str, *, suspended: bool, json: bool) -> int:
    where, settings = open_home(home)
    kind = Kind.CLIENT_SUSPEND if suspended else Kind.CLIENT_RESUME
    finess = None if finess is None else check_finess(finess)
    body = {} if finess is None else {"finess": finess}
    intent = Intent(kind=kind, scope=client_id, body=body, reason=reason, actor=actor())

    def plan(state: State) -> list[Intent]:
        known = state.clients.get(client_id)
        if known is None or known.is_suspended(finess) is not suspended or (not suspended and known.slowed):
            return [intent]
        say(f"{client_id} is {'suspended already' if suspended else 'not suspended'}: no change", json=json)
        return []

    given = give_orders(where, settings, plan, json=json)
    # A resumption that waits has resumed nobody.
    is_suspended = suspended or bool(given.proposals)
    said = {"id": client_id, "suspended": is_suspended, **body}
    return given.told(await_fleet(where, given.version), json=json, **said)


def _parse(client_id: str, members: Mapping[str, Any]) -> Client:
    """Raises `OperatorError` that names the option at fault."""
    try:
        return parse_client(client_id, members)
    except InvalidField as error:
        place = error.pointer.lstrip("/")
        raise OperatorError(f"{place}: {error.detail}" if place else error.detail) from error


def _warn(client: Client, jwks: Sequence[Mapping[str, Any]]) -> None:
    for number in client.finess:
        if not finess_has_valid_key(number):
            # No official rule says that the sum must hold.
            print(f"relais: warning: the check digit of FINESS {number} does not hold", file=sys.stderr)
    for jwk, kid in zip(jwks, client.keys, strict=True):
        if jwk.get("kid", kid) != kid:
            print(f"relais: warning: tokens name this key {kid}, not by the kid of its file", file=sys.stderr)


def _is_registered(state: State, client: Client) -> bool:
    known = state.clients.get(client.id)
    return known is not None and not _differences(known, client)


def _refuse_to_replace(state: State, client: Client, *, replace: bool) -> None:
    """Raises `OperatorError` where a known id would silently become another client."""
    known = state.clients.get(client.id)
    differences = [] if known is None else _differences(known, client)
    if differences and not replace:
        raise OperatorError(
            f"{client.id} is registered already, with other {', '.join(differences)}: --replace registers it anew"
        )


def _differences(known: ClientState, client: Client) -> list[str]:
    """Members in which a registration differs; all of them if the known one cannot be read."""
    body = client_body(client)
    try:
        # A limit that ends is no part of it: it outlives a registration.
        former = client_body(parse_client(client.id, known.registered))
    except InvalidField:
        return list(body)
    return [name for name in body if _comparable(former[name]) != _comparable(body[name])]


def _comparable(value: Any) -> Any:
    """Lists of a registration are sets: their order says nothing."""
    return sorted(map(str, value)) if isinstance(value, list) else value


def _members(client_id: str, known: ClientState) -> dict[str, Any]:
    since = None if known.since is None else instant_text(known.since)
    return client_members(client_id, known.body) | {
        "suspended": known.suspended,
        "since": since,
        "reason": known.reason,
        "suspended_finess": [
            {"finess": finess, "since": instant_text(one.since), "reason": one.reason}
            for finess, one in sorted(known.suspended_finess.items())
        ],
        "order": known.version,
        "limits": [{**limit.members, "until": instant_text(limit.until)} for limit in known.limits],
    }


def _ending(key: EndingKey) -> str:
    rest = "and with it its last: it can ask no more then" if key.last else "its others stay"
    return f"{key.client_id}: key {key.kid} ends at {instant_text(key.end)}; {rest}"


def _key(jwk: Mapping[str, Any]) -> str:
    end = dt.datetime.fromtimestamp(jwk["exp"], dt.UTC) if "exp" in jwk else None
    return jwk["kid"] if end is None else f"{jwk['kid']} until {instant_text(end)}"


def _line(row: Mapping[str, Any]) -> str:
    state = f"suspended since {row['since']}: {row['reason']}" if row["suspended"] else "active"
    state += "".join(f", suspended for {one['finess']}: {one['reason']}" for one in row["suspended_finess"])
    if "error" in row:
        return f"unreadable registration ({row['error']})  {state}"
    finess = list(row["finess"])
    more = f" and {len(finess) - _SHOWN_FINESS} more" if len(finess) > _SHOWN_FINESS else ""
    budgets = f"daily {row['daily']}  burst {row['burst']}  unknown {row['unknown']}  watch {row['watch']}"
    keys = ", ".join(_key(key) for key in row["keys"])
    budgets += "".join(f"  limited until {limit['until']}" for limit in row["limits"])
    where = f"finess {', '.join(finess[:_SHOWN_FINESS])}{more}" if finess else "no finess"
    return f"{row['class']:<8}  {budgets}  {where}  keys {keys}  {state}"
