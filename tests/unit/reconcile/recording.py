"""Answers recorded in a journal of their own, and an upstream that says what a test wants it to say."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from service.journal.entries import Pending
from service.rights import question
from service.rights.heard import Heard, Told
from service.rights.model import Contract, Query, Status
from service.strictjson import canonical
from tests.unit.journal.journal_node import NOW, OPENING, Node

FIRST, SECOND = "0990000011", "0990000022"
EXTRACTED = "2024-02-03T08:00:00Z"


def query(number: int = 0, **changes: Any) -> Query:
    """A question about the `number`-th person."""
    fields: dict[str, Any] = {
        "birth_date": "1985-05-12",
        "birth_rank": 1,
        "finess": "750012346",
        "service_date": dt.date(2024, 2, 5),
        "domain": "PHAR",
        "benefits": (),
        "nir": f"18505751{number:05d}",
    }
    return Query(**{**fields, **changes})


def contract(status: str, amc: str = FIRST, member: str = "A1", rate: int = 100) -> dict[str, Any]:
    """A contract as an answer shows it."""
    head = {"amc": amc, "amc_name": f"Mutuelle {amc}", "status": status, "reasons": []}
    if status == "closed":
        return {**head, "closed_on": "2024-01-01"}
    card = {**head, "member": member, "payer_rank": 1, "valid_from": "2023-01-01", "extracted_at": EXTRACTED}
    return card if status == "unknown" else {**card, "rate_base": "TR", "rates": {"PH7": rate}}


def answer(asked: Query, *contracts: Mapping[str, Any], number: int = 0, kind: str = "snapshot") -> dict[str, Any]:
    """An answer to a question, with what these tests need of it."""
    statuses = {one["status"] for one in contracts}
    status = "open" if "open" in statuses else "closed" if statuses == {"closed"} and asked.amc else "unknown"
    return {
        "id": f"018d7892-{number:04x}-7000-8000-000000000000",
        "at": "2024-02-05T09:30:12.123Z",
        "for": {"client": "pharmacie-1", "finess": asked.finess},
        "service_date": asked.service_date.isoformat(),
        "status": status,
        "reasons": ["upstream_disabled"],
        "source": {"kind": kind, "snapshot": 42, "extracted_at": EXTRACTED if contracts else None},
        "contracts": list(contracts),
    }


def pending(asked: Query, said: Mapping[str, Any], **changes: Any) -> Pending:
    """What is recorded of it."""
    fields: dict[str, Any] = {
        "answer": canonical(said),
        "query": question.normalised(asked),
        "opening": OPENING,
        "identity": question.identity(asked),
        "client": "pharmacie-1",
        "finess": asked.finess,
        "lease": None,
        "disclosed": "contract",
        "status": said["status"],
        "reasons": tuple(said["reasons"]),
        "snapshot": 42,
    }
    return Pending(**{**fields, **changes})


def record(node: Node, waiting: Iterable[Pending], at: dt.datetime = NOW) -> None:
    """One segment of these answers."""

    async def write() -> None:
        node.clock.value = at
        writer = node.writer()
        await writer.start()
        await asyncio.gather(*[writer.record(one) for one in waiting])
        await writer.close()

    asyncio.run(write())


def told(status: Status, amc: str = FIRST, member: str = "A1", rate: int = 100) -> Told:
    """A contract as the upstream tells it."""
    closed = status is Status.CLOSED
    fields = Contract(
        amc=amc,
        member="" if closed else member,
        csr="",
        convention="",
        payer_rank=1,
        valid_from=dt.date(2023, 1, 1),
        valid_to=None,
        card_valid_to=None,
        closed_on=None,
        suspended=(),
        responsible=True,
        domains=(),
        rates={},
        rate_base="TR",
    )
    return Told(fields, "Mutuelle", status, rates={"PH7": rate} if status is Status.OPEN else None)


class Says:
    """An upstream of one's own. `says` gives what it says to a question, or raises what it fails with."""

    def __init__(self, says: Callable[[Query], Heard]) -> None:
        self.asked: list[Query] = []
        self.closed = False
        self._says = says

    async def ask(self, asked: Query) -> Heard:
        self.asked.append(asked)
        await asyncio.sleep(0)
        return self._says(asked)

    async def close(self) -> None:
        self.closed = True


class Clock:
    """Time that passes only while somebody sleeps, or looks at it: a microsecond a look."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> dt.datetime:
        return NOW + dt.timedelta(days=1)

    def monotonic(self) -> float:
        self.seconds += 1e-6
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


def nobody(_asked: Query) -> Heard:
    """An upstream that knows nobody."""
    return Heard(Status.UNKNOWN)
