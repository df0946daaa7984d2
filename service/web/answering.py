"""From a normalised query to the recorded answer in bytes: shared by every face that asks for rights."""

from __future__ import annotations

import datetime as dt
import hmac
import os
from typing import Any, Final

import orjson

from service import jose
from service.access.clients import Client
from service.errors import JournalUnwritable, NoSnapshot
from service.journal.entries import Pending, Receipt
from service.rights import question
from service.rights.decide import Decision
from service.rights.lookup import look_up
from service.rights.model import Query, Status
from service.rights.reasons import Reason
from service.rights.render import render
from service.web.context import Context

_UUID7_VERSION: Final = 0x7 << 76
_UUID7_VARIANT: Final = 0x2 << 62


def uuid7(milliseconds: int, chance: bytes) -> str:
    """A UUIDv7 (RFC 9562 §5.7) from Unix milliseconds and 10 random bytes."""
    random = int.from_bytes(chance, "big")
    value = (milliseconds << 80) | _UUID7_VERSION | ((random >> 62 & 0xFFF) << 64)
    value |= _UUID7_VARIANT | (random & ((1 << 62) - 1))
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


async def answer(context: Context, client: Client, query: Query, now: dt.datetime) -> bytes:
    """The whole response body, once it is recorded. Raises `NoSnapshot`, `JournalUnwritable`."""
    if context.journal is None:
        raise JournalUnwritable
    snapshot, knowledge = context.snapshot, context.knowledge
    if snapshot is None or knowledge is None:
        raise NoSnapshot
    stance, mode_members = context.stance(query.amc)
    identity = question.identity(query)
    decision = look_up(snapshot, knowledge, identity, query, stance, now)
    asked = question.normalised(query)
    chance = os.urandom(26)
    opening = chance[:16]
    members: dict[str, Any] = render(decision, knowledge)
    members.update(mode_members)
    members["id"] = uuid7(int(now.timestamp() * 1000), chance[16:])
    members["at"] = now.isoformat(timespec="milliseconds")[:-6] + "Z"
    members["for"] = {"client": client.id, "finess": query.finess}
    members["asked"] = jose.b64u(hmac.digest(opening, asked, "sha256"))
    members["service_date"] = query.service_date.isoformat()
    answer_bytes = jose.canonical(members)
    receipt = await context.journal.record(
        Pending(
            answer=answer_bytes,
            query=asked,
            opening=opening,
            identity=identity,
            client=client.id,
            finess=query.finess,
            lease=None,
            disclosed=disclosed(decision),
            status=decision.status,
            reasons=decision.reasons,
            snapshot=knowledge.snapshot,
        )
    )
    return _envelope(answer_bytes, decision.counter_text, receipt, opening)


def disclosed(decision: Decision) -> str:
    """How much of a person an answer gave away: nothing, that a status is known, or a contract's card block."""
    shown = decision.contracts
    if any(one.status is not Status.CLOSED and Reason.AMC_EXCLUDED not in one.reasons for one in shown):
        return "contract"
    return "status" if shown or decision.status is not Status.UNKNOWN else "none"


def _envelope(answer_bytes: bytes, counter_text: str, receipt: Receipt, opening: bytes) -> bytes:
    return orjson.dumps(
        {
            "answer": orjson.Fragment(answer_bytes),
            "counter_text": counter_text,
            "receipt": {"head": receipt.head, "index": receipt.index, "path": receipt.path},
            "opening": jose.b64u(opening),
        }
    )
