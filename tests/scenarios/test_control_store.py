"""The order store is locked, lost or damaged while the workers serve: they go on, and forget no suspension."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.fleet import Installation, wait_until
from tests.scenarios.evidence import verify_journal

Fault = Callable[[Path], object]


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    aside = path.parent.with_name("control-aside")
    path.parent.rename(aside)
    try:
        yield
    finally:
        aside.rename(path.parent)


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    kept = path.parent.with_name("control-kept")
    shutil.copytree(path.parent, kept)
    for file in path.parent.iterdir():
        file.write_bytes(os.urandom(file.stat().st_size))
    try:
        yield
    finally:
        shutil.rmtree(path.parent)
        kept.rename(path.parent)


def troubles(site: Installation) -> dict[str, bool]:
    """Codes of /readyz with whether each keeps requests away."""
    ready = site.request("GET", "/readyz")
    assert ready.status == 200
    return {reason["code"]: reason["blocking"] for reason in ready.json()["reasons"]}


def all_say(site: Installation, expected: dict[str, bool]) -> bool:
    """Whether whoever takes the request says so, perhaps beside what else a fault broke; `{}` is: no trouble at all."""
    seen = [troubles(site) for _ in range(12)]
    return all(told.items() >= expected.items() if expected else not told for told in seen)


@pytest.mark.parametrize("fault", [moved_away, damaged], ids=lambda fault: fault.__name__)
def test_a_lost_store_forgets_no_suspension_even_in_a_new_worker(site: Installation, fault: Fault):
    site.start("rights", workers=2)
    site.register("suspect", "pharmacy", "750012346")
    assert site.ask(site.example("open"), "suspect").status == 200
    site.relais("client", "suspend", "suspect", "--reason", "a stolen key")
    with fault(site.home / "control" / "orders.db"):
        wait_until(lambda: all_say(site, {"control_store": False}), 20, lambda: f"not told: {troubles(site)}")
        _still_answers(site)
        victims = site.workers()
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(set(site.workers()) - set(victims)) == 2, 20, lambda: "no worker came back")
        site.wait_ready()
        wait_until(lambda: all_say(site, {"control_store": False}), 20, lambda: f"not told: {troubles(site)}")
        _still_answers(site)
        refused = site.relais("mode", "set", "suspended", "--reason", "now", status=3)
        assert len(refused.stderr.strip().splitlines()) == 1
    wait_until(lambda: all_say(site, {}), 20, lambda: f"not cleared: {troubles(site)}")
    _still_answers(site)
    site.relais("client", "resume", "suspect", "--reason", "a new key")
    assert {site.ask(site.example("open"), "suspect").status for _ in range(10)} == {200}
    assert site.stop("rights") == 0
    verify_journal(site, "torn_tail", "unregistered")


def test_a_store_locked_by_a_hanging_writer_delays_orders_and_no_answer(site: Installation):
    site.start("rights", workers=2)
    with closing(sqlite3.connect(site.home / "control" / "orders.db", isolation_level=None, timeout=10)) as hanging:
        hanging.execute("BEGIN EXCLUSIVE")
        _answers(site)
        refused = site.relais("mode", "set", "suspended", "--reason", "now", status=3)
        assert refused.stderr.strip() == "relais: orders.db does not answer: database is locked"
        assert all_say(site, {})
        _answers(site)
    site.set_mode("suspended")
    assert {site.ask(site.example("open")).status for _ in range(10)} == {503}


def test_a_store_put_back_from_yesterday_is_not_followed(site: Installation):
    """The order that suspends a client is missing from a restored copy: the workers know better and say so."""
    site.start("rights", workers=2)
    site.register("suspect", "pharmacy", "750012346")
    yesterday = site.home.with_name("yesterday")
    shutil.copytree(site.home / "control", yesterday)
    site.relais("client", "suspend", "suspect", "--reason", "a stolen key")
    shutil.rmtree(site.home / "control")
    yesterday.rename(site.home / "control")
    wait_until(lambda: all_say(site, {"control_store": False}), 20, lambda: f"not told: {troubles(site)}")
    _still_answers(site)
    site.kill("rights")
    site.start("rights", workers=2)
    assert all_say(site, {"control_store": False})
    _still_answers(site)


def test_a_lost_store_is_written_anew_beside_the_workers_and_goes_on(site: Installation):
    """No backup, no restart, and no suspension forgotten; whoever was answered is answered all the while."""
    site.start("rights", workers=2)
    site.start("admin", workers=1)
    site.register("suspect", "pharmacy", "750012346")
    site.relais("client", "suspend", "suspect", "--reason", "a stolen key")
    orders = site.relais("orders", "list", "--json").stdout
    for file in (site.home / "control").glob("orders.db*"):
        file.write_bytes(os.urandom(file.stat().st_size))
    wait_until(lambda: all_say(site, {"control_store": False}), 20, lambda: f"not told: {troubles(site)}")
    _still_answers(site)
    said = site.relais("orders", "restore")
    assert said.stdout.startswith("orders.db is written anew, up to order ")
    assert site.relais("orders", "list", "--json").stdout == orders
    wait_until(lambda: all_say(site, {}), 20, lambda: f"not cleared: {troubles(site)}")
    _still_answers(site)
    site.relais("orders", "restore", status=1)
    site.set_mode("suspended")
    assert {site.ask(site.example("open")).status for _ in range(10)} == {503}
    site.set_mode("degraded")
    site.relais("client", "resume", "suspect", "--reason", "a new key")
    assert {site.ask(site.example("open"), "suspect").status for _ in range(10)} == {200}


def _answers(site: Installation) -> None:
    assert {site.ask(site.example("open")).status for _ in range(10)} == {200}


def _still_answers(site: Installation) -> None:
    """Good clients are answered, the suspended one is not."""
    _answers(site)
    refused = [site.ask(site.example("open"), "suspect") for _ in range(10)]
    assert {(reply.status, reply.code) for reply in refused} == {(403, "client_suspended")}
