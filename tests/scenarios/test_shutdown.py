"""A server is asked to end, or to take its settings anew, while pharmacies ask: nobody is left without an answer."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from tests.fleet import Installation, wait_until
from tests.scenarios.callers import Callers
from tests.scenarios.evidence import processes, prove, verify_journal


async def test_a_server_that_ends_answers_what_was_sent(site: Installation, queries: list[bytes]):
    site.start("rights", workers=2)
    async with Callers(site, queries, count=8) as callers:
        await callers.more(200)
        asked_to_end = time.monotonic()
        status = await asyncio.to_thread(site.stop, "rights")
        ended = time.monotonic()
    assert status == 0
    assert ended - asked_to_end < 10
    assert callers.refused == []
    # After the end nobody listens; before it, nobody's question is lost.
    assert [loss for loss in callers.losses if loss.error != "ClientConnectorError"] == []
    assert processes(str(site.home)) == []
    prove(site, callers.answered)
    report = verify_journal(site)
    assert report["entries"] == len(callers.answered)


async def test_a_reload_changes_the_workers_and_loses_nothing(site: Installation, queries: list[bytes]):
    site.start("rights", workers=2)
    former = site.workers()
    async with Callers(site, queries, count=6) as callers:
        await callers.more(200)
        os.kill(os.getpgid(former[0]), signal.SIGHUP)
        await callers.until(lambda: not set(former) & set(site.workers()) and len(site.workers()) == 2)
        await callers.more(200)
    assert callers.refused == []
    assert callers.losses == []
    prove(site, callers.answered)
    assert site.ask(site.example("open")).status == 200
    assert site.stop("rights") == 0
    assert verify_journal(site)["entries"] >= len(callers.answered)


async def test_a_reload_with_a_broken_setting_keeps_the_old_one(site: Installation, queries: list[bytes]):
    site.start("rights", workers=2)
    settings = site.home / "relais.toml"
    good = settings.read_text()
    async with Callers(site, queries, count=4) as callers:
        await callers.more(50)
        settings.write_text(good + '\n[rights]\nport = "eighty"\n')
        os.kill(os.getpgid(site.workers()[0]), signal.SIGHUP)
        await asyncio.sleep(3)
        await callers.more(50)
        settings.write_text(good)
    assert callers.refused == []
    assert callers.losses == []


def test_a_worker_without_work_ends_at_once(site: Installation):
    site.start("rights", workers=2)
    site.start("admin", workers=1)
    line = site.connect()
    assert site.ask(site.example("open"), connection=line).status == 200
    for server in ("rights", "admin"):
        began = time.monotonic()
        assert site.stop(server) == 0
        assert time.monotonic() - began < 8
    line.close()
    wait_until(lambda: processes(str(site.home)) == [], 10, lambda: "a process is left")
