"""`relais run`, which is what `make run` does: from nothing to curl commands that work, and back to nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import REPOSITORY, Installation, free_ports, kill_group, wait_until
from tests.scenarios.evidence import processes
from tests.scenarios.shifted_clock import shifted

DAY = 86_400


class Desk:
    """Somebody at a shell who runs `relais run` with PORT, ADMIN_PORT, PEOPLE and WORKERS set."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.log = root / "run.log"
        self.marker = f"relais-test-{uuid.uuid4().hex}"
        self.rights, self.admin, self.stub = free_ports(3)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, upstream: str = "") -> subprocess.Popen[bytes]:
        """`relais run` in a process group of its own, with UPSTREAM as given."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAIS_")}
        # Nothing kept: whether a question meets an answer from memory is up to the worker that takes it.
        environment |= {"UPSTREAM": upstream, "STUB_PORT": str(self.stub), "RELAIS_UPSTREAM_CACHE_SECONDS": "0"}
        environment |= {"PORT": str(self.rights), "ADMIN_PORT": str(self.admin), "PEOPLE": "2000", "WORKERS": "2"}
        environment |= {"RELAIS_HOME": str(self.home), "MARKER": self.marker}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", "run"],
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def said(self) -> str:
        return self.log.read_text()

    def wait_ready(self) -> list[str]:
        """The lines after the one that says it is ready."""
        line = f"relais-droits ready: rights http://127.0.0.1:{self.rights} admin http://127.0.0.1:{self.admin}"

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            return line in self.said().splitlines()

        wait_until(ready, 90, self.said)
        lines = self.said().splitlines()
        return lines[lines.index(line) + 1 :]

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """What Ctrl-C does: a signal to the whole process group; gives the exit status."""
        assert self.process is not None
        os.killpg(self.process.pid, number)
        return self.process.wait(30)

    def leaves_nothing(self) -> None:
        wait_until(lambda: processes(self.marker) == [], 20, lambda: f"left: {processes(self.marker)}")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    if made.process is not None:
        kill_group(made.process.pid)
        made.process.wait(30)
    for left in processes(made.marker):
        os.kill(left, signal.SIGKILL)


@pytest.fixture
def furnished(desk: Desk, template: Installation) -> Desk:
    """A desk whose demo home is there already."""
    shutil.copytree(template.home, desk.home)
    return desk


def curl(command: str) -> dict[str, Any]:
    """A printed command, pasted into bash as it stands."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)["answer"]
    return answer


def test_from_nothing_to_working_commands_and_back_to_nothing(desk: Desk):
    desk.start()
    lines = desk.wait_ready()
    commands = [line for line in lines if line.startswith("curl ")]
    assert [curl(command)["status"] for command in commands] == ["open", "closed", "unknown"]
    assert "first start: making a demo home of 2000 synthetic people" in desk.said()
    assert re.search(r"\d{13}", "\n".join(commands)) is None
    assert desk.interrupt() == 0
    desk.leaves_nothing()
    assert "Traceback" not in desk.said()
    trust = (desk.home / "trust.json").read_bytes()

    desk.start()
    commands = [line for line in desk.wait_ready() if line.startswith("curl ")]
    assert curl(commands[0])["status"] == "open"
    assert "first start" not in desk.said()
    assert (desk.home / "trust.json").read_bytes() == trust
    assert desk.interrupt(signal.SIGTERM) == 0
    desk.leaves_nothing()


def test_one_server_that_dies_takes_the_other_with_it(furnished: Desk):
    process = furnished.start()
    furnished.wait_ready()
    servers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(servers) == 2
    os.kill(int(servers[1]), signal.SIGKILL)
    assert process.wait(30) == 1
    assert furnished.said().splitlines()[-1] == "relais: the admin server ended: stopping the rest"
    furnished.leaves_nothing()


def test_a_first_start_that_is_interrupted_harms_no_later_one(desk: Desk):
    early, late = "synthetic people in", "2000 people, "
    for sign, number in ((early, signal.SIGINT), (late, signal.SIGINT), (late, signal.SIGKILL)):
        desk.start()
        wait_until(lambda sign=sign: sign in desk.said(), 60, desk.said)
        assert desk.interrupt(number) != 0
        desk.leaves_nothing()
        assert not desk.home.exists()
        assert "Traceback" not in desk.said()
    desk.start()
    commands = [line for line in desk.wait_ready() if line.startswith("curl ")]
    assert curl(commands[0])["status"] == "open"
    assert desk.interrupt() == 0
    desk.leaves_nothing()
    assert [path.name for path in desk.home.parent.iterdir() if path.is_dir()] == ["home"]


@pytest.mark.parametrize("taken", ["rights", "admin", "stub"])
def test_a_port_in_use_is_one_clear_line(furnished: Desk, taken: str):
    port: int = getattr(furnished, taken)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        process = furnished.start("stub")
        assert process.wait(60) == 1
    assert len(furnished.said().splitlines()) == 1
    assert furnished.said().startswith(f"relais: the {taken} server cannot listen")
    assert str(port) in furnished.said()
    furnished.leaves_nothing()


def test_another_run_on_the_same_ports_is_not_taken_for_ours(furnished: Desk, tmp_path: Path):
    furnished.start()
    furnished.wait_ready()
    (tmp_path / "other").mkdir()
    second = Desk(tmp_path / "other")
    second.home, second.rights, second.admin = furnished.home, furnished.rights, furnished.admin
    assert second.start().wait(60) == 1
    assert len(second.said().splitlines()) == 1
    second.leaves_nothing()
    assert furnished.interrupt() == 0
    furnished.leaves_nothing()


def test_a_demo_whose_snapshot_has_expired_makes_the_next(desk: Desk):
    made = [sys.executable, "-m", "service", "init", str(desk.home), "--demo", "--people", "2000"]
    environment = {**os.environ, **shifted(-60 * DAY)}
    subprocess.run(made, cwd=REPOSITORY, env=environment, check=True, capture_output=True, timeout=60)
    desk.start()
    commands = [line for line in desk.wait_ready() if line.startswith("curl ")]
    assert "the demo snapshot has expired: building the next" in desk.said()
    answers = [curl(command) for command in commands]
    assert [answer["status"] for answer in answers] == ["open", "closed", "unknown"]
    assert {answer["source"]["snapshot"] for answer in answers} == {2}
    assert desk.interrupt() == 0
    desk.leaves_nothing()


def orders(desk: Desk) -> list[tuple[str, Any]]:
    """Author and mode of each order that set one."""
    command = [sys.executable, "-m", "service", "orders", "list", "--json", "--home", str(desk.home)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=60, check=True)
    found = json.loads(done.stdout)["orders"]
    return [(order["actor"], order["body"]["mode"]) for order in found if order["kind"] == "mode.set"]


def pasted(command: str) -> Any:
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_with_an_upstream_it_is_live_from_the_start_and_the_stand_in_can_be_broken_and_mended(desk: Desk):
    desk.start("stub")
    lines = [line for line in desk.wait_ready() if line.startswith("curl ")]
    *questions, broken, mended, counts = lines
    answers = [curl(question) for question in questions]
    assert [(answer["mode"], answer["source"]["kind"]) for answer in answers] == [("live", "upstream")] * 3
    assert pasted(counts)["asked"] > 0
    assert pasted(broken)["hang"] is True
    for answer in [curl(question) for question in questions for _ in range(2)]:
        assert answer["source"]["kind"] == "snapshot"
        assert answer["reasons"][0] == "upstream_unavailable"
    assert pasted(mended)["hang"] is False
    wait_until(
        lambda: {curl(question)["source"]["kind"] for question in questions} == {"upstream"},
        90,
        lambda: "never asked again",
    )
    assert orders(desk) == [("demo", "live")]
    assert desk.interrupt() == 0
    desk.leaves_nothing()
    assert "Traceback" not in desk.said()


def test_a_stand_in_that_dies_ends_the_run(furnished: Desk):
    process = furnished.start("stub")
    furnished.wait_ready()
    assert orders(furnished) == [("demo", "live")]
    servers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(servers) == 3
    os.kill(int(servers[2]), signal.SIGKILL)
    assert process.wait(30) == 1
    assert furnished.said().splitlines()[-1] == "relais: the stub server ended: stopping the rest"
    furnished.leaves_nothing()
