"""A worker's part of the sentinel: a mark of every recorded answer, handed over twice a second, a canary's at once."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import secrets
from typing import Final

import msgspec
import structlog

from service.access.counters import local_hour
from service.access.marks import Mark, Marker
from service.clock import Clock
from service.control.marks import MarkStore, Seat
from service.errors import StoreUnavailable
from service.paris import PARIS
from service.rights.model import Query

HAND_OVER_SECONDS: Final = 0.5
#: While the store is away; some 3 MB of them.
MOST_WAITING: Final = 50_000
#: A period key lives four weeks (`access.marks.Marker`).
PERIOD_DAYS: Final = 28
KEY_BYTES: Final = 32
_KEYS_EVERY_SECONDS: Final = 60.0
_SEAT_EVERY_SECONDS: Final = 1.0
_LOG: Final = structlog.get_logger(__name__)

_Marks = dict[tuple[str, str], list[int]]


class WitnessStatus(msgspec.Struct, frozen=True):
    """For readiness: since when marks cannot be handed over, how many wait, were lost; what the judge said last.

    `began` is when this worker did: before that it heard nobody.
    """

    began: dt.datetime
    down_since: dt.datetime | None
    waiting: int
    lost: int
    seat: Seat | None


class Witness:
    """Makes marks and hands them over; `await start()` before the first answer, `await close()` after the last.

    While the store is away marks wait, up to `MOST_WAITING`; beyond, and while a day has no key, they are lost, and the
    log says so. A canary is never lost: its mark needs no key.
    """

    def __init__(self, store: MarkStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._markers: dict[int, Marker] = {}
        self._began = clock.now()
        self._hour, self._hour_ends = 0, self._began
        self._current: _Marks = {}
        self._waiting: list[tuple[int, _Marks]] = []
        self._count = self._lost = self._lost_told = 0
        self._canary = asyncio.Event()
        self._down_since: dt.datetime | None = None
        self._seat: Seat | None = None
        self._keys_at = self._seat_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def status(self) -> WitnessStatus:
        """How the handing over stands."""
        return WitnessStatus(self._began, self._down_since, self._count, self._lost, self._seat)

    async def start(self) -> None:
        """Fetch the keys and begin."""
        await self._turn()
        self._task = asyncio.create_task(self._run(), name="sentinel")

    def saw(self, client: str, query: Query, *, unknown: bool, canary: bool) -> None:
        """An answer was recorded."""
        now = self._clock.now()
        if now >= self._hour_ends:
            self._begin_hour(now)
        if self._count >= MOST_WAITING and not canary:
            self._lost += 1
            return
        marker = self._markers.get(self._hour // 24)
        if marker is not None:
            mark = _mark(marker, query, unknown=unknown, canary=canary)
        elif canary:
            mark = Mark(0, 0, 0, unknown, canary)
        else:
            self._lost += 1
            return
        self._current.setdefault((client, query.finess), []).append(mark.packed())
        self._count += 1
        if canary:
            self._canary.set()

    async def close(self) -> None:
        """Hand over what is left."""
        self._closing = True
        self._canary.set()
        if self._task is not None:
            await self._task
        await self._turn()

    async def _run(self) -> None:
        while not self._closing:
            # Not wait_for: until Python 3.12 it swallows a cancellation that comes just after a nudge.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_OVER_SECONDS):
                    await self._canary.wait()
            self._canary.clear()
            await self._turn()

    def _begin_hour(self, now: dt.datetime) -> None:
        paris = now.astimezone(PARIS)
        self._set_aside()
        self._hour = local_hour(paris)
        left = 3600 - paris.minute * 60 - paris.second
        self._hour_ends = now.replace(microsecond=0) + dt.timedelta(seconds=left)

    def _set_aside(self) -> None:
        if self._current:
            self._waiting.append((self._hour, self._current))
            self._current = {}

    async def _turn(self) -> None:
        """Keys, marks and the judge's word: what is due of it."""
        self._set_aside()
        handing, self._waiting = self._waiting, []
        try:
            await asyncio.to_thread(self._exchange, handing)
        except StoreUnavailable as error:
            if self._down_since is None:
                self._down_since = self._clock.now()
                _LOG.error("marks_not_handed_over", error=error.detail)
        else:
            if self._down_since is not None:
                _LOG.warning("marks_handed_over_again")
            self._down_since = None
        # `_exchange` took from the list what it handed over.
        self._waiting = handing + self._waiting
        self._count = sum(len(own) for _, marks in [*self._waiting, (0, self._current)] for own in marks.values())
        if self._lost > self._lost_told:
            _LOG.error("marks_lost", marks=self._lost - self._lost_told)
            self._lost_told = self._lost

    def _exchange(self, handing: list[tuple[int, _Marks]]) -> None:
        """In a thread. Raises `StoreUnavailable`."""
        while handing:
            self._store.hand_over(*handing[0])
            del handing[0]
        monotonic = self._clock.monotonic()
        if monotonic >= self._keys_at + _KEYS_EVERY_SECONDS or not self._markers:
            self._markers = self._fetch_keys(local_hour(self._clock.now().astimezone(PARIS)) // 24)
            self._keys_at = monotonic
        if monotonic >= self._seat_at + _SEAT_EVERY_SECONDS:
            self._seat, self._seat_at = self._store.seat(), monotonic

    def _fetch_keys(self, today: int) -> dict[int, Marker]:
        """Of today and, because the store may be away at midnight, of tomorrow."""
        return {day: self._marker(day) for day in (today, today + 1)}

    def _marker(self, day: int) -> Marker:
        day_key = self._store.key("day", day, _fresh)
        return Marker(day_key, self._store.key("period", day // PERIOD_DAYS, _fresh))


def _fresh() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _mark(marker: Marker, query: Query, *, unknown: bool, canary: bool) -> Mark:
    born, rank = query.birth_date, query.birth_rank
    if query.nir is not None:
        return marker.nir(query.nir, born, rank, unknown=unknown, canary=canary)
    return marker.member(query.amc or "", query.member or "", born, rank, unknown=unknown, canary=canary)
