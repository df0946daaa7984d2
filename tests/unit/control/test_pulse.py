from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.control.fleet import FleetStore
from service.control.pulse import Pulse, Serving


async def until(condition) -> None:  # noqa: ANN001 - any callable
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen within two seconds")


async def test_beats_at_once_when_nudged_and_retires_at_the_end(tmp_path: Path):
    FleetStore.create(tmp_path / "fleet.db")
    fleet, clock, serving = FleetStore(tmp_path / "fleet.db"), SystemClock(), [Serving(None, 0)]
    pulse = Pulse(fleet, clock, lambda: serving[-1], node="n", server="rights", worker=1, heartbeat_seconds=60)
    await pulse.start()
    assert [(b.sequence, b.order_version) for b in fleet.live(clock.now())] == [(None, 0)]
    serving.append(Serving(42, 7))
    pulse.nudge()
    await until(lambda: [(b.sequence, b.order_version) for b in fleet.live(clock.now())] == [(42, 7)])
    await pulse.close()
    assert fleet.live(clock.now()) == []
    fleet.close()


async def test_lost_store_is_counted_and_tried_again(tmp_path: Path):
    fleet = FleetStore(tmp_path / "fleet.db")
    pulse = Pulse(fleet, SystemClock(), lambda: Serving(1, 1), node="n", server="admin", worker=1, heartbeat_seconds=60)
    await pulse.start()
    assert pulse.failures == 1
    FleetStore.create(tmp_path / "fleet.db")
    await until(lambda: pulse.failures == 0)
    await pulse.close()
    fleet.close()


@pytest.mark.parametrize("turns", range(6))
async def test_a_nudge_just_before_the_end_does_not_keep_it_from_ending(tmp_path: Path, turns: int):
    FleetStore.create(tmp_path / "fleet.db")
    fleet = FleetStore(tmp_path / "fleet.db")
    identity = {"node": "n", "server": "rights", "worker": 0, "heartbeat_seconds": 60.0}
    pulse = Pulse(fleet, SystemClock(), lambda: Serving(1, 1), **identity)
    await pulse.start()
    await asyncio.sleep(0)
    pulse.nudge()
    for _ in range(turns):
        await asyncio.sleep(0)
    closing = asyncio.create_task(pulse.close())
    _, hanging = await asyncio.wait({closing}, timeout=5)
    assert not hanging
    fleet.close()
