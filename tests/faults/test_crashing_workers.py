"""A file that goes bad after it was opened kills whoever reads it: nobody answers from it, and a good one ends that."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.faults.homes import Night
from tests.fleet import Installation, wait_until
from tests.scenarios.evidence import identities_found, verify_journal
from tests.scenarios.supply import load

SECONDS = 60


def questions(site: Installation) -> Iterator[bytes]:
    """About one person after the other, for ever."""
    while True:
        for row in site.rows():
            person = {name: row[name] for name in ("nir", "birth_date", "birth_rank")}
            yield json.dumps({"beneficiary": person}).encode()


def reasons(site: Installation) -> list[dict[str, Any]]:
    """Of `GET /readyz`; none while nobody listens."""
    with contextlib.suppress(OSError, HTTPException):
        found: list[dict[str, Any]] = site.request("GET", "/readyz").json()["reasons"]
        return found
    return []


def refusal(site: Installation) -> str:
    """Why there is no snapshot, in readiness' words."""
    return next((reason["detail"] for reason in reasons(site) if reason["code"] == "no_snapshot"), "")


def log(site: Installation, event: str) -> list[dict[str, Any]]:
    lines = (line for line in site.read_log("rights").splitlines() if line.startswith("{"))
    return [entry for entry in map(json.loads, lines) if entry["event"] == event]


def ask_until_nobody_can(site: Installation) -> int:
    """Ask until the worker has met a page that is gone, and the next one refuses; how many got an answer."""
    answered = 0
    asked = questions(site)
    deadline = time.monotonic() + SECONDS
    while "cut short" not in refusal(site) or not log(site, "worker_was_killed"):
        assert time.monotonic() < deadline, site.read_log("rights")
        with contextlib.suppress(OSError, HTTPException):
            reply = site.ask(next(asked))
            assert reply.status == 200 or reply.code == "no_snapshot"
            if reply.status == 200:
                answered += 1
                assert reply.json()["answer"]["contracts"], "somebody who is insured was not found"
    return answered


def test_a_file_cut_after_opening_ends_in_no_answer_and_never_in_a_wrong_one(site: Installation, tmp_path: Path):
    good = Path(shutil.copytree(site.home / "snapshots" / "1", tmp_path / "good"))
    # One, because of two the same might take every question and the other never meet a page that is gone.
    site.start("rights", workers=1)
    os.truncate(site.home / "snapshots" / "1" / "records.lmdb", 4096 * 2)
    ask_until_nobody_can(site)
    assert all(entry["fault"] == "Bus error" for entry in log(site, "worker_was_killed"))
    wait_until(lambda: len(site.workers()) == 1, SECONDS, lambda: "a worker was not replaced")
    survivors = site.workers()

    # On a busy machine the workers may take longer to try again than the command waits.
    assert "already active: no change" in site.relais("snapshot", "load", str(good), status=None).stdout
    wait_until(lambda: reasons(site) == [], SECONDS, lambda: str(reasons(site)))
    asked = questions(site)
    for _ in range(20):
        assert site.ask(next(asked)).json()["answer"]["contracts"]
    assert site.workers() == survivors
    assert site.stop("rights") == 0
    verify_journal(site, "torn_tail")
    assert identities_found(site) == []


def kill_one(site: Installation, how: signal.Signals) -> None:
    (victim,) = site.workers()
    os.kill(victim, how)
    wait_until(lambda: site.workers() not in ([], [victim]), SECONDS, lambda: "a worker was not replaced")


def test_three_crashes_and_a_snapshot_is_left_alone_until_another_is_loaded(site: Installation, night: Night):
    site.start("rights", workers=1)
    for number in (1, 2):
        kill_one(site, signal.SIGBUS)
        wait_until(lambda: len(log(site, "worker_was_killed")) == number, SECONDS, lambda: site.read_log("rights"))  # noqa: B023
        site.wait_ready()
        assert site.ask(site.example("open")).status == 200
    kill_one(site, signal.SIGBUS)
    wait_until(lambda: refusal(site) != "", SECONDS, lambda: site.read_log("rights"))
    assert refusal(site).startswith("snapshot 1: 3 workers were killed within 60 s by reading it")
    assert site.ask(site.example("open")).code == "no_snapshot"

    load(site, night.base)
    assert site.request("GET", "/readyz").status == 200
    assert site.ask(site.example("open")).json()["answer"]["source"]["snapshot"] == 2


def test_a_server_that_starts_anew_verifies_and_tries_a_snapshot_again(site: Installation):
    site.start("rights", workers=1)
    for _ in range(3):
        kill_one(site, signal.SIGSEGV)
        wait_until(lambda: reasons(site) != [] or site.request("GET", "/readyz").status == 200, SECONDS, str)
    wait_until(lambda: refusal(site) != "", SECONDS, lambda: site.read_log("rights"))
    site.stop("rights")
    site.start("rights", workers=1)
    assert site.ask(site.example("open")).status == 200


def test_workers_killed_by_somebody_are_replaced_as_often_as_it_takes(site: Installation):
    site.start("rights", workers=1)
    for _ in range(4):
        kill_one(site, signal.SIGKILL)
        site.wait_ready()
    assert log(site, "worker_was_killed") == []
    assert site.ask(site.example("open")).status == 200
