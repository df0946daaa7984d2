from __future__ import annotations

import asyncio
import datetime as dt
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from service.clock import SystemClock
from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.replica import Replica
from service.control.state import View
from service.control.store import SqliteOrderStore
from service.control.watch import Watcher
from service.errors import NoSnapshot
from tests.unit.control.control_chain import HOUR, KEY, KEYS, NOON


class HandClock:
    """Time moved by hand."""

    def __init__(self) -> None:
        self.wall = NOON
        self.seconds = 0.0

    def now(self) -> dt.datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds


class Scene:
    """A watched node, somebody who gives orders, and what the worker was told."""

    def __init__(self, root: Path) -> None:
        self.db = root / "orders.db"
        SqliteOrderStore.create(self.db)
        self.clock = HandClock()
        self.seen: list[View] = []
        self.fails = False
        self.ledger = self.open(root / "node" / "orders.jsonl")
        self.other = self.open(root / "other" / "orders.jsonl")
        self.watcher = Watcher(self.ledger, self.clock, 0.01, self.apply)

    def open(self, copy: Path) -> Ledger:
        ledger = Ledger(SqliteOrderStore(self.db, busy_seconds=0.05), KEYS, Replica(copy))
        ledger.open()
        return ledger

    async def apply(self, view: View) -> None:
        if self.fails:
            raise NoSnapshot("the snapshot does not open")
        self.seen.append(view)

    def order(self, mode: str, **members: Any) -> int:
        body = {"mode": mode}
        intent = Intent(kind="mode.set", scope="*", body=body, reason="exercise", actor="cli:test", **members)
        return self.other.issue(intent, KEY, NOON).version

    @property
    def modes(self) -> list[str]:
        return [view.mode_for(None).mode for view in self.seen]


@pytest.fixture
def scene(tmp_path: Path):
    made = Scene(tmp_path)
    yield made
    made.ledger.close()
    made.other.close()


async def test_each_change_is_told_once(scene: Scene):
    await scene.watcher.tick()
    scene.order("suspended")
    for _ in range(3):
        await scene.watcher.tick()
    assert scene.modes == ["degraded", "suspended"]
    assert (scene.watcher.status.applied_version, scene.watcher.status.error) == (1, None)
    assert scene.watcher.view.version == 1


async def test_end_of_an_order_takes_effect_without_another(scene: Scene):
    scene.order("suspended", until=NOON + HOUR)
    await scene.watcher.tick()
    scene.clock.wall += HOUR - dt.timedelta(milliseconds=1)
    await scene.watcher.tick()
    scene.clock.wall += dt.timedelta(milliseconds=1)
    await scene.watcher.tick()
    assert scene.modes == ["suspended", "degraded"]


async def test_clock_gone_back_brings_the_suspension_back(scene: Scene):
    scene.order("suspended", until=NOON + HOUR)
    scene.clock.wall += 2 * HOUR
    await scene.watcher.tick()
    scene.clock.wall -= 48 * HOUR
    await scene.watcher.tick()
    assert scene.modes == ["degraded", "suspended"]


async def test_what_cannot_be_applied_is_tried_again_each_second(scene: Scene):
    scene.fails = True
    await scene.watcher.tick()
    assert "does not open" in scene.watcher.status.error
    scene.fails = False
    await scene.watcher.tick()
    assert scene.seen == []
    scene.clock.seconds += 1
    await scene.watcher.tick()
    assert len(scene.seen) == 1
    assert scene.watcher.status.error is None


async def test_lost_store_is_said_and_forgotten_on_its_return(scene: Scene):
    scene.order("suspended")
    await scene.watcher.tick()
    away = scene.db.with_name("away.db")
    scene.db.rename(away)
    await scene.watcher.tick()
    assert scene.watcher.status.error
    assert scene.modes == ["suspended"]
    away.rename(scene.db)
    scene.order("degraded")
    await scene.watcher.tick()
    assert (scene.modes, scene.watcher.status.error) == (["suspended", "degraded"], None)


async def test_store_that_answers_again_unchanged_ends_the_error(scene: Scene):
    await scene.watcher.tick()
    away = scene.db.with_name("away.db")
    scene.db.rename(away)
    await scene.watcher.tick()
    away.rename(scene.db)
    scene.clock.seconds += 1
    await scene.watcher.tick()
    assert scene.watcher.status.error is None


async def test_copy_that_could_not_be_written_is_made_good_without_a_further_order(scene: Scene, tmp_path: Path):
    node = tmp_path / "node"
    (node / "orders.jsonl").unlink(missing_ok=True)
    (node / "orders.jsonl").mkdir(parents=True)
    scene.order("suspended")
    await scene.watcher.tick()
    assert scene.modes == ["suspended"]
    assert scene.ledger.status.copy_error
    (node / "orders.jsonl").rmdir()
    scene.clock.seconds += 1
    await scene.watcher.tick()
    assert scene.ledger.status.copy_error is None
    assert (node / "orders.jsonl").is_file()


async def test_loop_goes_on_while_the_store_is_locked(scene: Scene):
    await scene.watcher.tick()
    holder = sqlite3.connect(scene.db, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    loop = asyncio.get_running_loop()
    started = loop.time()
    await scene.watcher.tick()
    assert loop.time() - started < 0.05
    assert scene.watcher.status.error is None
    holder.execute("ROLLBACK")
    holder.close()


async def test_followed_within_a_second_in_the_background(tmp_path: Path):
    scene = Scene(tmp_path)
    watcher = Watcher(scene.ledger, SystemClock(), 0.05, scene.apply)
    await watcher.start()
    await asyncio.to_thread(scene.order, "suspended")
    for _ in range(20):
        await asyncio.sleep(0.05)
        if scene.modes[-1] == "suspended":
            break
    await watcher.close()
    assert scene.modes == ["degraded", "suspended"]
    scene.ledger.close()
    scene.other.close()
