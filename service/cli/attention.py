"""What waits for a person: orders proposed and not decided, and keys of clients that end soon."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import msgspec

from service.access.keylife import EndingKey, ending_keys
from service.control.format import instant_text
from service.control.proposals import Proposal, ProposalReader
from service.control.state import State
from service.jwk import PublicKey
from service.settings import Home


class Attention(msgspec.Struct, frozen=True):
    """Proposals oldest first, keys soonest first."""

    proposals: tuple[Proposal, ...]
    keys: tuple[EndingKey, ...]


def attention(home: Home, keys: Mapping[str, PublicKey], state: State, now: dt.datetime) -> Attention:
    """What waits now; `keys` are those that may sign orders. Raises `StoreUnavailable`."""
    with closing(ProposalReader(home.fleet, keys)) as reader:
        proposals = reader.waiting(state, now)
    return Attention(tuple(proposals), tuple(ending_keys(state.view(now).clients, now)))


def attention_lines(found: Attention) -> Iterator[str]:
    """For people, one line each, the proposals counted."""
    if found.proposals:
        number, first = len(found.proposals), min(one.ends for one in found.proposals)
        wait = "proposal waits" if number == 1 else "proposals wait"
        yield f"{number} {wait} for a second person, the first until {instant_text(first)}  (relais orders proposals)"
    for key in found.keys:
        yield f"warning client_key_ends: {ending_text(key)}"


def attention_members(found: Attention) -> dict[str, Any]:
    """For a machine."""
    keys = [
        {"client": key.client_id, "kid": key.kid, "ends": instant_text(key.end), "last": key.last} for key in found.keys
    ]
    return {"proposals_waiting": len(found.proposals), "keys_ending": keys}


def ending_text(key: EndingKey) -> str:
    """A key that ends, in one clause."""
    rest = "and with it its last: it can ask no more then" if key.last else "its others stay"
    return f"{key.client_id}: key {key.kid} ends at {instant_text(key.end)}; {rest}"
