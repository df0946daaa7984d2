"""However a build ends, nothing half made is left, and no process of it lives on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

RELAIS = [sys.executable, "-m", "service"]
PEOPLE = 40_000


@dataclass(frozen=True)
class Workshop:
    """A folder with a home, rows and a policy, and the words that build from them."""

    root: Path

    def words(self, *more: str, jobs: int = 2) -> list[str]:
        root = str(self.root)
        named = ["--source", f"{root}/rows.ndjson", "--policy", f"{root}/policy.toml", "--home", f"{root}/home"]
        return [*RELAIS, "snapshot", "build", *named, "--sequence", "1", "--jobs", str(jobs), *more]

    def out(self, name: str = "out") -> Path:
        return self.root / "made" / name

    def left(self) -> list[str]:
        return sorted(entry.name for entry in (self.root / "made").iterdir())

    def limited(self, limit: str, jobs: int = 2) -> subprocess.CompletedProcess[str]:
        """A build under a limit of the shell's `ulimit`."""
        script = f'ulimit {limit} && exec "$@"'
        words = ["bash", "-c", script, "bash", *self.words("--out", str(self.out()), jobs=jobs)]
        return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("workshop")
    (root / "home" / "keys").mkdir(parents=True)
    (root / "home" / "relais.toml").touch()
    (root / "made").mkdir()
    pepper = str(root / "home" / "keys" / "pepper.jwk")
    subprocess.run([*RELAIS, "keys", "new", "--use", "pepper", "--out", pepper], check=True, capture_output=True)
    rows, policy = str(root / "rows.ndjson"), str(root / "policy.toml")
    words = ["--people", str(PEOPLE), "--rows", rows, "--policy", policy]
    subprocess.run([RELAIS[0], "-m", "stubs.population", *words], check=True, capture_output=True)
    return Workshop(root)


@pytest.fixture
def running(workshop: Workshop) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A build at work, in a process group of its own as a shell gives it, and its workers."""
    command = subprocess.Popen(
        workshop.words("--out", str(workshop.out())), stderr=subprocess.PIPE, text=True, process_group=0
    )
    until(lambda: len(workers_of(command.pid)) == 2)
    time.sleep(0.5)
    yield command, workers_of(command.pid)
    command.kill()
    command.wait()
    assert command.stderr is not None
    command.stderr.close()


def workers_of(parent: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def test_ctrl_c_ends_all_of_it_with_one_line(workshop: Workshop, running: tuple[subprocess.Popen[str], list[int]]):
    command, workers = running
    os.killpg(command.pid, signal.SIGINT)
    assert command.stderr is not None
    assert command.stderr.read() == "relais: interrupted\n"
    assert command.wait(10) == 1
    assert workshop.left() == []
    assert not any(map(alive, workers))


def test_no_worker_outlives_a_command_that_is_killed(
    workshop: Workshop, running: tuple[subprocess.Popen[str], list[int]]
):
    """Then nobody can clean up; what is left holds sealed records only, has a name of its own and stops no other."""
    command, workers = running
    command.kill()
    command.wait()
    until(lambda: not any(map(alive, workers)))
    (left,) = workshop.left()
    assert left.startswith(".out.")
    assert left.endswith(".build")
    done = subprocess.run(workshop.words("--out", str(workshop.out("again"))), capture_output=True, check=False)
    assert done.returncode == 0
    assert workshop.left() == [left, "again"]
    for name in workshop.left():
        shutil.rmtree(workshop.out(name))


@pytest.mark.parametrize("kilobytes", [64, 3000, 9000])
def test_a_disk_that_takes_no_more_is_said_in_one_line(workshop: Workshop, kilobytes: int):
    """At the first block set aside, in the middle, and in the data file."""
    done = workshop.limited(f"-f {kilobytes}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "File too large" in done.stderr or "the disk is full or fails" in done.stderr
    assert workshop.left() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
@pytest.mark.parametrize("megabytes", [4, 20])
def test_a_full_disk_is_said_in_one_line(workshop: Workshop, megabytes: int):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(workshop.root / "made")], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        done = workshop.limited("-f unlimited")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "No space left on device" in done.stderr or "the disk is full or fails" in done.stderr
        assert workshop.left() == []
    finally:
        subprocess.run(["umount", str(workshop.root / "made")], check=True)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cap_on_memory_ends_in_one_line(workshop: Workshop, jobs: int):
    """Enough for the interpreter, too little for what the build holds and maps."""
    started = most_kilobytes([*RELAIS, "snapshot", "build", "--help"])
    whole = most_kilobytes(workshop.words("--out", str(workshop.out()), jobs=jobs))
    shutil.rmtree(workshop.out())
    done = workshop.limited(f"-v {(started + whole) // 2}", jobs)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("relais: ")
    assert workshop.left() == []


def most_kilobytes(words: list[str]) -> int:
    """How much address space a command took at its peak."""
    most = 0
    command = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while command.poll() is None:
        lines = Path(f"/proc/{command.pid}/status").read_text().splitlines()
        most = max([most, *(int(line.split()[1]) for line in lines if line.startswith("VmPeak:"))])
        time.sleep(0.005)
    return most
