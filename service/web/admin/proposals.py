"""`/admin/v1/proposals`: what waits for a second person, who approves or rejects it."""

from __future__ import annotations

import asyncio
from typing import get_args

from aiohttp import web

from service.control.proposals import Proposal, ProposalState
from service.errors import InvalidField
from service.web.admin.desk import ADMINS, DESK, READERS, REASON, Admitted, Reasoned, admit, admit_write, as_conflict
from service.web.admin.proposed import proposal_document, proposal_response, proposal_tag
from service.web.context import CONTEXT
from service.web.responses import json_response


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


def _state(request: web.Request) -> str | None:
    query = request.query
    if not query.keys() <= {"state"} or len(query) > 1:
        raise InvalidField("the only filter is state, once")
    state = query.get("state")
    if state is not None and state not in get_args(ProposalState):
        raise InvalidField(f"one of {', '.join(get_args(ProposalState))}", "/state")
    return state
