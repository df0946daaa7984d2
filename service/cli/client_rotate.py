"""`relais client rotate`: a new key for a client, beside the former ones for a while."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from service.access.clients import Client, key_ids, parse_client
from service.access.keylife import rotated
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, ReasonOption, actor, open_home, print_json
from service.cli.ordering import await_fleet, give_orders, parse_until, say
from service.clock import SystemClock
from service.control.format import Kind, instant_text
from service.control.intent import Intent
from service.control.orders import subject_of
from service.control.state import State
from service.errors import Conflict, InvalidField, NotFound, OperatorError
from service.jwk import PublicKey
from service.keyfiles import load_public


def rotate(
    client_id: Annotated[str, Parameter(name="ID", help="A registered client.")],
    /,
    *,
    key: Annotated[Path, Parameter(help="The new JWK; of a private key only the public part is kept.")],
    overlap: Annotated[
        str, Parameter(help="How long the former keys stay good: 2h, 7d, or 0m for a key that was stolen.")
    ] = "7d",
    reason: ReasonOption = "key rotated from the command line",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Register a further key and give the former ones an end; budgets, FINESS and a suspension stay as they are.

    A new key takes a second person: status 4 and a proposal, whose overlap is counted from now. Status 3 if a worker
    does not follow.
    """
    where, settings = open_home(home)
    now = SystemClock().now()
    fresh = load_public(key)
    span = parse_until(overlap, now, "--overlap") - now
    if span < dt.timedelta(0):
        raise OperatorError("--overlap lies in the past")
    seen: list[int] = []

    def plan(state: State) -> list[Intent]:
        seen.append(_last_about(state, client_id))
        body = _rotated(state, client_id, fresh, span, now)
        return [Intent(kind=Kind.CLIENT_REGISTER, scope=client_id, body=body, reason=reason, actor=actor())]

    def expected(state: State) -> None:
        if _last_about(state, client_id) != seen[0]:
            raise Conflict(f"{client_id} was changed meanwhile: try again")

    given = give_orders(where, settings, plan, expected, json=json)
    former = "stop at once" if not span else f"end at {instant_text(now + span)}"
    say(f"  key {fresh.kid} ({fresh.alg}); former keys {former}", json=json)
    followed = await_fleet(where, given.version)
    if json:
        overlaps = instant_text(now + span)
        print_json({"id": client_id, "kid": fresh.kid, "overlap_until": overlaps, **given.members(followed)})
    return given.status(followed)


def _rotated(
    state: State, client_id: str, key: PublicKey, overlap: dt.timedelta, now: dt.datetime
) -> dict[str, object]:
    holder = next((name for name, known in state.clients.items() if key.kid in key_ids(known.body)), None)
    if holder not in (None, client_id):
        raise OperatorError(f"{holder} has this key: each client has its own")
    try:
        return rotated(_parsed(state, client_id), key, overlap, now)
    except InvalidField as error:
        raise OperatorError(f"{client_id}: {error.detail}") from error


def _parsed(state: State, client_id: str) -> Client:
    known = state.clients.get(client_id)
    if known is None:
        raise NotFound("no client of this id is registered")
    # Limits that end are no part of the registration: they outlive it.
    return parse_client(client_id, known.registered)


def _last_about(state: State, client_id: str) -> int:
    return state.touched.get(subject_of(Kind.CLIENT_REGISTER, client_id, {}), 0)
