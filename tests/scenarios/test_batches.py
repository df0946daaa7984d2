"""A hub's batches: its budgets hold whatever it sends at once, and a batch that is not recorded costs nothing."""

from __future__ import annotations

import os
import resource
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import Any

import orjson
import pytest

from stubs.connection import Signer
from stubs.load import run
from stubs.pharmacy import _parser
from stubs.proof import verify_response
from tests.fleet import Installation, Reply, wait_until
from tests.scenarios.evidence import receipt_keys, verify_journal
from tests.scenarios.test_budgets import _settled

LIST = ("750012346", "130012342", "2A0012346")
PLENTY = ("--burst", "100000", "--unknown", "100000")
FULL, HALF = 150, 225


def batch(queries: list[bytes], start: int, size: int = 20, pharmacies: tuple[str, ...] = LIST) -> list[dict[str, Any]]:
    """Queries for the hub's pharmacies in turn."""
    chosen = [orjson.loads(queries[(start + number) % len(queries)]) for number in range(size)]
    return [{**query, "finess": pharmacies[n % len(pharmacies)]} for n, query in enumerate(chosen)]


def send(site: Installation, asked: list[dict[str, Any]], link: HTTPConnection | None = None) -> Reply:
    headers = {"Content-Type": "application/json", **site.bearer("hub")}
    body = orjson.dumps({"queries": asked})
    return site.request("POST", "/v1/rights/batch", body, headers, connection=link)


def answered(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    results: list[dict[str, Any]] = reply.json()["results"]
    assert {one["problem"]["code"] for one in results if "problem" in one} <= {"budget_exhausted"}
    return [one for one in results if "answer" in one]


def test_a_hub_that_hammers_in_batches_reads_its_ceiling_exactly(site: Installation, queries: list[bytes]):
    site.register("hub", "hub", *LIST, options=("--daily", str(FULL), *PLENTY))
    site.start("rights", workers=2)
    keys = receipt_keys(site)

    def hammer(number: int) -> Counter[str]:
        link, read, refused = site.connect(), Counter[str](), 0
        while refused < 10:
            asked = batch(queries, number * 7 + refused)
            reply = send(site, asked, link)
            got = answered(reply)
            refused = 0 if got else refused + 1
            for query, result in zip(asked, reply.json()["results"], strict=True):
                if "answer" in result:
                    verify_response(query, result, keys)
            read.update(one["answer"]["for"]["finess"] for one in got)
        link.close()
        return read

    with ThreadPoolExecutor(16) as callers:
        read = sum(callers.map(hammer, range(16)), Counter[str]())
    assert read.total() == HALF
    assert all(read[finess] <= FULL for finess in LIST)
    assert verify_journal(site)["entries"] == HALF


def test_a_batch_that_cannot_be_recorded_fails_whole_and_costs_nothing(site: Installation, queries: list[bytes]):
    site.register("hub", "hub", LIST[0], options=("--daily", "1000", *PLENTY))
    site.start("rights", workers=1)
    asked = batch(queries, 0, 20, LIST[:1])
    assert len(answered(send(site, asked))) == 20
    (worker,) = site.workers()
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    # One of its queries is wrong: that alone would have been answered.
    for _ in range(5):
        refused = send(site, [*asked, {}])
        assert (refused.status, refused.code) == (503, "journal_unwritable")
        assert 30 <= int(refused.headers["Retry-After"]) <= 90
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: site.request("GET", "/readyz").status == 200, 20, lambda: "the journal stays shut")
    assert len(answered(send(site, asked))) == 20
    assert site.stop("rights") == 0
    # The second store could not be written either, so that some may have been charged to the outage share.
    entries = [orjson.loads(line) for path in (site.home / "journal").glob("*.jsonl") for line in path.open("rb")]
    leases = [entry["lease"] for entry in entries if "lease" in entry]
    assert len(leases) == 40
    assert _settled(site.home / "control" / "fleet.db") == 40 - leases.count(0)


def test_a_worker_killed_under_batches_gives_nothing_beyond_the_budget(site: Installation, queries: list[bytes]):
    site.register("hub", "hub", LIST[0], options=("--daily", "400", *PLENTY))
    site.start("rights", workers=2)

    def hammer(number: int) -> int:
        link, read, refused = site.connect(), 0, 0
        while refused < 10:
            try:
                got = answered(send(site, batch(queries, number * 11 + read, 10, LIST[:1]), link))
            except (OSError, HTTPException):  # its worker is gone
                link.close()
                link = site.connect()
                continue
            read += len(got)
            refused = 0 if got else refused + 1
            if number == 0 and read > 20 and victims:
                os.kill(victims.pop(), signal.SIGKILL)
        link.close()
        return read

    victims = site.workers()[:1]
    with ThreadPoolExecutor(6) as callers:
        read = sum(callers.map(hammer, range(6)))
    assert victims == []
    recorded = verify_journal(site, "torn_tail")["entries"]
    assert read <= recorded <= 400


def test_a_hub_is_refused_at_once_when_it_is_suspended_and_so_is_a_pharmacy_off_its_list(
    site: Installation, queries: list[bytes]
):
    site.register("hub", "hub", *LIST, options=PLENTY)
    site.start("rights", workers=2)
    asked = batch(queries, 0, 6)
    assert len(answered(send(site, asked))) == 6
    site.register("hub", "hub", *LIST[:2], options=(*PLENTY, "--replace"))
    site.wait_ready()
    results = send(site, asked).json()["results"]
    refused = [place for place, one in enumerate(results) if "problem" in one]
    assert refused == [2, 5]
    assert {results[place]["problem"]["code"] for place in refused} == {"finess_not_allowed"}
    site.relais("client", "suspend", "hub", "--reason", "stolen")
    assert [send(site, asked).code for _ in range(4)] == ["client_suspended"] * 4


async def test_a_hubs_software_loads_in_batches_and_proves_every_receipt(
    site: Installation, capsys: pytest.CaptureFixture[str]
):
    site.register("hub", "hub", *LIST, options=("--daily", "100000", *PLENTY))
    site.start("rights", workers=2)
    rows = site.home / "demo" / "rows.ndjson"
    words = f"load --url http://127.0.0.1:{site.ports['rights']} --client hub --key {site.key('hub')} --rows {rows}"
    words += " --finess 750012346 --finess 130012342 --batch 40 --connections 3 --seconds 1 --verify-share 1 --json"
    options = _parser().parse_args(words.split())
    assert await run(options, Signer("hub", site.key("hub"))) == 0
    figures = orjson.loads(capsys.readouterr().out)
    assert figures["outcomes"] == {"200": figures["requests"]}
    assert figures["receipts"] == {"checked": figures["requests"], "refused": 0, "reasons": {}}
    assert figures["requests"] == verify_journal(site)["entries"]
