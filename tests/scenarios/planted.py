"""A breach with a planted truth: what every caller was told, kept as it arrived, counted without the product's code.

What the officer's tools say must be this, number for number. Only a question whose answer never arrived is uncertain:
it may have been recorded.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import aiohttp
import orjson

from stubs.connection import Pharmacy, Signer
from tests.fleet import Installation
from tests.scenarios.callers import alone
from tests.scenarios.shifted_clock import SteppingClock

PARIS = ZoneInfo("Europe/Paris")
#: (NIR of 13 characters or member number, AMC where asked by member, birth date, rank)
Person = tuple[str, str, str, int]
Json = dict[str, Any]
#: What of a contract gives a category away, once more and by hand from docs/breach.md.
OF_CONTRACT = {
    "insurer": {"amc", "amc_name"},
    "closure": {"closed_on"},
    "member": {"member"},
    "routing": {"convention", "csr"},
    "validity": {"valid_from", "valid_to", "card_valid_to"},
    "cover": {"domains", "rates", "rate_base", "guarantee", "responsible", "payer_rank"},
}
CARD = {"member", "routing", "validity", "cover"}
AT_MOST = {
    "none": set[str](),
    "status": {"identity", "status", "insurer", "closure"},
    "contract": {"identity", "status", *OF_CONTRACT},
}


class Told(NamedTuple):
    """One answer as it arrived: through whom, about whom (None: a fictitious NIR), when and where it is recorded."""

    client: str
    person: Person | None
    at: str
    journal: str
    answer: Json
    body: bytes

    @property
    def categories(self) -> set[str]:
        """What it gave away."""
        contracts = self.answer["contracts"]
        if not contracts and self.answer["status"] == "unknown":
            return set()
        return {"identity", "status"}.union(*map(categories_of, contracts))

    @property
    def disclosed(self) -> str:
        """How much it gave away, as an entry tells it without being opened."""
        if self.categories & CARD:
            return "contract"
        return "status" if self.categories else "none"


def categories_of(contract: Json) -> set[str]:
    """The categories that a contract gives away."""
    held = {name for name, value in contract.items() if value not in ("", None)}
    return {category for category, names in OF_CONTRACT.items() if names & held}


def by_nir(row: Json, **changes: Any) -> Json:
    """A question about the person of a row, by NIR."""
    return {"beneficiary": {**{name: row[name] for name in ("nir", "birth_date", "birth_rank")}, **changes}}


def by_member(row: Json) -> Json:
    """A question about the person of a row, by AMC and member number."""
    return {"beneficiary": {name: row[name] for name in ("amc", "member", "birth_date", "birth_rank")}}


def person_of(query: Json) -> Person | None:
    """Whom a question is about."""
    asked = query["beneficiary"]
    if "member" in asked:
        return asked["member"], asked["amc"], asked["birth_date"], asked["birth_rank"]
    if asked["nir"].startswith("2555555"):
        return None
    return asked["nir"][:13], "", asked["birth_date"], asked["birth_rank"]


@dataclass
class Truth:
    """What was planted. `lost` are questions whose answer never arrived, `refused` the codes of what was refused."""

    told: list[Told] = field(default_factory=list)
    lost: list[tuple[str, Person | None]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def of(self, client: str | None = None, since: str = "", until: str = "~") -> list[Told]:
        """The answers of a client and a period."""
        return [one for one in self.told if client in (None, one.client) and since <= one.at < until]


class _Signer(Signer):
    """A pharmacy's, whose clock is that of the servers."""

    def __init__(self, site: Installation, clock: SteppingClock, client: str) -> None:
        super().__init__(client, site.key(client))
        self._clock = clock

    def token(self) -> str:
        return self.mint(int(time.time()) + self._clock.seconds)


class Caller:
    """Asks through one client, on connections to every worker, and keeps all it is told. What was lost is asked again.

    Use as an asynchronous context manager; those who ask at once connect one after the other before.
    """

    def __init__(
        self, site: Installation, clock: SteppingClock, truth: Truth, client: str, finess: str | None = None
    ) -> None:
        self._site, self._truth, self._client, self._finess = site, truth, client, finess
        self._signer = _Signer(site, clock, client)
        self._lines: list[Pharmacy] = []

    async def __aenter__(self) -> Self:
        workers = self._site.workers()
        for worker in [*workers, *workers]:
            line = Pharmacy(f"http://127.0.0.1:{self._site.ports['rights']}", self._signer)
            self._lines.append(await line.__aenter__())
            with alone(worker, workers):
                await line.keys()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self._lines:
            await line.__aexit__(kind, error, trace)

    async def ask(self, queries: Iterable[Json]) -> None:
        """Until each is answered, or each connection was refused once."""
        turn = iter(queries)
        await asyncio.gather(*[self._take(line, turn) for line in self._lines])

    async def _take(self, line: Pharmacy, turn: Iterator[Json]) -> None:
        for query in turn:
            if not await self._answered(line, query):
                return

    async def _answered(self, line: Pharmacy, query: Json) -> bool:
        body = orjson.dumps(query if self._finess is None else {**query, "finess": self._finess})
        while True:
            try:
                reply = await line.ask(body)
            except (aiohttp.ClientError, TimeoutError):
                self._truth.lost.append((self._client, person_of(query)))
                await asyncio.sleep(0.05)
                continue
            if reply.status != 200:
                self._truth.refused[orjson.loads(reply.body)["type"]] += 1
                return False
            self._truth.told.append(told(self._client, query, reply.body))
            return True


async def ask_at_once(*asking: tuple[Caller, Iterable[Json]]) -> None:
    """Let callers ask at the same time."""
    async with AsyncExitStack() as stack:
        for caller, _ in asking:
            await stack.enter_async_context(caller)
        await asyncio.gather(*[caller.ask(queries) for caller, queries in asking])


def told(client: str, query: Json, body: bytes) -> Told:
    """What a response tells, and where its receipt says that it is recorded."""
    response = orjson.loads(body)
    payload = response["receipt"]["head"].split(".")[1]
    head = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return Told(client, person_of(query), head["at"], head["journal"], response["answer"], body)


def summary(answers: Sequence[Told], *, exact: bool) -> Json:
    """What the report must say of these answers; without the key a person counts once in each segment, at most."""
    people: defaultdict[object, set[str]] = defaultdict(set)
    for one in answers:
        if one.person is not None:
            key = one.person if exact else (one.journal, one.person)
            people[key] |= one.categories if exact else AT_MOST[one.disclosed]
    counts: dict[str, Counter[str]] = {
        "disclosed": Counter(one.disclosed for one in answers),
        "statuses": Counter(one.answer["status"] for one in answers),
        "modes": Counter(one.answer["mode"] for one in answers),
        "snapshots": Counter(str(one.answer["source"]["snapshot"]) for one in answers),
        "finess": Counter(one.answer["for"]["finess"] for one in answers),
        "days": Counter(day_of(one.at) for one in answers),
    }
    return {
        "answers": len(answers),
        "fictitious": sum(one.person is None for one in answers),
        "first": min((one.at for one in answers), default=None),
        "last": max((one.at for one in answers), default=None),
        "people": {
            "asked": len(people),
            "disclosed": sum(map(bool, people.values())),
            "contract": sum(bool(found & CARD) for found in people.values()),
            "categories": {
                name: sum(name in found for found in people.values()) for name in ("identity", "status", *OF_CONTRACT)
            },
        },
        **{name: dict(found) for name, found in counts.items()},
    }


def concerned(answers: Sequence[Told]) -> dict[str, dict[Person, Json]]:
    """By AMC, whom it has to tell, and of what."""
    found: dict[str, dict[Person, Json]] = defaultdict(dict)
    for one in answers:
        by_amc: defaultdict[str, list[Json]] = defaultdict(list)
        for contract in one.answer["contracts"]:
            by_amc[contract["amc"]].append(contract)
        for amc, contracts in by_amc.items():
            assert one.person is not None
            line = found[amc].setdefault(one.person, {"members": set(), "categories": set(), "at": []})
            line["members"] |= {contract["member"] for contract in contracts if "member" in contract}
            line["categories"] |= {"identity", "status"}.union(*map(categories_of, contracts))
            line["at"].append(one.at)
    return found


def day_of(at: str) -> str:
    """The day in Paris."""
    return dt.datetime.fromisoformat(at).astimezone(PARIS).date().isoformat()
