"""The snapshot supply chain at the scale of the country: build, sign, verify, look up, load under load, renew.

    .venv/bin/python benchmarks/scale.py --work DIR [--people 33000000] [STAGE…]

Without stages, all of them in turn: rows, baseline, build, slim, verify, lookups, delta, load. Each adds its figures to
benchmarks/results/scale.json, by the number of people, so that a long run may be taken up again. At 33 million people
DIR needs about 75 GB and the whole some hours on two cores. Root lets it empty the page cache for the cold figures.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import lookups as in_layer
from machine import machine
from processes import drop_page_cache, private_megabytes, run, tree

from service.snapshot.records import RECORDS_FILE

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "scale.json"
PORT = 18095
LOAD_SECONDS = 60


@dataclass(frozen=True)
class Scale:
    """One run: where it works, and how many people."""

    work: Path
    people: int

    def path(self, name: str) -> Path:
        return self.work / name

    @property
    def home(self) -> Path:
        """A demo home; its own thousand people serve until the first load."""
        home = self.path("home")
        if not home.exists():
            command(self, "init", str(home), "--demo", "--people", "1000", at_home=False)
        return home


def command(scale: Scale, *words: str, at_home: bool = True) -> Any:
    """Run `relais`."""
    home = ("--home", str(scale.home)) if at_home else ()
    return run([sys.executable, "-m", "service", *words, *home], ROOT)


def rows(scale: Scale) -> dict[str, Any]:
    """The people, and the delivery of the next day in which one in a hundred changed."""
    now = dt.datetime.now(dt.UTC)
    words = [sys.executable, "-m", "stubs.population", "--people", str(scale.people), "--seed", "1"]
    words += ["--today", f"{now:%Y-%m-%d}", "--now", now.isoformat()]
    for name, more in (("", ()), ("-changed", ("--changed-percent", "1"))):
        files = ("--rows", str(scale.path(f"rows{name}.ndjson")), "--policy", str(scale.path(f"policy{name}.toml")))
        run([*words, *files, *more], ROOT)
    return {"source_bytes": scale.path("rows.ndjson").stat().st_size}


def baseline(scale: Scale) -> dict[str, Any]:
    """What anybody would write: a script that imports the same rows into SQLite."""
    script = str(ROOT / "benchmarks" / "sqlite_import.py")
    database = scale.path("baseline.db")
    database.unlink(missing_ok=True)
    files = ("--rows", str(scale.path("rows.ndjson")), "--policy", str(scale.path("policy.toml")))
    done = run([sys.executable, script, *files, "--database", str(database)], ROOT)
    size = database.stat().st_size
    database.unlink()
    said = json.loads(done.output)
    return {**done.figures(), "rows": said["rows"], "bytes_a_person": round(size / said["people"], 1)}


def build(scale: Scale) -> dict[str, Any]:
    """A base with entries by NIR and by member number, signed by two."""
    return _build(scale, "base", 2)


def slim(scale: Scale) -> dict[str, Any]:
    """A base without entries by member number."""
    return _build(scale, "slim", 3, "--no-member-entries")


def verify(scale: Scale) -> dict[str, Any]:
    """The verification of a snapshot against sha256sum of its data file, both from memory, then both from the disk."""
    folder = scale.path("base")
    figures: dict[str, Any] = {}
    for state in ("cold", "warm"):
        emptied = drop_page_cache() if state == "cold" else True
        digest = run(["sha256sum", str(folder / RECORDS_FILE)], ROOT)
        if state == "cold":
            drop_page_cache()
        words = ("snapshot", "verify", str(folder), "--accept", "measuring")
        verified = command(scale, *words)
        figures[state if emptied else "not emptied"] = {
            "verify_seconds": round(verified.wall_seconds, 2),
            "sha256sum_seconds": round(digest.wall_seconds, 2),
            "speed_against_sha256sum": round(digest.wall_seconds / verified.wall_seconds, 2),
        }
    return figures


def lookups(scale: Scale) -> dict[str, Any]:
    """A lookup in a million, in ten million and in all people, the same identities' worth each, warm and cold."""
    figures: dict[str, Any] = {}
    for people in sorted({1_000_000, 10_000_000, scale.people}):
        if people > scale.people:
            continue
        folder = scale.path("base") if people == scale.people else _prefix(scale, people)
        # People of the first million rows, which every one of the layers holds.
        rows = _some_rows(scale, 1_000_000)
        figures[str(people)] = in_layer.measure(folder, scale.home / "keys/pepper.jwk", rows)
    return figures


def delta(scale: Scale) -> dict[str, Any]:
    """One in a hundred changed: the delta's build, and its attestation's."""
    base = str(scale.path("base"))
    made = _build(scale, "delta", 4, "--base", base, delivery="-changed")
    return {**made, "share_of_base": round(made["bytes"] / (scale.path("base") / RECORDS_FILE).stat().st_size, 4)}


def load(scale: Scale) -> dict[str, Any]:
    """Loads at rest and under load, and what each further worker costs."""
    figures: dict[str, Any] = {}
    figures["base_at_rest"] = _load(scale, "base")
    with served(scale, 1) as workers:
        figures["private_megabytes_one_worker"] = _private(workers)
    with served(scale, 2) as workers:
        figures["private_megabytes_two_workers"] = _private(workers)
        built = [name for name in ("slim", "delta") if scale.path(name).exists()]
        figures["under_load"] = {name: _load_under_load(scale, name) for name in built}
        figures["private_megabytes_after_answers"] = _private(workers)
    return figures


def _private(workers: list[int]) -> list[float]:
    time.sleep(5)
    return [round(private_megabytes(pid), 1) for pid in workers]


def _load(scale: Scale, name: str) -> dict[str, Any]:
    return dict(command(scale, "snapshot", "load", str(scale.path(name)), "--accept", "measuring").figures())


def _load_under_load(scale: Scale, name: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "stubs.pharmacy", "load", "--url", f"http://127.0.0.1:{PORT}", "--json"]
    words += ["--client", "demo-pharmacy", "--key", str(scale.home / "keys/demo-pharmacy.jwk"), "--connections", "8"]
    words += ["--rows", str(_some_rows(scale, 100_000))]
    # Long enough for the copy and the verification before the swap.
    size = sum(file.stat().st_size for file in scale.path(name).iterdir())
    seconds = LOAD_SECONDS + size / 50e6
    with subprocess.Popen([*words, "--seconds", str(seconds)], cwd=ROOT, stdout=subprocess.PIPE) as pharmacy:
        time.sleep(10)
        loaded = _load(scale, name)
        report, _ = pharmacy.communicate()
    return {"load": loaded, "pharmacy": json.loads(report)}


@contextmanager
def served(scale: Scale, workers: int) -> Iterator[list[int]]:
    """The rights server, ready; yields its workers."""
    settings = {"RELAIS_RIGHTS_PORT": str(PORT), "RELAIS_RIGHTS_WORKERS": str(workers)}
    words = [sys.executable, "-m", "service", "serve", "rights", "--home", str(scale.home)]
    server = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **settings})
    try:
        _await_ready()
        yield [pid for pid in tree(server.pid) if pid != server.pid]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _await_ready() -> None:
    for _ in range(1200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=2) as response:
                if response.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.25)
    raise SystemExit("the server did not become ready")


def _build(scale: Scale, name: str, sequence: int, *more: str, delivery: str = "") -> dict[str, Any]:
    out = scale.path(name)
    shutil.rmtree(out, ignore_errors=True)
    words = ["snapshot", "build", "--source", str(scale.path(f"rows{delivery}.ndjson"))]
    words += ["--policy", str(scale.path(f"policy{'-changed' if delivery == '-changed' else ''}.toml"))]
    built = command(scale, *words, "--sequence", str(sequence), "--out", str(out), "--json", *more)
    signed = [_sign(scale, out, key) for key in ("signer-1", "signer-2")]
    said = json.loads(built.output)
    size = (out / RECORDS_FILE).stat().st_size
    return {
        **built.figures(),
        "rows": said["rows"],
        "rows_per_second": round(said["rows"] / built.wall_seconds),
        "sign_wall_seconds": signed,
        "entries": said["manifest"]["counts"]["entries"],
        "bytes": size,
        "bytes_a_person": round(size / said["manifest"]["counts"]["people"], 1),
        "builder": {key: said[key] for key in ("seconds", "peak_rss_bytes") if key in said},
    }


def _sign(scale: Scale, out: Path, key: str) -> float:
    done = command(scale, "snapshot", "sign", str(out), "--key", str(scale.home / "keys" / f"{key}.jwk"))
    return round(done.wall_seconds, 1)


def _some_rows(scale: Scale, number: int) -> Path:
    """The first rows, which are as good as any: the file is shuffled."""
    path = scale.path(f"rows-{number}.ndjson")
    if not path.exists():
        with scale.path("rows.ndjson").open("rb") as source, path.open("wb") as file:
            file.writelines(islice(source, number))
    return path


def _prefix(scale: Scale, people: int) -> Path:
    """A base of that many people's rows, for comparison."""
    name = f"base-{people}"
    if not scale.path(name).exists():
        _some_rows(scale, people)
        _build(scale, name, 2, delivery=f"-{people}")
    return scale.path(name)


STAGES: dict[str, Callable[[Scale], dict[str, Any]]] = {
    stage.__name__: stage for stage in (rows, baseline, build, slim, verify, lookups, delta, load)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--people", type=int, default=33_000_000)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], metavar="STAGE")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    scale = Scale(options.work.resolve(), options.people)
    for name in options.stages or STAGES:
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        figures = STAGES[name](scale)
        print(json.dumps(figures, indent=1), flush=True)
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"people": {}}
        of_people = known["people"].setdefault(str(scale.people), {})
        of_people[name] = figures
        RESULTS.write_text(json.dumps({"machine": machine(), "people": known["people"]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
