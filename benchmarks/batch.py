"""Lookups in batches against single answers: ratios of one run, rounds interleaved, the same worker for both.

One worker pinned to core 0, the load on core 1. Writes benchmarks/results/batch.md and .json. Usage:
    python benchmarks/batch.py [--rounds 5] [--seconds 4] [--people 100000]
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

import wire
from answers import cpu_seconds
from machine import machine
from servers import SERVE_RIGHTS, parse_options, queries, relais, served

RESULTS = Path(__file__).parent / "results"
PORT = 18083
FINESS = ("750012346", "130012342", "2A0012346")


class Way(NamedTuple):
    """One way to ask: `size` queries a request (0: by themselves) on so many connections."""

    size: int
    connections: int

    @property
    def name(self) -> str:
        return f"batches of {self.size}" if self.size else "single"


ALONE = Way(0, 32)
WAYS = (ALONE, Way(10, 8), Way(100, 8), Way(200, 8))


def requests(home: Path, way: Way) -> list[bytes]:
    """What is sent: by a pharmacy one by one, by a hub for its three pharmacies in turn."""
    client = "demo-hub" if way.size else "demo-pharmacy"
    token = relais(home, "token", "mint", "--client", client, "--key", str(home / f"keys/{client}.jwk")).split()[-1]
    bodies = queries(home, 8000)
    if not way.size:
        return [wire.post("/v1/rights", body, token, PORT) for body in bodies]
    asked = [b'{"finess":"%s",%s' % (FINESS[n % 3].encode(), body[1:]) for n, body in enumerate(bodies)]
    sent = []
    for start in range(0, len(asked) - way.size + 1, way.size):
        body = b'{"queries":[' + b",".join(asked[start : start + way.size]) + b"]}"
        sent.append(wire.post("/v1/rights/batch", body, token, PORT))
    return sent


def measure(rounds: int, seconds: float, home: Path) -> list[dict[str, object]]:
    sent = {way: requests(home, way) for way in WAYS}
    samples: list[dict[str, object]] = []
    environment = {"RELAIS_RIGHTS_WORKERS": "1", "RELAIS_RIGHTS_PORT": str(PORT)}
    with served([*SERVE_RIGHTS, str(home)], environment, PORT) as pid:
        for way in WAYS:
            wire.run(PORT, sent[way], way.connections, 1.0)
        for turn in range(rounds):
            for way in WAYS:
                before = cpu_seconds(pid)
                load = wire.run(PORT, sent[way], way.connections, seconds)
                spent = cpu_seconds(pid) - before
                assert set(load.statuses) == {200}, load.statuses
                assert not load.failures, load.failures
                lookups = max(1, way.size)
                samples.append(
                    {
                        "round": turn,
                        "way": way.name,
                        "connections": way.connections,
                        "lookups_per_second": load.rate * lookups,
                        "cpu_us_per_lookup": 1e6 * spent / (sum(load.statuses.values()) * lookups),
                        "p50_ms": load.percentile(0.5),
                        "p99_ms": load.percentile(0.99),
                    }
                )
    return samples


def table(samples: list[dict[str, object]]) -> str:
    def median(way: Way, figure: str) -> float:
        return statistics.median(float(str(sample[figure])) for sample in samples if sample["way"] == way.name)

    lines = [
        "| asked | connections | lookups/s | ratio to single | CPU µs a lookup | ratio of CPU | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way in WAYS:
        rate, cpu = median(way, "lookups_per_second"), median(way, "cpu_us_per_lookup")
        lines.append(
            f"| {way.name} | {way.connections} | {rate:,.0f} | {rate / median(ALONE, 'lookups_per_second'):.2f} "
            f"| {cpu:.0f} | {median(ALONE, 'cpu_us_per_lookup') / cpu:.2f} "
            f"| {median(way, 'p50_ms'):.2f} | {median(way, 'p99_ms'):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    options = parse_options(__doc__, people=100_000)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        relais(home, "init", "--demo", "--people", str(options.people))
        os.sched_setaffinity(0, {1})
        samples = measure(options.rounds, options.seconds, home)
    text = table(samples)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    where = machine()
    (RESULTS / "batch.json").write_text(json.dumps({"machine": where, "samples": samples}, indent=1) + "\n")
    (RESULTS / "batch.md").write_text(
        "# Lookups in batches against single answers\n\n"
        f"Medians of {options.rounds} interleaved rounds of {options.seconds:g} s, {options.people:,} people; one "
        f"worker on core 0, load from core 1. Machine: {where['cpu']}, {where['cores']} cores, "
        f"Linux {where['kernel']}, Python {where['python']}. "
        f"Load average at the end: {os.getloadavg()[0]:.1f}. Reproduce: `python benchmarks/batch.py`.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
