"""The disk takes no more records: nothing is answered unrecorded, and it ends by itself when there is room again."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time

from tests.fleet import Installation, wait_until
from tests.scenarios.callers import Callers
from tests.scenarios.evidence import prove, verify_journal


def limit_files(workers: list[int], size: int) -> None:
    """No file of these processes may grow beyond `size` bytes: to a writer, a disk that is full."""
    for worker in workers:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def unready(site: Installation) -> set[str]:
    """Blocking reasons of /readyz, from newcomers to whichever worker takes them."""
    found = set()
    for _ in range(8):
        ready = site.request("GET", "/readyz")
        blocking = {reason["code"] for reason in ready.json()["reasons"] if reason["blocking"]}
        assert ready.status == (503 if blocking else 200)
        found |= blocking
    return found


async def test_a_full_disk_refuses_every_answer_and_ends_by_itself(site: Installation, queries: list[bytes]):
    site.start("rights", workers=2)
    async with Callers(site, queries, count=4) as callers:
        await callers.more(100)
        limit_files(site.workers(), 1)
        await callers.until(lambda: len(callers.refused) > 20)
        full_at = time.monotonic()
        await asyncio.sleep(1.5)
        assert await asyncio.to_thread(unready, site) == {"journal_unwritable"}
        assert [reply for reply in callers.answered if reply.asked_at > full_at] == []
        room_at = time.monotonic()
        limit_files(site.workers(), resource.RLIM_INFINITY)
        await callers.until(lambda: any(reply.asked_at > room_at for reply in callers.answered))
        answers_again_at = next(reply.asked_at for reply in callers.answered if reply.asked_at > room_at)
        await asyncio.sleep(1.5)
        recovered_at = time.monotonic()
        await callers.more(100)

    assert callers.losses == []
    assert answers_again_at - room_at < 3
    assert not [reply for reply in callers.refused if reply.asked_at > recovered_at]
    for reply in callers.refused:
        assert (reply.status, reply.response["type"]) == (503, "/problems/journal_unwritable")
        assert reply.response["action"] == "check_card"
    assert await asyncio.to_thread(unready, site) == set()
    prove(site, callers.answered)
    assert site.stop("rights") == 0
    verify_journal(site, "torn_tail", "unregistered")


async def test_a_record_cut_short_is_answered_to_nobody(site: Installation, queries: list[bytes]):
    """The disk fills up in the middle of a write: what stands half is a torn tail, and the next segment goes on."""
    site.start("rights", workers=1)
    async with Callers(site, queries, count=4) as callers:
        for _ in range(4):
            await callers.more(60)
            largest = max(path.stat().st_size for path in (site.home / "journal").glob("*.jsonl"))
            # Room for a part of a record; the next segment is smaller and finds some.
            limit_files(site.workers(), largest + 700)
            refused = len(callers.refused)
            await callers.until(lambda refused=refused: len(callers.refused) > refused)
            limit_files(site.workers(), resource.RLIM_INFINITY)
    assert callers.losses == []
    prove(site, callers.answered)
    assert site.stop("rights") == 0
    report = verify_journal(site, "torn_tail", "unregistered")
    assert report["segments"] > 1


def test_a_journal_whose_directory_is_gone_starts_no_answer(site: Installation):
    """A worker that starts where its directory should be and finds a file: it waits, and says why."""
    site.start("rights", workers=1)
    assert site.ask(site.example("open")).status == 200
    aside = site.home / "journal-aside"
    (site.home / "journal").rename(aside)
    (site.home / "journal").touch()
    victim = site.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: site.workers() not in ([], [victim]), 20, lambda: "no worker came back")
    wait_until(lambda: _code(site) == "journal_unwritable", 20, lambda: f"it says {_code(site)}")
    ready = site.request("GET", "/readyz")
    assert ready.status == 503
    reasons = {reason["code"]: reason for reason in ready.json()["reasons"]}
    assert reasons["journal_unwritable"]["blocking"]
    assert str(site.home) not in ready.body.decode()
    (site.home / "journal").unlink()
    aside.rename(site.home / "journal")
    site.wait_ready()
    assert site.ask(site.example("open")).status == 200
    verify_journal(site, "torn_tail", "unregistered")


def _code(site: Installation) -> str:
    try:
        reply = site.ask(site.example("open"))
    except OSError:
        return "no connection"
    return str(reply.status) if reply.status == 200 else reply.code
