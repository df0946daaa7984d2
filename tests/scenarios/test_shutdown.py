"""A server is asked to end, or to take its settings anew, while pharmacies ask: nobody is left without an answer."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import time

from tests.fleet import Installation, wait_until
from tests.scenarios.callers import Callers, lines
from tests.scenarios.evidence import processes, prove, verify_journal


async def test_a_server_that_ends_answers_what_was_sent(site: Installation, queries: list[bytes]):
    site.start("rights", workers=2)
    # Without a pause, so that something is always on its way.
    async with Callers(site, queries, count=16, pause_seconds=0.001) as callers:
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
        await callers.more(100)
        os.kill(os.getpgid(former[0]), signal.SIGHUP)
        await callers.until(lambda: not set(former) & set(site.workers()) and len(site.workers()) == 2)
        await callers.more(100)
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
    # One that shows: how far back a service date may lie.
    settings.write_text(f"{good}\n[query]\npast_days = 10\n")
    master = os.getpgid(site.workers()[0])
    async with Callers(site, queries, count=4) as callers:
        await _reload(site, callers, master)
        settings.write_text(f'{good}\n[query]\npast_days = "ten"\n')
        await _reload(site, callers, master)
    assert callers.refused == []
    assert callers.losses == []
    day = (dt.datetime.now(dt.UTC) - dt.timedelta(days=40)).date().isoformat()
    for _ in range(10):
        assert site.ask({**site.example("open"), "service_date": day}).code == "invalid_field"
    ready = site.request("GET", "/readyz").json()
    assert [(one["code"], one["blocking"]) for one in ready["reasons"]] == [("settings_refused", False)]
    assert "past_days" in ready["reasons"][0]["detail"]
    settings.write_text(good)
    prove(site, callers.answered)
    async with Callers(site, queries, count=2) as callers:
        await _reload(site, callers, master)
    assert site.request("GET", "/readyz").json()["reasons"] == []
    assert site.ask({**site.example("open"), "service_date": day}).status == 200


async def _reload(site: Installation, callers: Callers, master: int) -> None:
    """SIGHUP, and wait until other workers answer."""
    former = site.workers()
    os.kill(master, signal.SIGHUP)
    await callers.until(lambda: not set(former) & set(site.workers()) and len(site.workers()) == 2)
    await callers.more(50)


async def test_a_worker_that_cannot_come_back_does_not_end_the_others(site: Installation, queries: list[bytes]):
    """A key file is lost, then a worker is killed: its place stays empty until the file is back."""
    site.start("rights", workers=2)
    key, aside = site.home / "keys" / "officer.pub.jwk", site.home / "officer.aside"
    async with Callers(site, queries, count=4) as callers:
        await callers.more(50)
        key.rename(aside)
        victim = site.workers()[0]
        os.kill(victim, signal.SIGKILL)
        await callers.until(lambda: "worker_cannot_start" in site.read_log("rights"))
        await callers.more(100)
        aside.rename(key)
        told = site.read_log("rights").count("snapshot_serves")
        await callers.until(lambda: site.read_log("rights").count("snapshot_serves") > told)
        await callers.more(50)
    assert callers.refused == []
    assert len(callers.losses) <= 4
    prove(site, callers.answered)
    assert site.stop("rights") == 0
    verify_journal(site, "torn_tail")


def test_a_server_without_work_ends_at_once(site: Installation):
    site.start("rights", workers=2)
    site.start("admin", workers=1)
    # Callers that stay connected and ask no more.
    with lines(site):
        for server in ("rights", "admin"):
            began = time.monotonic()
            assert site.stop(server) == 0
            assert time.monotonic() - began < 8
    wait_until(lambda: processes(str(site.home)) == [], 10, lambda: "a process is left")
