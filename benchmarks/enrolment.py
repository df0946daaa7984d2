"""20,000 pharmacies of a vendor's list, from the file to the last worker, under load. Writes results/enrolment.json.

A demo home with two people, two rights workers and the admin server. A vendor's list is proposed by the command line
and approved over HTTP, while pharmacies ask. Figures are wall-clock seconds on a machine that does the load, too.

Usage:
    python benchmarks/enrolment.py [--clients 20000] [--connections 4]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import wire
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from machine import machine
from servers import ROOT, queries, relais

from service.jwk import parse_private_jwk, private_jwk
from service.jws import sign_compact
from service.keyfiles import KeyUse, load_private, write_new_key

RESULTS = Path(__file__).parent / "results"
RIGHTS, ADMIN = 18090, 18091
WORKERS = 2
_AUDIENCE = "relais-droits"


def write_list(folder: Path, vendor: Path, clients: int) -> None:
    """A vendor's list of that many pharmacies, and the numbers that may be registered."""
    listed = []
    for number in range(clients):
        public = parse_private_jwk(private_jwk(Ed25519PrivateKey.generate())).public
        listed.append({"id": f"pharmacy-{number:06d}", "finess": f"{750_000_000 + number}", "jwk": dict(public.jwk)})
    payload = {"iss": "editor", "aud": _AUDIENCE, "iat": int(time.time()), "clients": listed}
    (folder / "list.jws").write_text(
        sign_compact(json.dumps(payload).encode(), "relais-enrolment+jws", load_private(vendor))
    )
    (folder / "finess.txt").write_text("\n".join(one["finess"] for one in listed))


@contextmanager
def serving(home: Path, server: str, port: int, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server, once it is ready."""
    name = server.upper()
    environment = {**os.environ, f"RELAIS_{name}_PORT": str(port), f"RELAIS_{name}_WORKERS": str(workers)}
    command = [sys.executable, "-m", "service", "serve", server, "--home", str(home)]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        while not is_ready(port):
            assert process.poll() is None, f"{server} ended"
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def is_ready(port: int) -> bool:
    try:
        return request(port, "GET", "/readyz")[0] == 200
    except OSError:
        return False


def request(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = None if body is None else json.dumps(body).encode()
        connection.request(method, path, raw, {"Content-Type": "application/json", **named})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


class Pressure:
    """Load in slices of a second, each with what it saw."""

    def __init__(self, requests: list[bytes], connections: int) -> None:
        self._requests, self._connections = requests, connections
        self._ends = threading.Event()
        self.slices: list[wire.Load] = []
        self._thread = threading.Thread(target=self._press)

    def _press(self) -> None:
        while not self._ends.is_set():
            self.slices.append(wire.run(RIGHTS, self._requests, self._connections, 1.0))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def figures(self) -> dict[str, Any]:
        """Of all slices together."""
        whole = wire.Load(seconds=sum(one.seconds for one in self.slices))
        for one in self.slices:
            whole.latencies += one.latencies
            whole.failures += one.failures
            for status, number in one.statuses.items():
                whole.statuses[status] = whole.statuses.get(status, 0) + number
        return {
            "statuses": whole.statuses,
            "failures": whole.failures,
            "rate": round(whole.rate),
            "p50_ms": round(whole.percentile(0.5), 2),
            "p99_ms": round(whole.percentile(0.99), 2),
            "max_ms": round(1000 * max(whole.latencies), 1),
        }


def follows(home: Path, version: int) -> bool:
    """Whether both workers follow; asked of the heartbeats alone, for a command would measure itself."""
    script = (
        "import sqlite3, sys\n"
        "rows = sqlite3.connect(sys.argv[1]).execute("
        "\"SELECT order_version FROM heartbeats WHERE server = 'rights'\").fetchall()\n"
        "print(len(rows), min(row[0] for row in rows))"
    )
    command = [sys.executable, "-c", script, str(home / "control" / "fleet.db")]
    done = subprocess.run(command, capture_output=True, check=True)
    workers, least = done.stdout.split()
    return int(workers) >= WORKERS and int(least) >= version


def timed(home: Path, *words: str) -> tuple[float, str]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "service", *words, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ, check=False)
    assert done.returncode in (0, 4), (words, done.stderr)
    return round(time.perf_counter() - began, 2), done.stdout


def measure(home: Path, clients: int, connections: int) -> dict[str, Any]:
    token = relais(home, "token", "mint", "--client", "demo-pharmacy", "--key", str(home / "keys/demo-pharmacy.jwk"))
    admin = relais(home, "token", "mint", "--client", "demo-admin", "--key", str(home / "keys/demo-admin.jwk"))
    bearer = f"Bearer {admin.split()[-1]}"
    requests = [wire.post("/v1/rights", body, token.split()[-1], RIGHTS) for body in queries(home, 2000)]
    found: dict[str, Any] = {"clients": clients, "workers": WORKERS, "connections": connections}
    with serving(home, "rights", RIGHTS, WORKERS), serving(home, "admin", ADMIN, 1):
        with Pressure(requests, connections) as calm:
            time.sleep(6)
        found["calm"] = calm.figures()
        with Pressure(requests, connections) as pressed:
            words = ["client", "import", str(home / "list.jws"), "--vendor", "editor", "--json"]
            found["import_seconds"], said = timed(home, *words, "--allowed", str(home / "finess.txt"))
            (proposal,) = json.loads(said)["proposals"]
            path = f"/admin/v1/proposals/{proposal['id']}"
            _, shown = request(ADMIN, "GET", path, Authorization=bearer)
            began = time.perf_counter()
            reason = {"reason": "a vendor's list"}
            headers = {"Authorization": bearer, "If_Match": shown["etag"]}
            status, approved = request(ADMIN, "POST", f"{path}/approve", reason, **headers)
            assert status == 200, approved
            found["approve_seconds"] = round(time.perf_counter() - began, 2)
            while not follows(home, approved["order"]):
                time.sleep(0.05)
            found["approved_to_followed_seconds"] = round(time.perf_counter() - began, 2)
            time.sleep(3)
        found["pressed"] = pressed.figures()
        found["slice_p99_ms"] = [round(one.percentile(0.99), 1) for one in pressed.slices]
        found["status_seconds"] = min(timed(home, "status")[0] for _ in range(3))
        found["suspend_seconds"] = timed(home, "client", "suspend", "pharmacy-000007", "--reason", "measured")[0]
    found["list_to_followed_seconds"] = round(found["import_seconds"] + found["approved_to_followed_seconds"], 2)
    began = time.perf_counter()
    with serving(home, "rights", RIGHTS, 1):
        found["start_seconds"] = round(time.perf_counter() - began, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        subprocess.run(
            [sys.executable, "-m", "service", "init", str(home), "--demo", "--people", "20000"], check=True, cwd=ROOT
        )
        write_new_key(KeyUse.CLIENT, home / "keys/editor.jwk")
        relais(home, "client", "add", "editor", "--class", "vendor", "--key", str(home / "keys/editor.pub.jwk"))
        write_list(home, home / "keys/editor.jwk", arguments.clients)
        os.environ["RELAIS_CONTROL_TWO_PERSON"] = "always"
        found = {"machine": machine(), **measure(home, arguments.clients, arguments.connections)}
    print(json.dumps(found, indent=2))
    (RESULTS / "enrolment.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
