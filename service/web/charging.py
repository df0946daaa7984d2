"""Charging answers to the daily budgets: leases drawn ahead in a thread, settled with what they came to.

An answer is worked out only with a charge in hand, and a charge is only ever a part of a lease from the store, or of
this worker's outage share while the store cannot be reached.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from typing import Final

import msgspec

from service.access.allowance import OUTAGE_LEASE, Allowance, Charge, Held
from service.access.bucket import REFILL_PER_SECOND
from service.access.budget import Limits, Shares, grantable, left_of, limits_of, outage_limits
from service.access.clients import Client
from service.clock import Clock
from service.errors import BudgetExhausted, Limit, TooFast
from service.paris import paris_date, paris_day
from service.settings import BudgetSettings
from service.spent import Spent
from service.web.lending import DOWN_SECONDS, STALL_SECONDS, Lender

#: A refused client's next lookups do not ask the store again before: another worker may have returned some by then.
REFUSED_SECONDS: Final = 5.0
SWEEP_SECONDS: Final = 5.0
_DAY_SECONDS: Final = 86_400


class ChargingStatus(msgspec.Struct, frozen=True):
    """For readiness: since when the store cannot be reached, and what was lent from the outage share today."""

    down_since: dt.datetime | None
    outage_lookups: int
    unsettled: int


class _Account:
    """One (client, FINESS) today: what is in hand, and how the store stands."""

    def __init__(self, client: Client, finess: str, day: str, now: float) -> None:
        self.client, self.finess, self.day = client, finess, day
        self.allowance = Allowance(now)
        self.drawing: asyncio.Task[None] | None = None
        self.refused_until = 0.0
        self.left_in_store = 0
        #: Lookups that wait for what is being drawn, and how many did lately: batches may want many at once.
        self.waiting = self.pace = 0


class Charging:
    """The budgets as one worker sees them. `await start()` before the first charge, `close()` after the last answer."""

    def __init__(self, lender: Lender, clock: Clock, settings: BudgetSettings, slots: int) -> None:
        """`slots` is how many workers share the outage share."""
        self._lender = lender
        self._clock = clock
        self._settings = settings
        self._slots = slots
        self._day = ""
        self._ends = clock.now()
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._leaving: list[_Account] = []
        self._shares = Shares()
        self._outage_lookups = 0
        self._seeded = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to settle what a predecessor left, in the background, and to give back what lies idle."""
        self._lender.start()
        self._turn(self._clock.now())
        self._tasks = [asyncio.create_task(work, name="budgets") for work in (self._inherit(), self._sweep())]

    @property
    def status(self) -> ChargingStatus:
        """Where the budgets stand."""
        return ChargingStatus(self._lender.down_since, self._outage_lookups, self._lender.unsettled)

    def outage_answered(self) -> tuple[str, dict[tuple[str, str], Spent]]:
        """Today, and what was answered from the outage share on it, by client and FINESS."""
        answered = self._shares.spent()
        for key, account in self._accounts.items():
            if key in answered:
                left, others = account.allowance.in_hand(OUTAGE_LEASE)
                lookups, unknown = answered[key]
                answered[key] = lookups - left, unknown - others
        return self._day, {key: spent for key, spent in answered.items() if spent[0]}

    def take(self, client: Client, finess: str, now: dt.datetime) -> Charge | None:
        """A charge for one lookup; None where one must be waited for (`drawn`).

        Raises `TooFast`, and `BudgetExhausted` where the day's lookups are used up.
        """
        if now >= self._ends:
            self._turn(now)
        account, monotonic = self._account(client, finess), self._clock.monotonic()
        try:
            charge = account.allowance.take(client.burst, monotonic)
        except TooFast as error:
            raise TooFast(error.detail, seconds=error.seconds, limits=self._limits(account, now)) from None
        refused = monotonic < account.refused_until
        if charge is None and refused:
            seconds = (self._ends - now).total_seconds()
            raise BudgetExhausted("this day's lookups are used up", seconds=seconds, limits=self._limits(account, now))
        account.waiting += charge is None
        low = account.allowance.left <= self._wanted(account) // 4
        if low and not refused and account.drawing is None:
            account.drawing = asyncio.create_task(self._draw(account), name="draw-lease")
        return charge

    def drawn(self, client: Client, finess: str) -> asyncio.Future[None]:
        """Done once the draw that `take` began has come to something; ask `take` again then."""
        account = self._accounts.get((client.id, finess))
        if account is not None and account.drawing is not None:
            return account.drawing
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        over.set_result(None)
        return over

    async def close(self) -> None:
        """Give everything back."""
        for task in self._tasks:
            task.cancel()
        drawing = [account.drawing for account in self._accounts.values() if account.drawing is not None]
        if drawing:
            await asyncio.wait(drawing, timeout=2 * STALL_SECONDS)
        for account in (*self._accounts.values(), *self._leaving):
            self._owe(account, account.allowance.given_up())
        await self._lender.close()

    def _account(self, client: Client, finess: str) -> _Account:
        account = self._accounts.get((client.id, finess))
        if account is None:
            account = _Account(client, finess, self._day, self._clock.monotonic())
            self._accounts[client.id, finess] = account
        elif account.client is not client:
            account.client, account.refused_until = client, 0.0  # an order may have changed its limits
        return account

    def _turn(self, now: dt.datetime) -> None:
        """A new day in Paris: yesterday's leases pay for nothing any more."""
        self._day, self._ends = paris_date(now).isoformat(), paris_day(now)[1]
        self._leaving += self._accounts.values()
        self._accounts, self._shares, self._outage_lookups = {}, Shares(), 0

    def _limits(self, account: _Account, now: dt.datetime) -> tuple[Limit, ...]:
        burst, monotonic = account.client.burst, self._clock.monotonic()
        left = account.allowance.left + account.left_in_store
        resets = int((self._ends - now).total_seconds())
        return (
            Limit(
                "daily", account.client.daily, _DAY_SECONDS, 0 if monotonic < account.refused_until else left, resets
            ),
            Limit("burst", burst, max(1, int(burst / REFILL_PER_SECOND)), account.allowance.burst_left(burst), 1),
        )

    async def _draw(self, account: _Account) -> None:
        """Put a lease in hand, from the store or from the outage share; or note that there is none."""
        try:
            self._owe(account, account.allowance.settled())
            limits = limits_of(account.client, self._settings.hub_ceiling_percent)
            account.pace = max(account.waiting, account.pace // 2)
            wanted = self._wanted(account)
            grant = functools.partial(grantable, limits, wanted)
            lease = await self._lender.draw(account.day, account.client.id, account.finess, grant)
            if lease is None:
                await self._from_share(account, limits, wanted)
                return
            spent = lease.of_pharmacy[0] + lease.granted, lease.of_pharmacy[1] + lease.granted
            account.left_in_store = left_of(limits, spent, (lease.of_client[0] + lease.granted, lease.of_client[1]))
            self._receive(account, lease.id, lease.granted)
        finally:
            account.drawing, account.waiting = None, 0  # whoever still waits asks again

    def _wanted(self, account: _Account) -> int:
        return self._settings.lease_lookups + 2 * account.pace

    def _receive(self, account: _Account, lease_id: int, granted: int) -> None:
        if granted:
            account.allowance.add(lease_id, granted)
        else:
            account.refused_until = self._clock.monotonic() + REFUSED_SECONDS

    async def _from_share(self, account: _Account, limits: Limits, wanted: int) -> None:
        """Lend from this worker's outage share, once it is known what its journal charged to it already."""
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._seeded.wait()
        except TimeoutError:
            account.refused_until = self._clock.monotonic() + DOWN_SECONDS
            return
        if account.day != self._day:
            return
        share = outage_limits(limits, self._slots)
        granted = self._shares.draw(account.client.id, account.finess, share, wanted)
        account.left_in_store = 0
        self._outage_lookups += granted
        self._receive(account, OUTAGE_LEASE, granted)

    def _owe(self, account: _Account, leases: list[Held]) -> None:
        """These leases are over: the store shall know what they came to."""
        for held in leases:
            if held.id != OUTAGE_LEASE:
                client = account.client.id
                self._lender.owe(held.id, account.day, client, account.finess, held.granted, held.spent)
            elif account.day == self._day:
                self._shares.settle(account.client.id, account.finess, held.granted, held.spent)
                self._outage_lookups -= held.granted - held.used

    async def _inherit(self) -> None:
        """What a predecessor left open is settled, and what it charged to the outage share today is charged."""
        day = self._day
        charges = await self._lender.inherit(dt.date.fromisoformat(day), count=not self._seeded.is_set())
        if charges is None or self._seeded.is_set():
            return
        if day == self._day:
            for (client, finess), spent in charges.of_day(day, OUTAGE_LEASE).items():
                self._shares.add(client, finess, spent)
                self._outage_lookups += spent[0]
        self._seeded.set()

    async def _sweep(self) -> None:
        forgotten = ""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.give_back_idle()
            await self._lender.settle()
            if self._lender.inherits:
                await self._inherit()
            if forgotten != self._day:
                forgotten = self._day
                await self._lender.forget(dt.date.fromisoformat(self._day))

    def give_back_idle(self) -> None:
        """What nobody asked for in a while is for other workers to lend; an account at rest is forgotten."""
        monotonic = self._clock.monotonic()
        for key, account in list(self._accounts.items()):
            self._owe(account, account.allowance.settled())
            idle = monotonic - account.allowance.touched
            if account.drawing is not None or idle < self._settings.idle_seconds:
                continue
            self._owe(account, account.allowance.given_up())
            if account.allowance.empty and idle > account.client.burst / REFILL_PER_SECOND:
                del self._accounts[key]
        for account in self._leaving:
            self._owe(account, account.allowance.given_up())
        self._leaving = [account for account in self._leaving if not account.allowance.empty or account.drawing]
