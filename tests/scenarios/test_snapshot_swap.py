"""A new snapshot is loaded under load: nobody waits, nobody fails, nobody goes back."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path

import orjson

from tests.fleet import Installation
from tests.scenarios.callers import Callers, Reply
from tests.scenarios.evidence import prove, recorders, verify_journal
from tests.scenarios.supply import fleet, held, load


async def test_a_load_under_load_fails_no_request_and_never_goes_back(
    site: Installation, queries: list[bytes], next_night: Path
):
    site.start("rights", workers=2)
    site.start("admin", workers=1)
    leaver = orjson.dumps(site.example("open"))
    # The person who leaves is asked for all the time, so that each snapshot shows which one answered.
    asked = [query for pair in zip(queries, [leaver] * len(queries), strict=True) for query in pair]
    async with Callers(site, asked, count=4) as callers, Callers(site, asked, count=2, fresh=True) as newcomers:
        await callers.more(100)
        said = await asyncio.to_thread(load, site, next_night)
        loaded_at = time.monotonic()
        await callers.more(100)
        await newcomers.more(20)

    assert "snapshot 2 verified: signed by signer-1, signer-2" in said
    replies = [*callers.replies, *newcomers.replies]
    assert callers.losses == newcomers.losses == []
    assert {reply.status for reply in replies} == {200}
    assert {reply.snapshot for reply in replies} == {"1", "2"}
    assert {reply.snapshot for reply in replies if reply.asked_at > loaded_at} == {"2"}
    for caller in range(4):
        numbers = [reply.snapshot for reply in callers.replies if reply.caller == caller]
        assert numbers == sorted(numbers)
    prove(site, replies)
    _no_worker_goes_back(site, replies)
    for reply in replies:
        _is_of_one_snapshot(reply, leaver)
    workers = fleet(site)
    assert [worker["sequence"] for worker in workers if worker["server"] == "rights"] == [2, 2]
    assert all(worker["follows"] for worker in workers)
    assert held(site) == {1: "superseded", 2: "active"}
    assert site.stop("rights") == 0
    assert site.stop("admin") == 0
    verify_journal(site)


def _no_worker_goes_back(site: Installation, replies: list[Reply]) -> None:
    """Within the order in which a worker recorded its answers, the snapshot's number only rises."""
    by_worker = defaultdict(list)
    for (slot, entry), reply in zip(recorders(site, replies), replies, strict=True):
        by_worker[slot].append((entry, reply.response["answer"]["source"]["snapshot"]))
    assert set(by_worker) == {0, 1}
    for recorded in by_worker.values():
        numbers = [number for _, number in sorted(recorded)]
        assert numbers == sorted(numbers)
        assert set(numbers) == {1, 2}


def _is_of_one_snapshot(reply: Reply, leaver: bytes) -> None:
    """What an answer says, the snapshot it names says too. The header tells what serves when it is sent."""
    answer = reply.response["answer"]
    number = answer["source"]["snapshot"]
    assert number <= int(reply.snapshot)
    if reply.query == leaver:
        expected = ("open", []) if number == 1 else ("unknown", ["beneficiary_unknown"])
        assert (answer["status"], [one for one in answer["reasons"] if one == "beneficiary_unknown"]) == expected


async def test_a_pin_goes_back_only_by_an_order_and_says_so(site: Installation, queries: list[bytes], next_night: Path):
    site.start("rights", workers=2)
    load(site, next_night)
    async with Callers(site, queries, count=4) as callers:
        await callers.more(100)
        await asyncio.to_thread(site.relais, "snapshot", "pin", "1", "--reason", "doubt about 2", "--until", "2h")
        pinned_at = time.monotonic()
        await callers.more(100)
    assert callers.losses == []
    assert callers.refused == []
    prove(site, callers.answered)
    after = [reply for reply in callers.answered if reply.asked_at > pinned_at]
    assert {reply.snapshot for reply in after} == {"1"}
    assert all("snapshot_pinned" in reply.response["answer"]["reasons"] for reply in after)
    assert held(site) == {1: "active", 2: "quarantined"}
