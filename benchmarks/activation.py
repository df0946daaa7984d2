"""A snapshot loaded under load: failed requests, latencies around the swap, seconds until all workers follow.

Builds a home of --people and, from the people as they are now, its next snapshot; serves it with two workers; loads
the next while a pharmacy's software keeps asking. Writes benchmarks/results/activation.json. Usage:
    python benchmarks/activation.py [--people 1000000] [--connections 8]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from machine import machine

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
PORT = 18090
WARM_SECONDS = 5.0


def relais(home: Path, *arguments: str) -> float:
    """Run a command; the seconds it took."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "service", *arguments, "--home", str(home)], check=True, cwd=ROOT)
    return time.monotonic() - started


def next_snapshot(home: Path, people: int, folder: Path) -> tuple[Path, float, float]:
    """A signed snapshot of sequence 2, with the seconds and the peak memory (MB) of its build."""
    rows, policy, out = folder / "rows.ndjson", folder / "policy.toml", folder / "2"
    population = [sys.executable, "-m", "stubs.population", "--people", str(people), "--seed", "2024"]
    subprocess.run([*population, "--rows", str(rows), "--policy", str(policy)], check=True, cwd=ROOT)
    seconds = relais(
        home, "snapshot", "build", "--source", str(rows), "--policy", str(policy), "--sequence", "2", "--out", str(out)
    )
    # The largest child so far: building is by far the largest.
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    for signer in ("signer-1", "signer-2"):
        relais(home, "snapshot", "sign", str(out), "--key", str(home / "keys" / f"{signer}.jwk"))
    return out, seconds, megabytes


def served(home: Path) -> subprocess.Popen[bytes]:
    """The rights server, ready."""
    environment = {**os.environ, "RELAIS_RIGHTS_PORT": str(PORT), "RELAIS_RIGHTS_WORKERS": "2"}
    command = [sys.executable, "-m", "service", "serve", "rights", "--home", str(home)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment)
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=2) as response:
                if response.status == 200:
                    return server
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not become ready")


def load_under_load(home: Path, out: Path, connections: int) -> tuple[dict[str, object], float]:
    """What the pharmacy saw, and how long `snapshot load` took."""
    command = [sys.executable, "-m", "stubs.pharmacy", "load", "--url", f"http://127.0.0.1:{PORT}"]
    command += ["--client", "demo-pharmacy", "--key", str(home / "keys/demo-pharmacy.jwk")]
    command += ["--rows", str(home / "demo/rows.ndjson"), "--connections", str(connections), "--json"]
    pharmacy = subprocess.Popen([*command, "--seconds", "40"], cwd=ROOT, stdout=subprocess.PIPE)
    time.sleep(WARM_SECONDS)
    seconds = relais(home, "snapshot", "load", str(out))
    report, _ = pharmacy.communicate()
    return json.loads(report), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = folder / "home"
        relais(home, "init", "--demo", "--people", str(options.people))
        out, build_seconds, build_megabytes = next_snapshot(home, options.people, folder)
        server = served(home)
        try:
            report, load_seconds = load_under_load(home, out, options.connections)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
        megabytes = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    print(json.dumps(report, indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "activation.json").write_text(
        json.dumps(
            {
                "machine": machine(),
                "people": options.people,
                "build_seconds": build_seconds,
                "build_peak_megabytes": build_megabytes,
                "snapshot_megabytes": megabytes,
                "load_seconds": load_seconds,
                "pharmacy": report,
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
