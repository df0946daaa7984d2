"""Mode live under real workers and a real upstream, in good weather and in bad."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from stubs.connection import Pharmacy, Signer
from tests.fleet import Installation, wait_until
from tests.scenarios.callers import lines
from tests.scenarios.evidence import identities_found, verify_journal
from tests.upstreams import Upstream, people_of, upstream

#: A return quick enough for a test: half a second open, a fifth of a second a step.
QUICK = {
    "RELAIS_UPSTREAM_OPEN_SECONDS": "0.5",
    "RELAIS_UPSTREAM_STEP_SECONDS": "0.2",
    "RELAIS_UPSTREAM_CACHE_SECONDS": "0",
    # What is kept for retries is not what memory is watched for here.
    "RELAIS_LIMITS_RETRY_ENTRIES": "100",
}
#: `upstream.in_flight`, and how many seconds a question waits before it is given up (`upstream.read_ms`).
IN_FLIGHT, GIVEN_UP_SECONDS = 64, 0.6


@pytest.fixture
def visiodroits(site: Installation, tmp_path: Path) -> Iterator[Upstream]:
    with upstream(tmp_path, *people_of(site.home)) as made:
        yield made


@pytest.fixture
def live(site: Installation, visiodroits: Upstream) -> Installation:
    """Served in mode live, with all queries going upstream."""
    site.environment |= {"RELAIS_UPSTREAM_URL": visiodroits.url, **QUICK}
    site.relais("mode", "set", "live", "--reason", "the upstream is well")
    time.sleep(0.5)  # the steps of the return are of the order's age
    site.start("rights", workers=2)
    return site


def kinds(site: Installation, asked: int = 20) -> Counter[str]:
    """What newcomers' answers rest on."""
    answers = (site.ask(site.example("open")).json()["answer"] for _ in range(asked))
    return Counter(answer["source"]["kind"] for answer in answers)


def test_what_the_upstream_says_is_answered_recorded_and_not_degraded(live: Installation, visiodroits: Upstream):
    for name, status in (("open", "open"), ("closed", "closed"), ("unknown", "unknown")):
        reply = live.ask(live.example(name))
        answer = reply.json()["answer"]
        assert (answer["status"], answer["degraded"], answer["mode"]) == (status, False, "live")
        assert answer["source"]["kind"] == "upstream"
        assert answer["source"]["snapshot"] == 1
        assert reply.headers["Relais-Mode"] == "live"
    assert visiodroits.counts()["asked"] == 3
    status = live.request("GET", "/v1/status").json()["upstream"]
    assert (status["phase"], status["share_percent"]) == ("closed", 100)
    assert live.stop("rights") == 0
    verify_journal(live)


def test_an_upstream_broken_answers_from_the_snapshot_and_mended_returns(live: Installation, visiodroits: Upstream):
    visiodroits.faults(error_percent=100)
    for _ in range(40):
        answer = live.ask(live.example("open")).json()["answer"]
        assert (answer["status"], answer["source"]["kind"], answer["degraded"]) == ("open", "snapshot", True)
        assert answer["reasons"] == ["upstream_unavailable"]
        assert answer["mode"] == "live"
    ready = live.request("GET", "/readyz")
    assert ready.status == 200
    assert "upstream_unavailable" in {reason["code"] for reason in ready.json()["reasons"]}
    wait_until(
        lambda: "upstream open in 2" in live.relais("status").stdout or "half_open" in live.relais("status").stdout,
        20,
        lambda: f"not told: {live.relais('status').stdout}",
    )
    asked = visiodroits.counts()["asked"]
    assert asked < 40, "nobody noticed that it fails"
    visiodroits.mend()
    seen: list[str] = []
    with lines(live) as workers:

        def returned() -> bool:
            for line in workers:
                live.ask(live.example("open"), connection=line)
                phase = live.request("GET", "/v1/status", connection=line).json()["upstream"]["phase"]
                if phase not in seen:
                    seen.append(phase)
            return kinds(live, 6) == {"upstream": 6}

        wait_until(returned, 30, lambda: f"not returned: {seen}")
    assert "ramp" in seen, seen
    assert live.request("GET", "/readyz").json()["reasons"] == []


@pytest.mark.parametrize(
    "fault", [{"drop": True}, {"garbage": True}, {"oversize": True}, {"drip": True}, {"wrong_person": True}], ids=str
)
def test_whatever_is_wrong_with_it_the_snapshot_answers(live: Installation, visiodroits: Upstream, fault: Any):
    visiodroits.faults(**fault)
    for name, status in (("open", "open"), ("closed", "closed"), ("unknown", "unknown")):
        answer = live.ask(live.example(name)).json()["answer"]
        assert (answer["status"], answer["source"]["kind"]) == (status, "snapshot")
        assert "upstream_unavailable" in answer["reasons"]


def test_an_upstream_that_is_gone_and_comes_back_is_asked_again(live: Installation, visiodroits: Upstream):
    visiodroits.kill()
    assert kinds(live) == {"snapshot": 20}
    visiodroits.start()
    wait_until(lambda: kinds(live, 6) == {"upstream": 6}, 30, lambda: "not asked again")


def test_an_order_cuts_it_off_at_once_and_only_an_order_lets_it_back(live: Installation, visiodroits: Upstream):
    assert kinds(live, 4) == {"upstream": 4}
    live.relais("mode", "set", "degraded", "--reason", "a breach upstream")
    before = visiodroits.counts()["asked"]
    answer = live.ask(live.example("open")).json()["answer"]
    assert (answer["source"]["kind"], answer["reasons"]) == ("snapshot", ["upstream_disabled"])
    assert kinds(live) == {"snapshot": 20}
    assert visiodroits.counts()["asked"] == before
    live.relais("mode", "set", "live", "--reason", "all clear")
    wait_until(lambda: kinds(live, 6) == {"upstream": 6}, 30, lambda: "not asked again")


def test_an_excluded_amc_is_not_asked_for_and_not_shown(live: Installation, visiodroits: Upstream):
    query = live.example("open")
    amc = live.ask(query).json()["answer"]["contracts"][0]["amc"]
    live.set_mode("suspended", scope=amc, reason="this AMC asked for it")
    before = visiodroits.counts()["asked"]
    answer = live.ask({**query, "amc": amc}).json()["answer"]
    assert (answer["status"], answer["mode"]) == ("unknown", "degraded")
    assert visiodroits.counts()["asked"] == before
    answer = live.ask(query).json()["answer"]
    assert answer["source"]["kind"] == "upstream"
    assert {contract["amc"]: contract["reasons"] for contract in answer["contracts"]}[amc] == ["amc_excluded"]


def test_the_same_question_of_the_same_client_is_answered_from_memory(site: Installation, visiodroits: Upstream):
    site.environment |= {"RELAIS_UPSTREAM_URL": visiodroits.url, "RELAIS_UPSTREAM_STEP_SECONDS": "0"}
    site.relais("mode", "set", "live", "--reason", "the upstream is well")
    site.start("rights", workers=1)
    answers = [site.ask(site.example("open")).json()["answer"] for _ in range(3)]
    assert [answer["source"]["kind"] for answer in answers] == ["upstream", "cache", "cache"]
    assert [answer["degraded"] for answer in answers] == [False, True, True]
    assert answers[1]["reasons"] == ["upstream_answer_kept"]
    assert len({answer["id"] for answer in answers}) == 3
    site.register("neighbour", "pharmacy", "130012342")
    assert site.ask(site.example("open"), "neighbour").json()["answer"]["source"]["kind"] == "upstream"
    assert visiodroits.counts()["asked"] == 2
    assert site.stop("rights") == 0
    verify_journal(site)


# Bad weather


class Voices:
    """Many callers at once, and what came of their questions."""

    def __init__(self, site: Installation, queries: Sequence[bytes]) -> None:
        self._url = f"http://127.0.0.1:{site.ports['rights']}"
        self._signer = Signer("demo-pharmacy", site.key("demo-pharmacy"))
        self._queries = queries

    def ask(self, callers: int, seconds: float) -> list[tuple[float, dict[str, Any]]]:
        """Seconds taken and answer of every question asked in so many seconds; whatever is no 200 fails the test."""
        return asyncio.run(self._ask(callers, seconds))

    async def _ask(self, callers: int, seconds: float) -> list[tuple[float, dict[str, Any]]]:
        heard: list[tuple[float, dict[str, Any]]] = []
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(self._one(number, until, heard))
        return heard

    async def _one(self, number: int, until: float, heard: list[tuple[float, dict[str, Any]]]) -> None:
        async with Pharmacy(self._url, self._signer) as pharmacy:
            while time.monotonic() < until:
                number += 1
                reply = await pharmacy.ask(self._queries[number % len(self._queries)])
                assert reply.status == 200, reply
                heard.append((reply.seconds, orjson.loads(reply.body)["answer"]))


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_an_upstream_that_hangs_under_200_callers_holds_nobody_up(
    live: Installation, visiodroits: Upstream, queries: list[bytes]
):
    voices = Voices(live, queries)
    voices.ask(200, 1)
    before = [resident_megabytes(pid) for pid in live.workers()]
    visiodroits.faults(hang=True)
    asked = visiodroits.counts()["asked"]
    heard = voices.ask(200, 6)
    asked = visiodroits.counts()["asked"] - asked
    # Those on their way when it began to hang may still have been answered by it.
    later = [answer for _, answer in heard[400:]]
    assert {answer["source"]["kind"] for answer in later} == {"snapshot"}
    assert all("upstream_unavailable" in answer["reasons"] for answer in later)
    # No pile-up: so many wait at a time and no more, and all others are answered meanwhile.
    assert asked <= 2 * IN_FLIGHT * (6 / GIVEN_UP_SECONDS + 2)
    assert len(heard) > asked
    grown = [resident_megabytes(pid) - known for pid, known in zip(live.workers(), before, strict=True)]
    assert max(grown) < 30, grown
    visiodroits.mend()
    wait_until(lambda: kinds(live, 6) == {"upstream": 6}, 30, lambda: "not asked again")
    assert live.stop("rights") == 0
    verify_journal(live)
    assert identities_found(live) == []


def test_the_mode_does_not_flap_with_the_upstream(live: Installation, visiodroits: Upstream, queries: list[bytes]):
    visiodroits.faults(flap_seconds=1)
    heard = Voices(live, queries).ask(8, 8)
    assert {answer["mode"] for _, answer in heard} == {"live"}
    assert {answer["mode_order"] for _, answer in heard} == {heard[0][1]["mode_order"]}
    assert {answer["source"]["kind"] for _, answer in heard} == {"upstream", "snapshot"}
    snapshot = [answer for _, answer in heard if answer["source"]["kind"] == "snapshot"]
    assert all("upstream_unavailable" in answer["reasons"] for answer in snapshot)
    status = live.request("GET", "/v1/status").json()
    assert {mode["scope"]: mode["mode"] for mode in status["modes"]} == {"*": "live"}
