"""A planted breach: who was asked about through which client, and what was shown, known before anything is recorded."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.journal.entries import Disclosed, Pending
from service.strictjson import canonical
from tests.unit.journal.journal_node import NOW, OPENING, Node

THIEF, HONEST = "pharmacie-volee", "pharmacie-1"
FIRST, SECOND = "0990000001", "0990000002"


@dataclass(frozen=True)
class Shown:
    """One answer to be recorded: about person `number`, with contracts at these AMCs."""

    number: int
    open_at: tuple[str, ...] = ()
    closed_at: tuple[str, ...] = ()
    client: str = THIEF
    snapshot: int | None = 42
    mode: str = "degraded"
    fictitious: bool = False
    by_member: bool = False

    @property
    def status(self) -> str:
        return "open" if self.open_at else "closed" if self.closed_at else "unknown"

    @property
    def disclosed(self) -> Disclosed:
        if self.open_at:
            return Disclosed.CONTRACT
        return Disclosed.STATUS if self.closed_at else Disclosed.NONE


def nir(number: int) -> str:
    """Visibly made up: the commune 990 exists nowhere."""
    return f"18505990{number:05d}"


def beneficiary(shown: Shown) -> dict[str, Any]:
    person: dict[str, Any] = {"birth_date": "1985-05-12", "birth_rank": 1}
    if shown.by_member:
        return {**person, "amc": FIRST, "member": f"M{shown.number}"}
    return {**person, "nir": nir(shown.number)}


def identity_of(shown: Shown) -> str:
    if shown.by_member:
        return f"amc|{FIRST}|M{shown.number}|1985-05-12|1"
    return f"nir|{nir(shown.number)}|1985-05-12|1"


def open_contract(amc: str, number: int) -> dict[str, Any]:
    return {
        "amc": amc,
        "amc_name": f"Mutuelle {amc}",
        "status": "open",
        "reasons": [],
        "convention": "RO",
        "csr": "",
        "member": f"M{number}",
        "payer_rank": 1,
        "responsible": True,
        "valid_from": "2023-01-01",
        "valid_to": None,
        "card_valid_to": None,
        "domains": ["PHAR"],
        "rate_base": "TR",
        "rates": {"PH7": 100},
    }


def closed_contract(amc: str) -> dict[str, Any]:
    head = {"amc": amc, "amc_name": f"Mutuelle {amc}", "status": "closed", "reasons": ["terminated"]}
    return {**head, "closed_on": "2024-01-01"}


def pending(shown: Shown, finess: str = "750012346") -> Pending:
    contracts = [open_contract(amc, shown.number) for amc in shown.open_at]
    contracts += [closed_contract(amc) for amc in shown.closed_at]
    reasons = ["upstream_disabled"] if shown.mode == "degraded" else []
    answer = {
        "for": {"client": shown.client, "finess": finess},
        "mode": shown.mode,
        "status": shown.status,
        "reasons": reasons,
        "contracts": contracts,
    }
    query = {"beneficiary": beneficiary(shown), "amc": FIRST if shown.by_member else None, "finess": finess}
    return Pending(
        answer=canonical(answer),
        query=canonical(query),
        opening=OPENING,
        identity=None if shown.fictitious else identity_of(shown),
        client=shown.client,
        finess=finess,
        lease=None,
        disclosed=shown.disclosed,
        status=shown.status,
        reasons=tuple(reasons),
        snapshot=shown.snapshot,
    )


async def record(node: Node, answers: Sequence[Shown], at: dt.datetime = NOW, worker: int = 0) -> None:
    """One segment of these answers, in one batch."""
    node.clock.value = at
    writer = node.writer(worker)
    await writer.start()
    await asyncio.gather(*[writer.record(pending(one)) for one in answers])
    await writer.close()
