"""A worker's budgets over a real store, a clock that can be set, and a journal in memory."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from service.access.allowance import Charge
from service.access.clients import Client, parse_client
from service.control.fleet import FleetStore
from service.control.leases import SqliteLeaseStore
from service.errors import BudgetExhausted
from service.journal.charges import Charges
from service.settings import BudgetSettings
from service.web.charging import Charging
from service.web.lending import Lender
from tests.unit.access.forge import Bench

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
DAY = "2024-02-05"
FINESS = "750012346"
_JWK = dict(Bench().owner.public.jwk)


def pharmacy(daily: int = 100, burst: int = 100_000, **members: Any) -> Client:
    body = {"class": "pharmacy", "finess": [FINESS], "keys": [_JWK], "daily": daily, "burst": burst, **members}
    return parse_client("p", body)


def hub(daily: int, pharmacies: int) -> Client:
    body = {"class": "hub", "finess": [FINESS], "keys": [_JWK], "daily": daily, "burst": 100_000}
    return msgspec.structs.replace(parse_client("hub", body), finess=tuple(map(str, range(pharmacies))))


class SetClock:
    def __init__(self) -> None:
        self.seconds = 0.0
        #: By how much the monotonic clock ran on while the wall clock stood.
        self.monotonic_more = 0.0

    def now(self) -> dt.datetime:
        return NOW + dt.timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return 1000.0 + self.seconds + self.monotonic_more


@dataclass
class Fleet:
    """Workers over one store. `journal` holds what each slot recorded, as (lease, about nobody known)."""

    path: Path
    clock: SetClock = field(default_factory=SetClock)
    slots: int = 2
    lease: int = 20
    journal: dict[int, list[tuple[int, bool]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        FleetStore.create(self.path)
        self.store = SqliteLeaseStore(self.path)

    def lender(self, slot: int = 0) -> Lender:
        return Lender(self.store, self.clock, lambda _: self.counted(slot), f"n/{slot}")

    def counted(self, slot: int) -> Charges:
        charges = Charges()
        for lease, unknown in self.journal.get(slot, []):
            by_lease, by_day = (lease, "p", FINESS), (DAY, lease, "p", FINESS)
            one, other = charges.by_lease.get(by_lease, (0, 0))
            charges.by_lease[by_lease] = charges.by_day[by_day] = one + 1, other + unknown
        return charges

    async def worker(self, slot: int = 0) -> Worker:
        settings = BudgetSettings(lease_lookups=self.lease)
        charging = Charging(self.lender(slot), self.clock, settings, self.slots)
        await charging.start()
        return Worker(self, charging, slot)


@dataclass
class Worker:
    """Answers as far as its budget goes."""

    fleet: Fleet
    charging: Charging
    slot: int

    async def take(self, client: Client, finess: str = FINESS) -> Charge:
        while True:
            charge = self.charging.take(client, finess, self.fleet.clock.now())
            if charge is not None:
                return charge
            await self.charging.drawn(client, finess)

    async def answer(self, client: Client, finess: str = FINESS, *, unknown: bool = False) -> None:
        charge = await self.take(client, finess)
        self.fleet.journal.setdefault(self.slot, []).append((charge.lease, unknown))
        charge.recorded(unknown=unknown)

    async def answer_all(
        self, client: Client, finess: str = FINESS, most: int = 10_000, *, unknown: bool = False
    ) -> int:
        """How many were answered before the budget said no."""
        for number in range(most):
            try:
                await self.answer(client, finess, unknown=unknown)
            except BudgetExhausted:
                return number
        return most

    def die(self) -> None:
        """As after kill -9: nothing is settled, and nobody hears of it again."""
        for task in self.charging._tasks:
            task.cancel()


async def turns(number: int = 20) -> None:
    """Let what was begun in the background go on."""
    for _ in range(number):
        await asyncio.sleep(0.005)
