"""Signed, journaled answers against a bare aiohttp POST that reads its body: ratios of one run, rounds interleaved.

One worker pinned to core 0, the load on core 1. Writes benchmarks/results/answers.md and .json. Usage:
    python benchmarks/answers.py [--rounds 5] [--seconds 4] [--people 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wire
from machine import machine

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
CONNECTIONS = (1, 8, 32)
BARE, DURABLE, UNSYNCED = "bare aiohttp", "relais, fsync", "relais, no fsync"
PORTS = {BARE: 18080, DURABLE: 18081, UNSYNCED: 18082}


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


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def queries(home: Path, many: int) -> list[bytes]:
    bodies = []
    with (home / "demo" / "rows.ndjson").open("rb") as rows:
        for line, _ in zip(rows, range(many), strict=False):
            row = json.loads(line)
            person = {name: row[name] for name in ("nir", "birth_date", "birth_rank")}
            bodies.append(json.dumps({"beneficiary": person, "benefits": ["PH7", "PH4"]}).encode())
    return bodies


def measure(rounds: int, seconds: float, home: Path) -> list[dict[str, object]]:
    token = relais(home, "token", "mint", "--client", "demo-pharmacy", "--key", str(home / "keys/demo-pharmacy.jwk"))
    token = token.split()[-1]
    bodies = queries(home, 4000)
    requests = {
        name: [wire.post("/v1/rights", body, "" if name == BARE else token, port) for body in bodies]
        for name, port in PORTS.items()
    }
    serve = [sys.executable, "-m", "service", "serve", "rights", "--home", str(home)]
    bare = [
        sys.executable,
        "-m",
        "gunicorn",
        "bare:app",
        "--chdir",
        "benchmarks",
        "-k",
        "aiohttp.GunicornUVLoopWebWorker",
        "-w",
        "1",
        "-b",
        f"127.0.0.1:{PORTS[BARE]}",
        "--no-control-socket",
        "--log-level",
        "warning",
    ]
    one = {"RELAIS_RIGHTS_WORKERS": "1"}
    samples: list[dict[str, object]] = []
    with (
        served(bare, {}, PORTS[BARE]) as a,
        served(serve, {**one, "RELAIS_RIGHTS_PORT": str(PORTS[DURABLE])}, PORTS[DURABLE]) as b,
        served(
            serve, {**one, "RELAIS_RIGHTS_PORT": str(PORTS[UNSYNCED]), "RELAIS_JOURNAL_FSYNC": "false"}, PORTS[UNSYNCED]
        ) as c,
    ):
        pids = {BARE: a, DURABLE: b, UNSYNCED: c}
        for name, port in PORTS.items():
            wire.run(port, requests[name], 8, 1.0)
        for turn in range(rounds):
            for connections in CONNECTIONS:
                for name, port in PORTS.items():
                    before = cpu_seconds(pids[name])
                    load = wire.run(port, requests[name], connections, seconds)
                    spent = cpu_seconds(pids[name]) - before
                    done = sum(load.statuses.values())
                    assert set(load.statuses) == {200}, (name, load.statuses)
                    assert not load.failures, (name, load.failures)
                    samples.append(
                        {
                            "round": turn,
                            "server": name,
                            "connections": connections,
                            "rate": load.rate,
                            "cpu_us": 1e6 * spent / done,
                            "p50_ms": load.percentile(0.5),
                            "p99_ms": load.percentile(0.99),
                        }
                    )
    return samples


def table(samples: list[dict[str, object]]) -> str:
    def median(server: str, connections: int, figure: str) -> float:
        return statistics.median(
            float(str(s[figure])) for s in samples if s["server"] == server and s["connections"] == connections
        )

    lines = [
        "| connections | server | requests/s | ratio to bare | CPU µs a request | ratio of CPU | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for connections in CONNECTIONS:
        for server in PORTS:
            rate, cpu = median(server, connections, "rate"), median(server, connections, "cpu_us")
            lines.append(
                f"| {connections} | {server} | {rate:,.0f} | {rate / median(BARE, connections, 'rate'):.2f} "
                f"| {cpu:.0f} | "
                f"{median(BARE, connections, 'cpu_us') / cpu:.2f} | {median(server, connections, 'p50_ms'):.2f} | "
                f"{median(server, connections, 'p99_ms'):.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--people", type=int, default=100_000)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.sched_setaffinity(0, {0, 1})
        relais(home, "init", "--demo", "--people", str(options.people))
        os.sched_setaffinity(0, {1})
        samples = measure(options.rounds, options.seconds, home)
    text = table(samples)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    where = machine()
    (RESULTS / "answers.json").write_text(json.dumps({"machine": where, "samples": samples}, indent=1) + "\n")
    (RESULTS / "answers.md").write_text(
        "# Signed, journaled answers against a bare aiohttp POST\n\n"
        f"Medians of {options.rounds} interleaved rounds of {options.seconds:g} s, {options.people:,} people; one "
        f"worker on core 0, load from core 1. Machine: {where['cpu']}, {where['cores']} cores, "
        f"Linux {where['kernel']}, "
        f"Python {where['python']}. Reproduce: `make bench`.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
