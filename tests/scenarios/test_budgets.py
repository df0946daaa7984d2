"""What one stolen credential reads in a day is its budget: hammered, killed, and without the store."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.control.leases import SqliteLeaseStore
from tests.fleet import Installation, Reply, wait_until
from tests.scenarios.callers import Callers, alone
from tests.scenarios.evidence import verify_journal, worker_slot

FINESS = "750012346"
PLENTY = ("--burst", "100000", "--unknown", "100000")


def readiness(site: Installation) -> set[str]:
    return {reason["code"] for reason in site.request("GET", "/readyz").json()["reasons"]}


def test_four_workers_hammered_with_one_credential_answer_its_budget_exactly(site: Installation, queries: list[bytes]):
    site.register("stolen", "pharmacy", FINESS, options=("--daily", "300", *PLENTY))
    site.start("rights", workers=4)
    connections = []
    for worker in site.workers():
        with alone(worker, site.workers()):
            for _ in range(16):
                connections.append(site.connect())
                assert site.request("GET", "/livez", connection=connections[-1]).status == 200

    def hammer(number: int) -> list[Reply]:
        """Ask on one connection until refused many times over: then its worker has no lookup left."""
        replies: list[Reply] = []
        while sum(reply.status == 429 for reply in replies) < 30:
            query = queries[(number + len(replies)) % len(queries)]
            replies.append(site.ask(query, "stolen", None, connections[number]))
        connections[number].close()
        return replies

    with ThreadPoolExecutor(64) as callers:
        replies = [reply for one in callers.map(hammer, range(64)) for reply in one]
    assert {reply.status for reply in replies} == {200, 429}
    assert {reply.code for reply in replies if reply.status == 429} == {"budget_exhausted"}
    answers = [reply.json()["answer"]["id"] for reply in replies if reply.status == 200]
    assert len(answers) == len(set(answers)) == 300
    assert verify_journal(site)["entries"] == 300
    # Where the machine is busy, a worker may come too late for any of them.
    assert len({worker_slot(site, path.stem) for path in _segments_with_entries(site)}) > 1
    assert site.stop("rights") == 0
    assert _settled(site.home / "control" / "fleet.db") == 300


def _segments_with_entries(site: Installation) -> list[Path]:
    return [path for path in (site.home / "journal").glob("*.jsonl") if b'"leaf":' in path.read_bytes()]


async def test_a_killed_workers_leases_are_settled_by_its_successor(site: Installation, queries: list[bytes]):
    site.register("stolen", "pharmacy", FINESS, options=("--daily", "400", *PLENTY))
    site.start("rights", workers=2)
    async with Callers(site, queries, count=8, client="stolen") as callers:
        for _ in range(3):
            await callers.more(60)
            victim = site.workers()[0]
            os.kill(victim, signal.SIGKILL)
            await callers.until(lambda gone=victim: len(site.workers()) == 2 and gone not in site.workers())
        await callers.until(lambda: len(callers.refused) > 500, seconds=90)
    recorded = verify_journal(site, "torn_tail")["entries"]
    assert len(callers.answered) <= recorded <= 400
    assert site.stop("rights") == 0
    spent = await asyncio.to_thread(_settled, site.home / "control" / "fleet.db")
    # A batch that was written without its head is counted, for nobody can tell it from one that was answered.
    assert recorded <= spent <= recorded + 3 * 8
    # All that the killed workers held and had not used was lent again, and used.
    assert spent == 400


def _settled(path: Path) -> int:
    """What the store says was spent, once nothing is lent any more."""
    store = SqliteLeaseStore(path)
    leases = [lease for slot in range(4) for lease in store.open_leases(f"node-1/{slot}")]
    assert leases == []
    days = store._database.read(  # a day may have begun meanwhile
        lambda connection: connection.execute("SELECT sum(lookups) FROM spendings WHERE finess <> ''").fetchone()
    )
    store.close()
    return int(days[0])


def test_without_the_store_pharmacies_have_a_share_and_operators_hear_of_it(site: Installation, queries: list[bytes]):
    site.register("stolen", "pharmacy", FINESS, options=("--daily", "100", *PLENTY))
    store = site.home / "control" / "fleet.db"
    site.start("rights", workers=1)
    away = store.rename(store.with_name("away.db"))
    answered = [site.ask(query, "stolen").status for query in queries[:60]]
    assert answered == [200] * 20 + [429] * 40
    assert "budget_store" in readiness(site)
    site.kill("rights")
    away.rename(store)
    site.start("rights", workers=1)
    wait_until(lambda: "budget_store" not in readiness(site), 20, lambda: "the store is not seen to be back")
    again = [site.ask(query, "stolen").status for query in [*queries, *queries][:140]]
    assert answered.count(200) + again.count(200) == 120
