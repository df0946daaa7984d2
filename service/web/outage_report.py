"""Telling the second store what was answered without it, so that whoever looks on sees what each client read."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Final

from service.control.outages import Answered, Outages, Share
from service.errors import StoreUnavailable
from service.web.charging import Charging
from service.web.lending import KEPT_DAYS

TELL_SECONDS: Final = 5.0


class OutageReport:
    """One worker's report. `await start()` once charging has begun, `close()` once it has ended."""

    def __init__(self, charging: Charging, outages: Outages, share: Share) -> None:
        self._charging = charging
        self._outages = outages
        self._share = share
        #: By day, so that what was answered before midnight is not lost with a store that is back after it.
        self._answered: dict[str, Answered] = {}
        self._told: dict[str, Answered] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Tell every few seconds what is new."""
        self._task = asyncio.create_task(self._go_on(), name="outage-report")

    async def tell(self) -> None:
        """Tell what is new; what the store does not take is told the next time."""
        day, answered = self._charging.outage_answered()
        self._answered[day] = answered
        for one in sorted(self._answered):
            news = self._answered[one]
            if news != self._told.get(one, {}):
                before = (dt.date.fromisoformat(one) - dt.timedelta(KEPT_DAYS)).isoformat()
                try:
                    await asyncio.to_thread(self._outages.tell, self._share, one, news, before)
                except StoreUnavailable:
                    return
                self._told[one] = news
            if one < day:
                del self._answered[one]
                self._told.pop(one, None)

    async def close(self) -> None:
        """Tell for the last time."""
        if self._task is not None:
            self._task.cancel()
        await self.tell()

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            await self.tell()
