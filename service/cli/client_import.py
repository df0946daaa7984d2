"""`relais client import`: a vendor's signed list of pharmacies, proposed as one decision."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from service.access.clients import Client, client_body, parse_client
from service.access.enrolment import (
    MAX_LIST_BYTES,
    REFUSAL_TEXTS,
    Judgement,
    VendorList,
    judge_entries,
    open_vendor_list,
    parse_allowed,
    slow_start,
)
from service.base64url import sha256_b64u
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, ReasonOption, actor, open_home, print_json
from service.cli.exits import Exit
from service.cli.ordering import LIST_SECONDS, Given, await_fleet, open_decisions, say
from service.clock import SystemClock
from service.control.format import Kind, Order, instant_text
from service.control.intent import Intent
from service.control.lists import IMPORT, Item, list_digest, list_payload
from service.control.proposals import Proposal
from service.control.state import State
from service.errors import InvalidField, OperatorError
from service.settings import EnrolmentSettings, Settings
from service.strictjson import canonical

_SHOWN_REFUSED: Final = 20
_DAY_SECONDS: Final = 86_400


class _Import(msgspec.Struct, frozen=True):
    """A list, judged, and what it would order."""

    listed: VendorList
    judgement: Judgement
    heading: Intent
    items: tuple[Item, ...]


def import_list(
    file: Annotated[Path, Parameter(name="FILE", help="A compact JWS; docs/clients.md says what it holds.")],
    /,
    *,
    vendor: Annotated[str, Parameter(help="The registered vendor who signed it.")],
    allowed: Annotated[Path, Parameter(help="FINESS numbers that may be registered, one a line.")],
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Say what would happen, no more.")
    ] = False,
    reason: ReasonOption = "enrolled by a vendor's list",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Propose the pharmacies of a vendor's list, all in one decision that somebody else approves: status 4.

    Nobody who is registered is changed. What is refused is said with its reason and does not keep the rest; status 1
    where nothing is left. Those registered begin with a share of their budgets.
    """
    where, settings = open_home(home)
    now = SystemClock().now()
    document, numbers = _read(file), _read_allowed(allowed)
    with open_decisions(where, settings) as decisions:
        state = decisions.ledger.state
        listed = open_vendor_list(document, _vendor(vendor, state, now), settings.instance.name, now)
        judgement = judge_entries(listed.entries, numbers, state.clients)
        made = _import(listed, judgement, numbers, settings, reason)
        _report(made, json=json)
        done = decisions.decide_list(made.heading, made.items, now) if made.items and not dry_run else ()
        version = decisions.ledger.state.version
    given = _given(done, version, json=json)
    followed = await_fleet(where, given.version, seconds=LIST_SECONDS) if done else Exit.DONE
    if json:
        ordered = 0 if isinstance(done, Proposal) else len(done)
        members = {**given.members(followed), "orders": ordered}
        print_json({**_members(made), "dry_run": dry_run, **members})
    nothing = not judgement.new and not judgement.known
    return Exit.REFUSED if nothing and judgement.refused else given.status(followed)


def _read(file: Path) -> str:
    with file.open("rb") as opened:
        data = opened.read(MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES:
        raise OperatorError(f"{file}: a list is at most {MAX_LIST_BYTES} bytes: split it")
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise OperatorError(f"{file}: not a compact JWS") from error


def _read_allowed(file: Path) -> frozenset[str]:
    try:
        return parse_allowed(file.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise OperatorError(f"{file}: not text in UTF-8") from error
    except InvalidField as error:
        raise OperatorError(f"{file}: {error.detail}") from error


def _vendor(vendor: str, state: State, now: dt.datetime) -> Client:
    known = state.clients.get(vendor)
    if known is None:
        raise OperatorError("no client of the vendor's id is registered")
    try:
        return parse_client(vendor, known.at(now).body, suspended=known.suspended)
    except InvalidField as error:
        raise OperatorError(f"the vendor's registration cannot be read: {error.detail}") from error


def _import(
    listed: VendorList, judgement: Judgement, allowed: frozenset[str], settings: Settings, reason: str
) -> _Import:
    facts = {
        "list": listed.digest,
        "allowed": sha256_b64u(canonical(sorted(allowed))),
        "clients": len(judgement.new),
        "refused": len(judgement.refused),
    }
    heading = Intent(kind=IMPORT, scope=listed.vendor, body=facts, reason=reason, actor=actor())
    items = tuple(item for client in judgement.new for item in _items(client, settings.enrolment))
    return _Import(listed, judgement, heading, items)


def _items(client: Client, rules: EnrolmentSettings) -> Sequence[Item]:
    """The registration, and the share it begins with: two orders, for a registration has no end and a limit may."""
    registered = Item(kind=Kind.CLIENT_REGISTER, scope=client.id, body=client_body(client))
    if not rules.slow_days:
        return (registered,)
    share, lasts = slow_start(client, rules.slow_percent), rules.slow_days * _DAY_SECONDS
    return (registered, Item(kind=Kind.CLIENT_LIMIT, scope=client.id, body=dict(share), lasts=lasts))


def _given(done: Sequence[Order] | Proposal, version: int, *, json: bool) -> Given:
    if isinstance(done, Proposal):
        say(
            f"proposed {done.id}: {done.loosens}  (relais orders approve {done.id}, by somebody else)",
            json=json,
        )
        return Given(version, (), (done,))
    if done:
        version = done[-1].version
        say(f"orders {done[0].version} to {version}", json=json)
    return Given(version, (), ())


def _report(made: _Import, *, json: bool) -> None:
    judgement = made.judgement
    say(
        f"{made.listed.vendor}, signed {instant_text(made.listed.issued)}: {len(judgement.new)} to register, "
        f"{len(judgement.known)} registered so already, {len(judgement.refused)} refused",
        json=json,
    )
    for name, number in sorted(judgement.counts().items()):
        say(f"  {number} {name}", json=json)
    for one in judgement.refused[:_SHOWN_REFUSED]:
        say(f"  entry {one.position} ({one.id or 'no id'}): {REFUSAL_TEXTS[one.reason]}", json=json)
    if len(judgement.refused) > _SHOWN_REFUSED:
        say(f"  and {len(judgement.refused) - _SHOWN_REFUSED} more: --json names them all", json=json)
    if made.items:
        say(f"  list {list_digest(list_payload(made.items))}", json=json)


def _members(made: _Import) -> Mapping[str, Any]:
    judgement = made.judgement
    refused = [
        {"entry": one.position, "id": one.id, "code": one.reason.value, "detail": REFUSAL_TEXTS[one.reason]}
        for one in judgement.refused
    ]
    return {
        "vendor": made.listed.vendor,
        "signed_at": instant_text(made.listed.issued),
        "list": list_digest(list_payload(made.items)) if made.items else None,
        "register": [client.id for client in judgement.new],
        "known": list(judgement.known),
        "refused": refused,
    }
