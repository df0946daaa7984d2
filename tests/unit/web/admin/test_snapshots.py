"""Long work behind a request: one at a time, and not to its end where nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from service.errors import SnapshotRefused
from service.snapshot.folder import Progress
from service.web.admin import snapshots
from service.web.admin.holdings import Holdings
from tests.unit.web.admin.conftest import Office

BODY = {"reason": "essai"}


async def test_a_home_that_never_activated_anything_says_so_once_it_can_be_judged(office: Office):
    reply = await office.get("snapshots")
    assert (reply.status, reply.code) == (409, "conflict")
    assert "trust.json" in reply.json["detail"]


async def test_one_snapshot_is_verified_at_a_time(office: Office, monkeypatch: pytest.MonkeyPatch):
    began, go_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> None:
        began.set()
        assert go_on.wait(30)
        raise SnapshotRefused("9 guard", "nothing", "something")

    monkeypatch.setattr(Holdings, "judged", slow)
    first = asyncio.create_task(office.send("POST", "snapshots/1/activate", BODY, If_Match="*"))
    await asyncio.to_thread(began.wait, 30)
    second = await office.send("POST", "snapshots/1/activate", BODY, If_Match="*")
    assert (second.code, "is being verified" in second.json["detail"]) == ("conflict", True)
    assert (await office.get("modes/*")).status == 200
    go_on.set()
    refused = await first
    assert (refused.code, "refused at step 9 guard" in refused.json["detail"]) == ("conflict", True)


async def test_work_that_nobody_waits_for_ends_at_its_next_step():
    ended = threading.Event()
    began = threading.Event()

    def endless(step: Progress) -> None:
        try:
            while True:
                began.set()
                step(0, 1)
        finally:
            ended.set()

    task = asyncio.create_task(snapshots._aside(endless))
    await asyncio.to_thread(began.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 30)
