"""The one rights worker that judges: whoever holds the seat counts all workers' marks and has them judged.

The seat is a lock in the home, which the kernel frees when its holder dies, however it dies: another worker takes it
within a second and goes on from what was kept. All work is done in a thread of its own, five times a second.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from service import telemetry
from service.access.counters import local_hour
from service.access.marks import unpack
from service.access.sentinel import Action, Policy, Sentinel
from service.clock import Clock
from service.control.ledger import Ledger
from service.control.marks import Batch, MarkStore, Seat
from service.errors import OperatorError, StoreUnavailable
from service.locks import ALONE, locked
from service.paris import PARIS
from service.sentinel.bailiff import Bailiff
from service.sentinel.memory import Kept, Memory
from service.sentinel.sentence import is_watched
from service.sentinel.witness import KEY_BYTES, PERIOD_DAYS

LOCK_FILE: Final = "sentinel.lock"
TURN_SECONDS: Final = 0.2
_SEAT_SECONDS: Final = 1.0
#: Between two saves where nothing was decided; what was counted since is counted again from the store of marks.
_SAVE_SECONDS: Final = 60.0
#: Marks made just before an hour ended come a little later: the hour is over for the judge only then.
_LATE_SECONDS: Final = 2.0
_BATCHES_AT_ONCE: Final = 500
#: After a fault of its own the judge begins again from what was kept.
_FAULT_PAUSE_SECONDS: Final = 5.0
_NEVER: Final = dt.datetime.max.replace(tzinfo=dt.UTC)
_LOG: Final = structlog.get_logger(__name__)


class Bench(NamedTuple):
    """What the judge works with: where its lock lies, what it remembers, where marks come from, who carries out."""

    lock: Path
    memory: Memory
    marks: MarkStore
    bailiff: Bailiff
    ledger: Ledger
    policy: Policy


class _Session:
    """From taking the seat to leaving it."""

    def __init__(self, bench: Bench, now: dt.datetime) -> None:
        self._bench = bench
        known = bench.memory.load()
        if known is None:
            self.sentinel = Sentinel(_hour(now), bench.policy)
            self.kept = Kept(self.sentinel.standing())
        else:
            self.kept, sheets = known
            self.sentinel = Sentinel.recalled(self.kept.standing, sheets, bench.policy)
        self._dirty: set[str] = set()
        self._urgent = known is None
        self._saved_at = self._latest = 0.0
        self._watch_version, self._watch_ends, self._watch_reports = -1, now, frozenset[str]()
        self.look_at_store()
        bench.bailiff.remind(now)

    def look_at_store(self) -> None:
        """A store made anew counts from the beginning, and its keys are others; one that went back, from where it is.

        A power cut or a backup put in its place takes it back: its next batches bear numbers that were counted before.
        """
        epoch = self._bench.marks.epoch(lambda: secrets.token_bytes(KEY_BYTES))
        if epoch != self.kept.epoch:
            if self.kept.epoch:
                _LOG.error("marks_store_anew")
                self.sentinel.begin_period()
            self.kept.epoch, self.kept.counted = epoch, 0
        self.kept.counted = min(self.kept.counted, self._bench.marks.last())

    def work(self, now: dt.datetime) -> None:
        """Count what came, judge, carry out, and keep what must not be forgotten."""
        actions: list[Action] = []
        while batches := self._bench.marks.read(self.kept.counted, _BATCHES_AT_ONCE):
            for batch in batches:
                actions += self._come_to(min(batch.hour, _hour(now)), now)
                self._count(batch)
            if len(batches) < _BATCHES_AT_ONCE:
                break
        actions += self._come_to(_hour(now - dt.timedelta(seconds=_LATE_SECONDS)), now)
        actions += self.sentinel.judge(self._seconds(now), self._reports(now))
        self._bench.bailiff.carry_out(actions, self.kept, now)
        went_on = self._bench.bailiff.go_on(self.sentinel, self.kept, now)
        self._dirty |= {action.finess for action in actions}
        self._urgent |= went_on or bool(actions)
        if self._urgent or (self._dirty and now.timestamp() >= self._saved_at + _SAVE_SECONDS):
            self.save(now)

    def save(self, now: dt.datetime) -> None:
        """Keep all that changed; then the marks it rests on may go."""
        self.kept.standing = self.sentinel.standing()
        sheets = {finess: sheet for finess in self._dirty if (sheet := self.sentinel.sheet(finess)) is not None}
        self._saved_at = now.timestamp()
        if self._bench.memory.save(self.kept, sheets):
            self._dirty, self._urgent = set(), False
            if self.kept.counted:
                self._bench.marks.drop(self.kept.counted)

    def _count(self, batch: Batch) -> None:
        for (client, finess), marks in batch.marks.items():
            for packed in marks:
                self.sentinel.count(client, finess, unpack(packed), batch.hour)
            self._dirty.add(finess)
        self.kept.counted = batch.id

    def _come_to(self, hour: int, now: dt.datetime) -> list[Action]:
        actions = self.sentinel.begin_hour(hour, self._seconds(now), self._reports(now))
        period = hour // 24 // PERIOD_DAYS
        if period != self.kept.period and hour == self.sentinel.fleet.hour:
            if self.kept.period:
                self.sentinel.begin_period()
                self._dirty |= self.sentinel.pharmacies()
            self.kept.period = period
        return actions

    def _reports(self, now: dt.datetime) -> frozenset[str]:
        """The clients that are only watched, by an order that has not ended."""
        state = self._bench.ledger.state
        if state.version != self._watch_version or now >= self._watch_ends:
            known = {name: client.at(now) for name, client in state.clients.items()}
            self._watch_version = state.version
            self._watch_ends = min((one.until for one in known.values() if one.until is not None), default=_NEVER)
            self._watch_reports = frozenset(name for name, one in known.items() if is_watched(one))
        return self._watch_reports

    def _seconds(self, now: dt.datetime) -> float:
        """Never before an earlier one, whatever the clock does."""
        self._latest = max(self._latest, now.timestamp())
        return self._latest


class Judge:
    """Tries to take the seat and, once it has it, works until the end. `await start()`, `await close()`."""

    def __init__(self, bench: Bench, clock: Clock) -> None:
        self._bench = bench
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "sentinel")
        self._lock = ExitStack()
        self._session: _Session | None = None
        self._seated = False
        self._next_try = self._seat_told = float("-inf")
        self._down = False
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="judge")

    async def close(self) -> None:
        """Keep what is known and leave the seat."""
        self._closing.set()
        if self._task is not None:
            await self._task
        await asyncio.get_running_loop().run_in_executor(self._thread, self._leave)
        self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            await loop.run_in_executor(self._thread, self._turn)
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await self._closing.wait()
            except TimeoutError:
                continue

    def _turn(self) -> None:
        monotonic = self._clock.monotonic()
        if monotonic < self._next_try:
            return
        try:
            if self._seated or self._take_seat(monotonic):
                self._work(monotonic)
            self._is_down(None)
        except StoreUnavailable as error:
            self._next_try = monotonic + _SEAT_SECONDS
            self._is_down(error.detail)
        except Exception as error:  # noqa: BLE001 - a fault in judging must not end it
            _LOG.error("judge_failed", error=type(error).__name__, frames=telemetry.frames(error))
            self._session = None
            self._next_try = monotonic + _FAULT_PAUSE_SECONDS

    def _work(self, monotonic: float) -> None:
        now = self._clock.now()
        if self._session is None:
            self._session = _Session(self._bench, now)
            _LOG.info("judge_begins", pharmacies=self._session.sentinel.fleet.pharmacies)
        if monotonic >= self._seat_told + _SEAT_SECONDS:
            self._session.look_at_store()
            self._bench.marks.take_seat(Seat(now, self._bench.bailiff.alarm(now)))
            self._seat_told = monotonic
        self._session.work(now)

    def _take_seat(self, monotonic: float) -> bool:
        try:
            self._lock.enter_context(locked(self._bench.lock, ALONE, "another worker judges"))
        except OperatorError:
            self._next_try = monotonic + _SEAT_SECONDS
            return False
        self._seated = True
        return True

    def _leave(self) -> None:
        if self._session is not None:
            try:
                self._session.save(self._clock.now())
            except StoreUnavailable as error:
                _LOG.error("judge_store_unavailable", error=error.detail)
        self._lock.close()

    def _is_down(self, why: str | None) -> None:
        if why is not None and not self._down:
            _LOG.error("judge_store_unavailable", error=why)
        self._down = why is not None


def _hour(now: dt.datetime) -> int:
    return local_hour(now.astimezone(PARIS))
