"""Orders in bad weather: while a worker starts, in great number, over a clock that steps back, on a full disk."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

import pytest

from service.cli.common import open_home
from service.cli.ordering import open_ledger
from service.control.format import Kind
from service.control.intent import Intent
from service.keyring import load_order_key
from tests.faults.small_disk import Disk, small_disk
from tests.fleet import Installation, wait_until
from tests.scenarios.callers import lines
from tests.scenarios.evidence import verify_journal
from tests.scenarios.shifted_clock import SteppingClock

HOUR = 3600


def modes(site: Installation) -> set[str]:
    """What the workers say holds."""
    return {site.request("GET", "/livez").headers["Relais-Mode"] for _ in range(12)}


def test_an_order_given_while_a_worker_starts_is_followed_by_it(site: Installation):
    site.start("rights", workers=2)
    for mode in ("suspended", "degraded", "suspended"):
        (victim, _) = site.workers()
        os.kill(victim, signal.SIGKILL)
        ordering = threading.Thread(target=site.set_mode, args=(mode,))
        ordering.start()
        wait_until(lambda gone=victim: gone not in site.workers() and len(site.workers()) == 2, 30, lambda: "not back")
        ordering.join()
        site.wait_ready()
        wait_until(lambda mode=mode: modes(site) == {mode}, 20, lambda: f"not followed: {modes(site)}")
    assert site.stop("rights") == 0


def test_a_thousand_orders_are_followed_like_one(site: Installation):
    place, settings = open_home(site.home)
    key = load_order_key(place, settings)
    now = dt.datetime.now(dt.UTC)
    with open_ledger(place, settings) as ledger:
        for number in range(1000):
            amc = f"099{number % 50:07}"
            intent = Intent(
                kind=Kind.MODE_SET,
                scope=amc,
                body={"mode": ("suspended", "degraded")[number // 50 % 2]},
                reason=f"exercise {number}",
                actor="cli:test",
            )
            ledger.issue(intent, key, now)
    site.start("rights", workers=2)
    shown = site.request("GET", "/v1/status").json()
    assert {mode["mode"] for mode in shown["modes"]} == {"degraded"}
    assert len(shown["modes"]) == 51
    with lines(site) as workers:
        site.set_mode("suspended")
        assert [site.ask(site.example("open"), connection=line).status for line in workers] == [503, 503]
        site.set_mode("degraded")
        assert [site.ask(site.example("open"), connection=line).status for line in workers] == [200, 200]


def test_killing_the_workers_that_take_orders_leaves_none_by_half(site: Installation):
    """Whatever was answered 200 is in the chain as it was told; the chain holds, and goes on."""
    site.start("admin", workers=2)
    told: dict[int, str] = {}
    until = time.monotonic() + 5

    def give_orders(caller: int) -> None:
        number = 0
        while time.monotonic() < until:
            number += 1
            body = {"mode": ("suspended", "degraded")[number % 2], "reason": f"order {number} of caller {caller}"}
            with contextlib.suppress(OSError, HTTPException):  # its worker was killed: the chain tells
                reply = site.admin("PUT", f"/admin/v1/modes/099000000{caller}", body, headers={"If-Match": "*"})
                if reply.status == 200:
                    told[reply.json()["order"]] = body["reason"]

    callers = [threading.Thread(target=give_orders, args=(caller,)) for caller in range(4)]
    for caller in callers:
        caller.start()
    killed = 0
    while time.monotonic() < until:
        time.sleep(0.4)
        for worker in site.workers("admin")[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
                killed += 1
    for caller in callers:
        caller.join()
    assert killed > 2
    assert told
    listed = json.loads(site.relais("orders", "list", "--json").stdout)["orders"]
    reasons = {order["version"]: order["reason"] for order in listed}
    assert sorted(reasons) == list(range(1, len(listed) + 1))
    assert told.items() <= reasons.items()
    site.set_mode("suspended", reason="and on it goes")


def test_a_clock_that_steps_back_an_hour_brings_back_what_had_ended(site: Installation, tmp_path: Path):
    """An end is an instant of the clock: before it, the order holds. Nothing is closed on such a clock's word."""
    clock = SteppingClock(tmp_path / "clock")
    site.environment |= clock.environment()
    site.start("rights", workers=2)
    site.relais("mode", "set", "suspended", "--until", "30m", "--reason", "half an hour of doubt")
    assert modes(site) == {"suspended"}
    clock.step(HOUR)
    wait_until(lambda: modes(site) == {"degraded"}, 20, lambda: "it has not ended")
    clock.step(0)
    wait_until(lambda: modes(site) == {"suspended"}, 20, lambda: "its end is not before us again")
    told = site.request("GET", "/readyz")
    assert told.status == 200
    wait_until(
        lambda: "clock_suspect" in {one["code"] for one in site.request("GET", "/readyz").json()["reasons"]},
        20,
        lambda: "nobody says that the clock went back",
    )
    site.set_mode("degraded")
    answer = site.ask(site.example("closed")).json()["answer"]
    assert answer["status"] == "unknown"
    assert "clock_suspect" in answer["reasons"]
    assert site.stop("rights") == 0
    verify_journal(site, "clock_back")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


def test_an_order_that_finds_the_disk_full_is_not_half_given(site: Installation, disk: Disk):
    """On a disk of its own, so that the journal goes on; where root cannot mount one, files may not grow."""
    control = site.home / "control"
    for file in control.iterdir():
        shutil.move(file, disk.root / file.name)
    control.rmdir()
    control.symlink_to(disk.root)
    site.start("rights", workers=2)
    site.set_mode("degraded", reason="before")
    place, settings = open_home(site.home)
    with disk.without_a_byte():
        refused = [
            site.relais("mode", "set", "suspended", "--reason", f"try {number}", status=None) for number in range(3)
        ]
        assert [one.returncode for one in refused] == [3, 3, 3], [one.stderr for one in refused]
        assert all(one.stderr.count("\n") == 1 and one.stderr.startswith("relais: ") for one in refused)
        assert modes(site) == {"degraded"}
        assert site.ask(site.example("open")).status == 200
    with open_ledger(place, settings) as ledger:
        assert [order.reason for order in ledger.orders()][-1] == "before"
    site.set_mode("suspended", reason="after")
    assert modes(site) == {"suspended"}
    with closing(site):
        assert site.ask(site.example("open")).status == 503
