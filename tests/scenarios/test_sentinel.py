"""Somebody asks like a thief, on real servers: noticed in one worker, stopped in all, and by whom it is forgiven."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from service.control.suspicions import SqliteSuspicions, Suspicion
from tests.fleet import Installation, wait_until
from tests.scenarios.callers import lines
from tests.scenarios.supply import build, load

FINESS, OTHER = "130012342", "750012346"
PLENTY = ("--daily", "800", "--burst", "5000", "--unknown", "800")


@pytest.fixture
def canary(site: Installation) -> dict[str, Any]:
    """The question for a person who does not exist; the home is given a snapshot that plants them."""
    rows = site.rows()
    planted = rows[-1]
    person = {name: planted[name] for name in ("nir", "birth_date", "birth_rank")}
    others = [row for row in rows if row["nir"] != planted["nir"]]
    folder = build(site, 2, others, canaries=[row for row in rows if row["nir"] == planted["nir"]])
    load(site, folder, "--accept", "people were taken out for a test")
    return {"beneficiary": person}


def code(site: Installation, client: str, query: Any = None, connection: Any = None) -> str:
    reply = site.ask(query or site.example("open"), client, connection=connection)
    return "" if reply.status == 200 else reply.code


def told(site: Installation) -> list[Suspicion]:
    store = SqliteSuspicions(site.home / "control" / "fleet.db")
    found = store.since(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    store.close()
    return found


def of_sentinel(site: Installation) -> list[dict[str, Any]]:
    listed = json.loads(site.relais("orders", "list", "--actor", "sentinel", "--json").stdout)
    orders: list[dict[str, Any]] = listed["orders"]
    return orders


def wait_refused(site: Installation, client: str, seconds: float = 5) -> float:
    began = time.monotonic()
    wait_until(lambda: code(site, client) == "client_suspended", seconds, lambda: f"{client} is still answered")
    return time.monotonic() - began


def judging(site: Installation) -> int:
    """The process that judges: who holds the lock (proc(5): /proc/locks)."""
    inode = (site.home / "run" / "sentinel.lock").stat().st_ino
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    pids = [int(words[4]) for words in held if "->" not in words and words[5].split(":")[-1] == str(inode)]
    return pids[0] if pids else 0


def test_a_canary_asked_of_one_worker_closes_every_worker_also_after_a_restart_and_a_lost_store(
    site: Installation, canary: dict[str, Any]
):
    site.register("thief", "pharmacy", FINESS, options=PLENTY)
    site.start("rights", workers=2)
    wait_until(lambda: judging(site) in site.workers(), 10, lambda: "nobody judges")
    with lines(site) as links:
        answer = site.ask(canary, "thief", connection=links[0])
        assert (answer.status, answer.json()["answer"]["status"]) != (200, "unknown")
        asked_at = time.monotonic()
        wait_until(
            lambda: all(code(site, "thief", connection=link) == "client_suspended" for link in links),
            10,
            lambda: "a worker goes on answering",
        )
        assert time.monotonic() - asked_at < 5  # about one second on a quiet machine
        assert [code(site, "demo-pharmacy", connection=link) for link in links] == ["", ""]
    (order,) = of_sentinel(site)
    assert (order["kind"], order["scope"], order["body"]) == ("client.suspend", "thief", {})
    assert "canary" in order["reason"]
    (one,) = told(site)
    assert (one.finess, one.clients, one.step, one.rules, one.held) == (
        FINESS,
        ("thief",),
        "suspend",
        ("canary",),
        None,
    )
    assert site.stop("rights") == 0
    store = site.home / "control" / "orders.db"
    for path in store.parent.glob("orders.db*"):
        path.unlink()
    site.start("rights", workers=2)
    assert {code(site, "thief") for _ in range(8)} == {"client_suspended"}


def test_an_admin_who_resumes_it_with_a_reason_forgives_it(site: Installation, canary: dict[str, Any]):
    site.register("thief", "pharmacy", FINESS, options=PLENTY)
    site.start("rights", workers=2)
    assert code(site, "thief", canary) == ""
    wait_refused(site, "thief", 10)
    site.relais("client", "resume", "thief", "--reason", "it was our own exercise")
    assert "sentinel_forgave" in _log_soon(site, "sentinel_forgave")
    for _ in range(5):
        assert code(site, "thief") == ""
    assert code(site, "thief", canary) == ""
    wait_refused(site, "thief", 10)
    assert [order["kind"] for order in of_sentinel(site)] == ["client.suspend"] * 2


def test_through_a_hub_one_pharmacy_is_closed_and_the_others_go_on(site: Installation, canary: dict[str, Any]):
    site.register("a-hub", "hub", FINESS, OTHER, options=PLENTY)
    site.start("rights", workers=2)
    example = site.example("open")
    assert code(site, "a-hub", {**canary, "finess": FINESS}) == ""
    wait_until(
        lambda: code(site, "a-hub", {**example, "finess": FINESS}) == "client_suspended", 10, lambda: "still answered"
    )
    assert [code(site, "a-hub", {**example, "finess": OTHER}) for _ in range(8)] == [""] * 8
    shown = json.loads(site.relais("client", "list", "--json").stdout)["clients"]
    (hub,) = (client for client in shown if client["id"] == "a-hub")
    assert [one["finess"] for one in hub["suspended_finess"]] == [FINESS]
    site.relais("client", "resume", "a-hub", "--finess", FINESS, "--reason", "looked into")
    wait_until(lambda: code(site, "a-hub", {**example, "finess": FINESS}) == "", 5, lambda: "not resumed")


def test_when_the_worker_that_judges_is_killed_another_takes_the_seat(site: Installation, canary: dict[str, Any]):
    site.register("thief", "pharmacy", FINESS, options=PLENTY)
    site.start("rights", workers=2)
    wait_until(lambda: judging(site) in site.workers(), 10, lambda: "nobody judges")
    judge = judging(site)
    os.kill(judge, signal.SIGKILL)
    assert code(site, "thief", canary) == ""
    wait_refused(site, "thief", 15)
    assert judging(site) not in {0, judge}


def test_a_scraper_is_slowed_then_suspended_and_what_it_read_stands_in_the_journal(
    site: Installation, queries: list[bytes]
):
    site.register("thief", "pharmacy", FINESS, options=PLENTY)
    others = [f"99{number:07d}" for number in range(25)]
    site.register("a-hub", "hub", *others, options=PLENTY)
    site.start("rights", workers=2)
    for finess in others:
        assert code(site, "a-hub", {**site.example("open"), "finess": finess}) == ""
    answered, refused = 0, ""
    for query in queries:
        refused = code(site, "thief", query)
        if refused:
            break
        answered += 1
        time.sleep(0.1)
    assert refused == "client_suspended"
    taken = [one for one in told(site) if one.held is None]
    assert [one.step for one in taken] == sorted((one.step for one in taken), key=["note", "slow", "suspend"].index)
    assert {one.finess for one in taken} == {FINESS}
    assert {one.step for one in taken} >= {"slow", "suspend"}
    assert [order["kind"] for order in of_sentinel(site)] == ["client.limit", "client.suspend"]
    words = ("journal", "report", "--client", "thief", "--officer-key", str(site.home / "keys" / "officer.jwk"))
    report = json.loads(site.relais(*words, "--json").stdout)
    (thief,) = report["clients"]
    assert (thief["client"], thief["answers"], report["exact"]) == ("thief", answered, True)
    assert 0 < thief["people"]["disclosed"] <= thief["people"]["asked"] <= answered
    assert answered < 250


def test_in_report_mode_it_only_tells(site: Installation, canary: dict[str, Any]):
    site.environment["RELAIS_SENTINEL_MODE"] = "report"
    site.register("thief", "pharmacy", FINESS, options=PLENTY)
    site.start("rights", workers=2)
    assert code(site, "thief", canary) == ""
    wait_until(lambda: bool(told(site)), 10, lambda: "nothing was told")
    assert [(one.step, one.held) for one in told(site)] == [("suspend", "report")]
    assert {code(site, "thief") for _ in range(8)} == {""}
    assert of_sentinel(site) == []


def test_a_client_in_watch_report_is_told_of_and_not_suspended(site: Installation, canary: dict[str, Any]):
    site.register("thief", "pharmacy", FINESS, options=(*PLENTY, "--watch", "report"))
    site.start("rights", workers=1)
    assert code(site, "thief", canary) == ""
    wait_until(lambda: bool(told(site)), 10, lambda: "nothing was told")
    assert [(one.step, one.held) for one in told(site)] == [("suspend", "report")]
    assert code(site, "thief") == ""


def test_while_the_store_is_away_marks_wait_and_the_thief_is_stopped_when_it_is_back(
    site: Installation, canary: dict[str, Any]
):
    site.register("thief", "pharmacy", FINESS, options=PLENTY)
    site.start("rights", workers=1)
    assert code(site, "thief") == ""  # a lease in hand
    store = site.home / "control" / "fleet.db"
    away = store.rename(store.with_name("away.db"))
    assert code(site, "thief", canary) == ""
    wait_until(lambda: "sentinel_silent" in readiness(site), 10, lambda: "nobody says that marks wait")
    away.rename(store)
    wait_refused(site, "thief", 15)
    wait_until(lambda: "sentinel_silent" not in readiness(site), 20, lambda: "still said to be silent")


def readiness(site: Installation) -> set[str]:
    return {reason["code"] for reason in site.request("GET", "/readyz").json()["reasons"]}


def _log_soon(site: Installation, text: str) -> str:
    wait_until(lambda: text in site.read_log("rights"), 10, lambda: f"no {text} in the log")
    return site.read_log("rights")
