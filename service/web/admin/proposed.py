"""A proposal as the admin server shows it: what waits for a second person, and the ETag that person must name."""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web

from service.control.proposals import Proposal, proposal_members
from service.web.responses import json_response


def proposal_response(proposal: Proposal, status: int = 200) -> web.Response:
    """A proposal; with status 202, where it is what came of a write, also where it is read."""
    headers: dict[str, str] = {hdrs.ETAG: proposal_tag(proposal)}
    if status == web.HTTPAccepted.status_code:
        headers[hdrs.LOCATION] = f"/admin/v1/proposals/{proposal.id}"
    return json_response(proposal_document(proposal), status, headers)


def proposal_tag(proposal: Proposal) -> str:
    """The ETag of a proposal: only its state ever changes."""
    return f'"{proposal.id}-{proposal.state}"'


def proposal_document(proposal: Proposal) -> dict[str, Any]:
    """A proposal for whoever decides on it: what would be ordered, what that loosens, and what became of it."""
    return {**proposal_members(proposal), "etag": proposal_tag(proposal)}
