"""Servers under measurement, pinned to core 0, and what they are asked; the load has core 1."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVE_RIGHTS = [sys.executable, "-m", "service", "serve", "rights", "--home"]


def parse_options(description: str | None, people: int) -> argparse.Namespace:
    """Rounds, seconds and people of a run."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--people", type=int, default=people)
    return parser.parse_args()


def relais(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "service", *arguments, "--home", str(home)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


@contextmanager
def served(command: list[str], environment: dict[str, str], port: int) -> Iterator[int]:
    """A server pinned to core 0; yields its worker's pid."""
    process = subprocess.Popen(["taskset", "-c", "0", *command], env={**os.environ, **environment}, cwd=ROOT)
    try:
        for _ in range(400):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if children and listening(port):
                break
            time.sleep(0.05)
        yield int(children[0])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def gunicorn(application: str, port: int) -> list[str]:
    """One worker of an application that lies in this folder."""
    words = [sys.executable, "-m", "gunicorn", application, "--chdir", "benchmarks", "-k"]
    words += ["aiohttp.GunicornUVLoopWebWorker", "-w", "1", "-b", f"127.0.0.1:{port}"]
    return [*words, "--no-control-socket", "--log-level", "warning"]


def queries(home: Path, many: int) -> list[bytes]:
    bodies = []
    with (home / "demo" / "rows.ndjson").open("rb") as rows:
        for line, _ in zip(rows, range(many), strict=False):
            row = json.loads(line)
            person = {name: row[name] for name in ("nir", "birth_date", "birth_rank")}
            bodies.append(json.dumps({"beneficiary": person, "benefits": ["PH7", "PH4"]}).encode())
    return bodies
