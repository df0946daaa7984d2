"""Waiting until every worker serves what was ordered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from service.clock import Clock
from service.control.fleet import FleetStore, Heartbeat

FOLLOW_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.05


def laggards(beats: list[Heartbeat], order_version: int, sequence: int | None) -> list[Heartbeat]:
    """Workers that do not follow order `order_version`, or rights workers that do not serve `sequence` (None: any)."""
    return [
        beat
        for beat in beats
        if beat.order_version < order_version
        or (sequence is not None and beat.server == "rights" and beat.sequence != sequence)
    ]


def wait_for_fleet(
    fleet: FleetStore,
    clock: Clock,
    order_version: int,
    sequence: int | None = None,
    timeout_seconds: float = FOLLOW_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Heartbeat]:
    """The live workers that still do not follow when the time is up; empty as soon as all do, or none lives.

    Raises `StoreUnavailable` if nobody can tell.
    """
    deadline = clock.monotonic() + timeout_seconds
    while True:
        behind = laggards(fleet.live(clock.now()), order_version, sequence)
        if not behind or clock.monotonic() >= deadline:
            return behind
        sleep(_PAUSE_SECONDS)


def describe_worker(beat: Heartbeat) -> str:
    """A worker and what it serves, in one line."""
    snapshot = "no snapshot" if beat.sequence is None else f"snapshot {beat.sequence}"
    upstream = "" if beat.upstream is None else f", upstream {beat.upstream}"
    return f"{beat.node} {beat.server} worker {beat.worker}: order {beat.order_version}, {snapshot}{upstream}"
