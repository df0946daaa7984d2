"""A worker is killed under load: the others serve, it comes back, and no answer it gave is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from tests.fleet import Installation, wait_until
from tests.scenarios.callers import Callers
from tests.scenarios.evidence import processes, prove, recorders, verify_journal


async def test_a_killed_worker_loses_only_what_was_in_flight(site: Installation, queries: list[bytes]):
    site.start("rights", workers=2)
    async with Callers(site, queries, count=6) as callers:
        await callers.more(150)
        victim = site.workers()[0]
        killed_at = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        await callers.until(lambda: any(reply.asked_at > killed_at for reply in callers.answered), seconds=2)
        await callers.until(lambda: len(site.workers()) == 2 and victim not in site.workers())
        back_at = time.monotonic()
        await callers.more(200)

    assert callers.refused == []
    # Nobody loses more than the one question that was in flight, and nobody after the kill.
    assert len({loss.caller for loss in callers.losses}) == len(callers.losses)
    assert all(killed_at - 5 < loss.asked_at < killed_at + 1 for loss in callers.losses)
    prove(site, callers.answered)
    report = verify_journal(site, "torn_tail")
    assert report["entries"] >= len(callers.answered)
    before = {slot for slot, _ in recorders(site, [one for one in callers.answered if one.asked_at < killed_at])}
    assert before == {0, 1}
    await asyncio.to_thread(_both_slots_answer_again, site, queries[0], back_at)
    assert site.stop("rights") == 0
    assert verify_journal(site, "torn_tail")["segments"] == 3


def _both_slots_answer_again(site: Installation, query: bytes, since: float) -> None:
    """The successor goes on in the slot, and so in the chain, of the worker that was killed."""
    segments = sorted(path.name for path in (site.home / "journal").glob("*.jsonl"))
    assert len(segments) == 3
    successor = segments[-1]
    before = (site.home / "journal" / successor).stat().st_size

    def answered() -> bool:
        assert site.ask(query).status == 200
        return (site.home / "journal" / successor).stat().st_size > before

    wait_until(answered, 20, lambda: "the worker that came back answers nobody")


async def test_workers_do_not_outlive_a_killed_master_and_a_new_one_takes_over(
    site: Installation, queries: list[bytes]
):
    site.start("rights", workers=2)
    async with Callers(site, queries, count=4) as callers:
        await callers.more(100)
        master = os.getpgid(site.workers()[0])
        os.kill(master, signal.SIGKILL)
        await asyncio.to_thread(
            wait_until, lambda: not processes(str(site.home)), 20, lambda: "workers outlive their master"
        )
    first = callers.answered
    site.kill("rights")
    site.start("rights", workers=2)
    async with Callers(site, queries, count=4) as again:
        await again.more(100)
    assert again.losses == []
    assert again.refused == []
    prove(site, [*first, *again.answered])
    assert verify_journal(site, "torn_tail")["segments"] == 4
