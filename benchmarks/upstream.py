"""Mode live and its fallback: ratios of one run, rounds interleaved.

Three homes of the same people, one worker each on core 0, the load and the upstream on core 1: mode degraded; live with
an upstream that hangs (its breaker open); live with one that answers, nothing kept, beside a bare aiohttp proxy of the
same upstream. Then eight workers, and the milliseconds from giving an order until the last of them follows. Writes
benchmarks/results/upstream.json. Usage:
    python benchmarks/upstream.py [--rounds 5] [--seconds 4] [--people 20000]
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import aiohttp
import wire
from machine import machine
from servers import ROOT, SERVE_RIGHTS, gunicorn, listening, parse_options, queries, relais, served

from service.cli.common import open_home
from service.cli.ordering import open_ledger
from service.control.format import EVERYWHERE, Kind
from service.control.intent import Intent
from service.keyring import load_order_key

RESULTS = Path(__file__).parent / "results" / "upstream.json"
CONNECTIONS = 32
DEGRADED, HUNG, LIVE, PROXY = "degraded", "live, upstream hung", "live", "bare aiohttp proxy"
PORTS = {DEGRADED: 18201, HUNG: 18202, LIVE: 18203, PROXY: 18204}
UPSTREAMS = {HUNG: 18212, LIVE: 18213, PROXY: 18213}
FLEET_PORT, FLEET_WORKERS, FLEET_CONNECTIONS, ORDERS = 18220, 8, 64, 20


@contextmanager
def upstream(home: Path, port: int) -> Iterator[None]:
    words = [sys.executable, "-m", "stubs.visiodroits", "--rows", str(home / "demo/rows.ndjson"), "--port", str(port)]
    with subprocess.Popen(["taskset", "-c", "1", *words], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while not listening(port):
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def put(port: int, path: str, body: dict[str, Any]) -> None:
    link = HTTPConnection("127.0.0.1", port)
    link.request("PUT", path, json.dumps(body), {"Content-Type": "application/json"})
    assert link.getresponse().status == 200
    link.close()


def rights(home: Path, name: str) -> list[str]:
    copy = home.with_name(f"home-{PORTS[name]}")
    shutil.copytree(home, copy)
    if name != DEGRADED:
        words = ["mode", "set", "live", "--reason", "measuring", "--home", str(copy)]
        environment = {**os.environ, "RELAIS_UPSTREAM_URL": f"http://127.0.0.1:{UPSTREAMS[name]}"}
        subprocess.run([sys.executable, "-m", "service", *words], check=True, cwd=ROOT, env=environment)
    return [*SERVE_RIGHTS, str(copy)]


def answers(home: Path, rounds: int, seconds: float) -> dict[str, Any]:
    key = str(home / "keys/demo-pharmacy.jwk")
    token = relais(home, "token", "mint", "--client", "demo-pharmacy", "--key", key, "--lifetime", "600").split()[-1]
    day = {"service_date": dt.datetime.now(dt.UTC).date().isoformat(), "domain": "PHAR", "finess": "750012346"}
    bodies = [json.dumps({**json.loads(body), **day}).encode() for body in queries(home, 4000)]
    requests = {
        name: [wire.post("/v1/rights", body, "" if name == PROXY else token, port) for body in bodies]
        for name, port in PORTS.items()
    }
    common = {"RELAIS_RIGHTS_WORKERS": "1", "RELAIS_UPSTREAM_STEP_SECONDS": "0", "RELAIS_UPSTREAM_CACHE_SECONDS": "0"}
    samples: dict[str, list[wire.Load]] = {name: [] for name in PORTS}
    with ExitStack() as stack:
        for port in sorted(set(UPSTREAMS.values())):
            stack.enter_context(upstream(home, port))
        for name, port in PORTS.items():
            url = f"http://127.0.0.1:{UPSTREAMS.get(name, 0)}"
            settings = {"UPSTREAM_URL": url} if name == PROXY else {**common, "RELAIS_RIGHTS_PORT": str(port)}
            if name in (HUNG, LIVE):
                settings["RELAIS_UPSTREAM_URL"] = url
            command = gunicorn("proxy:app", port) if name == PROXY else rights(home, name)
            stack.enter_context(served(command, settings, port))
        put(UPSTREAMS[HUNG], "/faults", {"hang": True})
        for name, port in PORTS.items():
            wire.run(port, requests[name], CONNECTIONS, 3.0)
        for _ in range(rounds):
            for name, port in PORTS.items():
                load = wire.run(port, requests[name], CONNECTIONS, seconds)
                assert set(load.statuses) == {200}, (name, load.statuses)
                assert not load.failures, (name, load.failures)
                samples[name].append(load)
    return {
        name: {
            "answers_per_second": round(statistics.median(load.rate for load in loads)),
            "p50_ms": round(statistics.median(load.percentile(0.5) for load in loads), 2),
            "p99_ms": round(statistics.median(load.percentile(0.99) for load in loads), 2),
            "max_ms": round(max(load.percentile(1) for load in loads), 1),
        }
        for name, loads in samples.items()
    }


def following(home: Path) -> list[float]:
    """Milliseconds from giving an order to the first response of the last worker that names its mode."""
    settings = {"RELAIS_RIGHTS_PORT": str(FLEET_PORT), "RELAIS_RIGHTS_WORKERS": str(FLEET_WORKERS)}
    with subprocess.Popen([*SERVE_RIGHTS, str(home)], env={**os.environ, **settings}, cwd=ROOT) as server:
        try:
            while not listening(FLEET_PORT):
                time.sleep(0.05)
            time.sleep(8)
            return asyncio.run(_follow(home))
        finally:
            server.terminate()


async def _follow(home: Path) -> list[float]:
    place, settings = open_home(home)
    key, taken = load_order_key(place, settings), []
    with open_ledger(place, settings) as ledger:
        connector = aiohttp.TCPConnector(limit=FLEET_CONNECTIONS)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{FLEET_PORT}", connector=connector) as session:
            for number in range(ORDERS):
                mode = ("suspended", "degraded")[number % 2]
                intent = Intent(
                    kind=Kind.MODE_SET, scope=EVERYWHERE, body={"mode": mode}, reason="measuring", actor="cli:bench"
                )
                seen: list[float] = []
                watching = [asyncio.create_task(_watch(session, mode, seen)) for _ in range(FLEET_CONNECTIONS)]
                await asyncio.sleep(0.5)
                given = time.monotonic()
                await asyncio.to_thread(ledger.issue, intent, key, dt.datetime.now(dt.UTC))
                await asyncio.gather(*watching)
                taken.append(1000 * (max(seen) - given))
    return taken


async def _watch(session: aiohttp.ClientSession, mode: str, seen: list[float]) -> None:
    """Ask over and over; each of the connections stays with the worker that took it."""
    while True:
        async with session.get("/livez") as response:
            if response.headers["Relais-Mode"] == mode:
                seen.append(time.monotonic())
                return
        await asyncio.sleep(0.02)


def main() -> None:
    options = parse_options(__doc__, people=20_000)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        relais(home, "init", "--demo", "--people", str(options.people))
        os.sched_setaffinity(0, {1})
        figures = answers(home, options.rounds, options.seconds)
        os.sched_setaffinity(0, {0, 1})
        orders = following(home)
    rate = {name: figures[name]["answers_per_second"] for name in PORTS}
    result = {
        "machine": machine(),
        "answers": figures,
        "hung_against_degraded": round(rate[HUNG] / rate[DEGRADED], 2),
        "live_against_proxy": round(rate[LIVE] / rate[PROXY], 2),
        "order_to_last_of_8_workers_ms": {"median": round(statistics.median(orders)), "max": round(max(orders))},
    }
    print(json.dumps(result, indent=1))
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
