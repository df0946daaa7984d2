"""Signed, journaled answers against a bare aiohttp POST that reads its body: ratios of one run, rounds interleaved.

One worker pinned to core 0, the load on core 1. Writes benchmarks/results/answers.md and .json. Usage:
    python benchmarks/answers.py [--rounds 5] [--seconds 4] [--people 100000]
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path

import wire
from machine import machine
from servers import SERVE_RIGHTS, gunicorn, parse_options, queries, relais, served

RESULTS = Path(__file__).parent / "results"
CONNECTIONS = (1, 8, 32)
BARE, DURABLE, UNSYNCED = "bare aiohttp", "relais, fsync", "relais, no fsync"
PORTS = {BARE: 18080, DURABLE: 18081, UNSYNCED: 18082}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(rounds: int, seconds: float, home: Path) -> list[dict[str, object]]:
    token = relais(home, "token", "mint", "--client", "demo-pharmacy", "--key", str(home / "keys/demo-pharmacy.jwk"))
    token = token.split()[-1]
    bodies = queries(home, 4000)
    requests = {
        name: [wire.post("/v1/rights", body, "" if name == BARE else token, port) for body in bodies]
        for name, port in PORTS.items()
    }
    serve = [*SERVE_RIGHTS, str(home)]
    one = {"RELAIS_RIGHTS_WORKERS": "1"}
    samples: list[dict[str, object]] = []
    with (
        served(gunicorn("bare:app", PORTS[BARE]), {}, PORTS[BARE]) as a,
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
    options = parse_options(__doc__, people=100_000)
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
