from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from stubs.proof import ReceiptError, verify_asked
from tests.fleet import wait_until
from tests.upstreams import Upstream, upstream

PEOPLE = ("--people", "300")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def server(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with upstream(tmp_path_factory.mktemp("server"), *PEOPLE, "--examples", examples) as made:
        yield made
        assert len(made.log.read_text().splitlines()) == 1  # that it is ready


@pytest.fixture
def well(server: Upstream) -> Iterator[Upstream]:
    """A server without faults, before and after."""
    server.mend()
    yield server
    server.mend()


@pytest.fixture
def query(examples: Path, well: Upstream) -> dict[str, Any]:
    return example(examples, "open")


def example(examples: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((examples / f"{name}.json").read_bytes())
    return found


def send(server: Upstream, query: Any, seconds: float = 30) -> http.client.HTTPConnection:
    """A question on its way; the connection waits `seconds` for each piece of the answer."""
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=seconds)
    link.request("POST", "/v1/rights", json.dumps(query), {"Content-Type": "application/json"})
    return link


@pytest.mark.parametrize("name", ["open", "closed", "unknown"])
def test_an_answer_is_bound_to_its_question(well: Upstream, examples: Path, name: str):
    asked = {**example(examples, name), "service_date": dt.date.today().isoformat(), "finess": "130012342"}  # noqa: DTZ011
    status, response = well.ask(asked)
    assert (status, response["answer"]["status"]) == (200, name)
    verify_asked(asked, response["answer"], response["opening"])


def test_a_card_finds_whom_the_number_finds(well: Upstream, query: dict[str, Any]):
    by_number = well.ask(query)[1]["answer"]["contracts"]
    card = {"amc": by_number[0]["amc"], "member": by_number[0]["member"]}
    by_card = well.ask({"beneficiary": {**card, "birth_date": query["beneficiary"]["birth_date"]}})[1]["answer"]
    assert [one["member"] for one in by_card["contracts"]] == [one["member"] for one in by_number]


def test_what_is_no_question_is_a_problem_and_is_counted(well: Upstream):
    before = well.counts()
    status, problem = well.ask({"beneficiary": {"nir": "185057511600158", "birth_date": "1985-05-12"}})
    assert (status, problem["code"], problem["pointer"]) == (422, "invalid_field", "/beneficiary/nir")
    assert well.request("POST", "/v1/rights", b"{")[0] == 400
    assert well.request("POST", "/v1/rights", b" " * 65_537)[0] == 413
    assert well.request("POST", "/v1/rights")[0] == 415
    assert well.request("GET", "/v1/rights")[0] == 405
    assert well.request("GET", "/v1/right")[0] == 404
    after = well.counts()
    assert (after["asked"] - before["asked"], after["refused"] - before["refused"]) == (4, 4)


def test_errors_come_as_often_as_ordered_and_name_what_to_do(well: Upstream, query: dict[str, Any]):
    well.faults(error_percent=50)
    statuses = [well.ask(query)[0] for _ in range(60)]
    assert set(statuses) == {200, 503}
    well.faults(error_percent=100, error_status=429)
    status, problem = well.ask(query)
    assert (status, problem["code"], problem["action"]) == (429, "too_fast", "retry")
    well.faults(error_status=418)
    assert well.ask(query)[1]["type"] == "about:blank"


def test_who_hangs_is_answered_once_it_is_mended(well: Upstream, query: dict[str, Any]):
    well.faults(hang=True)
    before = well.counts()
    gone, waiting = send(well, query, 0.3), send(well, query)
    with pytest.raises(TimeoutError):
        gone.getresponse()
    gone.close()
    wait_until(lambda: well.counts()["hang"] == before["hang"] + 2, 30, lambda: str(well.counts()))
    well.mend()
    with contextlib.closing(waiting):
        assert waiting.getresponse().status == 200
    assert well.counts()["answered"] == before["answered"]


def test_a_dropped_connection_has_no_answer(well: Upstream, query: dict[str, Any]):
    well.faults(drop=True)
    with contextlib.closing(send(well, query)) as link, pytest.raises((http.client.RemoteDisconnected, OSError)):
        link.getresponse()
    well.mend()
    assert well.ask(query)[0] == 200


def test_garbage_calls_itself_an_answer_and_is_none(well: Upstream, query: dict[str, Any]):
    well.faults(garbage=True)
    bodies = set()
    for _ in range(40):
        status, body = well.request("POST", "/v1/rights", json.dumps(query).encode())
        assert status == 200
        assert not is_answer(body)
        bodies.add(body[:30])
    assert len(bodies) > 3


def is_answer(body: bytes) -> bool:
    try:
        answer = json.loads(body)["answer"]
        good = all(isinstance(one, dict) for one in answer["contracts"])
        return good and {one["status"] for one in (answer, *answer["contracts"])} <= {"open", "closed", "unknown"}
    except (ValueError, KeyError, TypeError):
        return False


def test_an_oversize_answer_is_good_for_whoever_reads_it_all(well: Upstream, query: dict[str, Any]):
    well.faults(oversize=True)
    _, body = well.request("POST", "/v1/rights", json.dumps(query).encode())
    assert len(body) > 64 * 1024 * 1024
    assert json.loads(body)["answer"]["status"] == "open"


def test_whoever_has_had_enough_hangs_up(well: Upstream, query: dict[str, Any]):
    for fault in ("oversize", "drip", "hang"):
        well.mend()
        well.faults(**{fault: True})
        before = well.counts()[fault]
        with contextlib.closing(send(well, query)):
            wait_until(lambda fault=fault, before=before: well.counts()[fault] > before, 30, lambda: str(well.counts()))
    well.mend()
    assert well.ask(query)[0] == 200


def test_a_dripping_answer_comes_byte_by_byte_until_it_is_mended(well: Upstream, query: dict[str, Any]):
    well.faults(drip=True)
    with contextlib.closing(send(well, query)) as link:
        response = link.getresponse()
        first = response.read1(65_536)
        assert len(first) < 100
        well.mend()
        assert json.loads(first + response.read())["answer"]["status"] == "open"


def test_an_answer_about_somebody_else_does_not_belong_to_the_question(well: Upstream, query: dict[str, Any]):
    well.faults(wrong_person=True)
    for _ in range(5):
        _, response = well.ask({**query, "finess": "750012346"})
        with pytest.raises(ReceiptError, match="another question"):
            verify_asked(query, response["answer"], response["opening"])


def test_latency_is_waited_for(well: Upstream, query: dict[str, Any]):
    well.faults(latency_ms=600)
    with contextlib.closing(send(well, query, 0.2)) as link, pytest.raises(TimeoutError):
        link.getresponse()
    assert well.ask(query)[0] == 200


def test_what_flaps_goes_and_comes_by_itself(well: Upstream, query: dict[str, Any]):
    well.faults(flap_seconds=0.4)
    seen: list[int] = []

    def went_and_came() -> bool:
        seen.append(well.ask(query)[0])
        return [status for status, _ in groupby(seen)][-3:] == [503, 200, 503]

    wait_until(went_and_came, 30, lambda: str(seen))


def test_data_can_be_said_to_be_old(well: Upstream, query: dict[str, Any]):
    well.faults(behind_hours=30)
    source = well.ask(query)[1]["answer"]["source"]
    assert source["freshness"] == "aging"
    assert dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(source["extracted_at"]) > dt.timedelta(hours=29)


def test_a_fault_that_there_is_not_is_refused(well: Upstream):
    assert well.request("PUT", "/faults", b'{"hangs": true}')[0] == 422
    assert well.request("PUT", "/faults", b"{")[0] == 400
    assert not any(value is True for value in json.loads(well.request("GET", "/faults")[1]).values())


def test_processes_share_faults_and_counts(tmp_path: Path, examples: Path, query: dict[str, Any]):
    with upstream(tmp_path, *PEOPLE, "--workers", "3") as many:
        many.faults(error_percent=100)
        assert {many.ask(query)[0] for _ in range(20)} == {503}
        many.mend()
        assert {many.ask(query)[0] for _ in range(20)} == {200}
        counts = many.counts()
        assert (counts["asked"], counts["error"], counts["answered"]) == (40, 20, 20)
        assert many.stop() == 0


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.parametrize("who", ["worker", "master"])
def test_a_process_that_dies_takes_the_others_with_it(tmp_path: Path, who: str):
    with upstream(tmp_path, *PEOPLE, "--workers", "2") as many:
        assert many.process is not None
        workers = children(many.process.pid)
        assert len(workers) == 2
        os.kill(workers[0] if who == "worker" else many.process.pid, signal.SIGKILL)
        assert many.process.wait(30) == (1 if who == "worker" else -signal.SIGKILL)
        left = [Path(f"/proc/{worker}") for worker in workers]
        wait_until(lambda: not any(one.exists() for one in left), 30, lambda: f"left: {left}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rows", "nowhere.ndjson"), "nowhere.ndjson"),
        (("--rows", __file__), "line 1 is not a source row"),
        (("--people", "0"), "at least one person"),
        (("--people", "3", "--policy", __file__), "visiodroits: "),
        (("--people", "3", "--port", "{taken}"), "cannot listen on 127.0.0.1"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(arguments: tuple[str, ...], said: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = [word.replace("{taken}", port) for word in arguments]
        command = [sys.executable, "-m", "stubs.visiodroits", "--port", "0", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert said in done.stderr


def test_names_are_those_of_the_policy_file(tmp_path: Path, query: dict[str, Any]):
    policy = tmp_path / "policy.toml"
    policy.write_text('[[amc]]\nnumber = "990000011"\nname = "Mutuelle Exemple Zéphyr"\n')
    with upstream(tmp_path, *PEOPLE, "--policy", policy) as named:
        assert named.ask(query)[1]["answer"]["contracts"][0]["amc_name"] == "Mutuelle Exemple Zéphyr"
