"""A worker follows the orders: who may ask, which mode holds, which snapshot serves.

Modes and suspensions take effect at once; a snapshot is opened beside the one that serves, then one reference is
swapped. One that cannot be opened changes nothing: the last good one keeps serving, and readiness says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from service.control.pulse import Serving
from service.control.state import Activation, View
from service.errors import RelaisError
from service.rights.model import Knowledge
from service.snapshot.catalog import Catalog
from service.snapshot.crashes import Crashes
from service.snapshot.opened import Snapshot, open_snapshot
from service.snapshot.seen import Seen
from service.snapshot.supply import Code
from service.snapshot.trust import Trust
from service.snapshot.verify import Ordered
from service.web.context import Context

#: How long a start waits for the snapshot: a restarted worker should not take requests it cannot answer, and a very
#: large snapshot must not keep gunicorn from hearing of the worker.
START_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 2.0
#: Of many registrations that change at once, so many are parsed between two turns of the event loop: about 1 ms.
_SETTLED_AT_ONCE: Final = 16
#: How far the clock may lie behind a time already seen before what it says is doubted.
CLOCK_LEEWAY: Final = dt.timedelta(minutes=5)
#: Readiness is public; where this machine keeps its files is not.
_DIRECTORIES: Final = re.compile(r"(?:/[^/\s:']+)+/")
_LOG = structlog.get_logger(__name__)


@dataclass(slots=True)
class Vault:
    """Where snapshots lie and what opens them. Trust and peppers are read at each opening: both may be rotated.

    What was hashed when it was loaded, or when the server started, is not hashed by each worker again, unless a worker
    was killed by reading it.
    """

    catalog: Catalog
    load_trust: Callable[[dt.datetime], Trust]
    load_peppers: Callable[[], Mapping[str, bytes]]
    out_of_scope: Sequence[str]
    crashes: Crashes
    _by_notes: Seen = field(init=False)
    _by_itself: Seen = field(init=False, default_factory=Seen)

    def __post_init__(self) -> None:
        self._by_notes = Seen(self.catalog.notes)

    def open(self, activation: Activation, now: dt.datetime) -> tuple[Snapshot, Knowledge]:
        """The snapshot an order names, verified. Raises `TrustError`, `OSError`."""
        sequence, digest = activation.sequence, activation.digest
        with self.crashes.reading(sequence, digest):
            snapshot = open_snapshot(
                self.catalog.path(sequence),
                Ordered(sequence, digest),
                trust=self.load_trust(now),
                peppers=self.load_peppers(),
                now=now,
                bases=self.catalog.path,
                seen=self._by_itself if self.crashes.any_of(digest) else self._by_notes,
            )
        return snapshot, snapshot.knowledge(self.out_of_scope)


class Follower:
    """Keeps one worker's `Context` in step with the orders. The admin server has no vault and opens no snapshot."""

    def __init__(self, context: Context, vault: Vault | None) -> None:
        self._context = context
        self._vault = vault
        self._opening: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._wanted: Activation | None = None
        self._latest_seen = context.clock.now()
        self._warned: set[Code] = set()
        self.on_followed: Callable[[], None] = lambda: None

    async def follow(self, view: View) -> None:
        """Take a view over; where it names another snapshot, begin to open that one."""
        self._context.registry.update(view.clients)
        if self._context.registry.waiting and (self._settling is None or self._settling.done()):
            self._settling = asyncio.create_task(self._settle(), name="clients")
        self._publish(view, self._context.snapshot, self._context.knowledge)
        if self._vault is None or view.activation is None:
            return
        if self._serves(view.activation):
            # What an earlier order wanted, and is perhaps still being opened, must not take its place.
            self._wanted = self._context.refusal = None
            return
        self._wanted = view.activation
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="snapshot")

    def serving(self) -> Serving:
        """What this worker serves; asked at each heartbeat, it looks at clock and supply."""
        context = self._context
        if self._clock_suspect(context.knowledge, context.view) != context.clock_suspect:
            self._publish(context.view, context.snapshot, context.knowledge)
        self._log_supply()
        return Serving(
            sequence=None if context.snapshot is None else context.snapshot.sequence,
            order_version=context.view.version,
            upstream=None if context.upstream is None else context.upstream.status().phase,
        )

    def _log_supply(self) -> None:
        """Say a warning once when it comes and once when it goes."""
        supply = self._context.supply(self._context.clock.now())
        warned = {warning.code: warning.detail for warning in supply.warnings}
        for code, detail in warned.items():
            if code not in self._warned:
                _LOG.warning("supply_warning", code=code.value, detail=detail)
        for code in self._warned - warned.keys():
            _LOG.info("supply_warning_over", code=code.value)
        self._warned = set(warned)

    async def settled(self) -> None:
        """Wait, though not for ever, until the snapshot wanted at the start is open."""
        if self._opening is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._opening), START_SECONDS)

    async def close(self) -> None:
        """Stop what is under way, and let go of the snapshot."""
        for task in (self._opening, self._settling):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._context.snapshot is not None:
            self._context.snapshot.close()

    async def _settle(self) -> None:
        """Parse what a long list registered, between requests."""
        while self._context.registry.waiting:
            self._context.registry.settle(_SETTLED_AT_ONCE)
            await asyncio.sleep(0)

    def _serves(self, activation: Activation) -> bool:
        snapshot = self._context.snapshot
        return snapshot is not None and (snapshot.sequence, snapshot.digest) == (activation.sequence, activation.digest)

    async def _open(self) -> None:
        """Open what is wanted, again if that changed meanwhile, and again after a pause if it could not be opened."""
        vault = self._vault
        while vault is not None and self._wanted is not None:
            wanted = self._wanted
            try:
                snapshot, knowledge = await asyncio.to_thread(vault.open, wanted, self._context.clock.now())
            except (RelaisError, OSError) as error:
                if wanted is self._wanted:
                    self._refused(wanted, error)
                    await asyncio.sleep(RETRY_SECONDS)
                continue
            if wanted is self._wanted:
                self._wanted = None
                self._swap(snapshot, knowledge)
            else:
                snapshot.close()

    def _refused(self, wanted: Activation, error: Exception) -> None:
        reason = f"snapshot {wanted.sequence}: {_DIRECTORIES.sub('', str(error))}"
        if reason != self._context.refusal:
            _LOG.error("snapshot_refused", sequence=wanted.sequence, error=str(error))
        self._context.refusal = reason

    def _swap(self, snapshot: Snapshot, knowledge: Knowledge) -> None:
        """One step of the event loop: a lookup is not interrupted, so none can be under way in the former snapshot."""
        former = self._context.snapshot
        self._context.refusal = None
        self._publish(self._context.view, snapshot, knowledge)
        if former is not None:
            former.close()
        _LOG.info("snapshot_serves", sequence=snapshot.sequence)

    def _publish(self, view: View, snapshot: Snapshot | None, knowledge: Knowledge | None) -> None:
        self._context.follow(view, snapshot, knowledge, clock_suspect=self._clock_suspect(knowledge, view))
        self.on_followed()

    def _clock_suspect(self, knowledge: Knowledge | None, view: View) -> bool:
        """Whether the clock lies behind what this worker, the snapshot's signers or an order have already seen."""
        now = self._context.clock.now()
        seen = [self._latest_seen, now]
        seen += [] if knowledge is None else [knowledge.signed_at]
        seen += [] if view.activation is None else [view.activation.at]
        self._latest_seen = max(seen)
        return now < self._latest_seen - CLOCK_LEEWAY
