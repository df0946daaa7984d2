"""`/admin/v1/proposals`: what waits for a second person, who approves or rejects it."""

from __future__ import annotations

import asyncio
from typing import Final, get_args

import msgspec
from aiohttp import web

from service.control.lists import IMPORT
from service.control.proposals import Proposal, ProposalState
from service.errors import InvalidField, NotFound
from service.web.admin.desk import ADMINS, DESK, READERS, REASON, Admitted, Reasoned, admit, admit_write, as_conflict
from service.web.admin.proposed import proposal_document, proposal_response, proposal_tag
from service.web.context import CONTEXT
from service.web.responses import json_response

#: Orders of a list on one page.
MOST_ON_A_PAGE: Final = 1000
_MOST_DIGITS: Final = 9


async def list_proposals(request: web.Request) -> web.Response:
    """Every proposal the store keeps, newest first; with `state`, those in it."""
    admit(request, *READERS)
    wanted = _state(request)
    decisions, now = request.app[DESK].decisions, request.app[CONTEXT].clock.now()
    found = reversed(await asyncio.to_thread(decisions.proposals, now))
    return json_response({"proposals": [proposal_document(one) for one in found if wanted in (None, one.state)]})


async def read_proposal(request: web.Request) -> web.Response:
    """One proposal, with the ETag that a decision on it must name."""
    admit(request, *READERS)
    return proposal_response(await _proposal(request))


async def read_list(request: web.Request) -> web.Response:
    """What a proposal of many orders would give, a page of it: `next` is null, or what `after` must be to go on."""
    admit(request, *READERS)
    after, limit = _page(request)
    proposal = await _proposal(request)
    if proposal.kind != IMPORT:
        raise NotFound("this proposal has no list: its body says all")
    items = await asyncio.to_thread(request.app[DESK].decisions.listed, proposal)
    shown = [msgspec.to_builtins(item) for item in items[after : after + limit]]
    following = after + limit if after + limit < len(items) else None
    return json_response({"list": proposal.body["digest"], "orders": shown, "next": following})


async def approve(request: web.Request) -> web.Response:
    """Give the order that somebody else proposed."""
    proposal, write = await _admit_decision(request)
    desk, now = request.app[DESK], request.app[CONTEXT].clock.now()

    def approved() -> Proposal:
        with desk.holdings.still_held(proposal):
            order = desk.decisions.approve(proposal.id, write.client.id, now, write.body.reason)
        desk.holdings.settle(order)
        return desk.decisions.get(proposal.id, now)

    with as_conflict():
        return proposal_response(await asyncio.to_thread(approved))


async def reject(request: web.Request) -> web.Response:
    """End a proposal, one's own too: nothing is ordered."""
    proposal, write = await _admit_decision(request)
    decisions, now = request.app[DESK].decisions, request.app[CONTEXT].clock.now()
    return proposal_response(
        await asyncio.to_thread(decisions.reject, proposal.id, write.client.id, write.body.reason, now)
    )


async def _admit_decision(request: web.Request) -> tuple[Proposal, Admitted[Reasoned]]:
    """The proposal, and who may decide on it as they saw it. That it still waits, the decision itself sees to."""
    admit(request, *ADMINS)
    proposal = await _proposal(request)
    return proposal, await admit_write(request, ADMINS, lambda _state, _now: proposal_tag(proposal), REASON)


async def _proposal(request: web.Request) -> Proposal:
    decisions, now = request.app[DESK].decisions, request.app[CONTEXT].clock.now()
    return await asyncio.to_thread(decisions.get, request.match_info["id"], now)


def _page(request: web.Request) -> tuple[int, int]:
    query = request.query
    if not query.keys() <= {"after", "limit"} or len(query) > len(query.keys()):
        raise InvalidField("the only filters are after and limit, once each")
    found = {}
    for name, default, least in (("after", "0", 0), ("limit", "100", 1)):
        text = query.get(name, default)
        if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS or int(text) < least:
            raise InvalidField(f"a whole number from {least} on", f"/{name}")
        found[name] = int(text)
    if found["limit"] > MOST_ON_A_PAGE:
        raise InvalidField(f"at most {MOST_ON_A_PAGE}", "/limit")
    return found["after"], found["limit"]


def _state(request: web.Request) -> str | None:
    query = request.query
    if not query.keys() <= {"state"} or len(query) > 1:
        raise InvalidField("the only filter is state, once")
    state = query.get("state")
    if state is not None and state not in get_args(ProposalState):
        raise InvalidField(f"one of {', '.join(get_args(ProposalState))}", "/state")
    return state
