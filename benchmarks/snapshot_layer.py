"""Builds a snapshot from given rows and looks people up in it; prints the figures as one JSON object.

    python benchmarks/snapshot_layer.py --rows rows.ndjson --policy policy.toml [--jobs 2] [--no-member-entries]
        [--new-rows later.ndjson --new-policy later.toml] [--lookups 200000] [--folder DIR]

With --new-rows also a delta over it, and the lookups again over both.
CPU seconds are of all processes. Needs about 1.7 times the size of the rows as free space in --folder (by default where
the rows lie): records set aside and the data file.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from lookups import look_up, some_identities
from machine import machine

from service.rights.model import Absence
from service.snapshot.build import build_snapshot
from service.snapshot.plan import BuildPlan, Built
from service.snapshot.records import RECORDS_FILE, Layer, Layered, RecordStore
from service.snapshot.seal import LayerKey

PEPPER = b"not a secret: a pepper to measure"
STAGES = ("base", "read", "compare", "seal", "place")


def cpu_seconds() -> float:
    """Of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def build(plan: BuildPlan) -> tuple[Built, dict[str, Any]]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    built = build_snapshot(plan, dt.datetime.now(dt.UTC))
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    counts, size = built.manifest.counts, sum(entry.size for entry in built.manifest.files)
    return built, {
        "jobs": plan.jobs,
        "rows": built.rows,
        "people": counts.people,
        "entries": counts.entries,
        "changes": msgspec.to_builtins(built.changes),
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "cpu_us_a_row": round(cpu / built.rows * 1e6, 1),
        "cpu_us_a_person": round(cpu / counts.people * 1e6, 1),
        "rows_a_second": round(built.rows_per_second),
        "seconds": {stage: built.seconds[stage] for stage in STAGES if stage in built.seconds},
        "peak_rss_mb": round(built.peak_rss_bytes / 1e6, 1),
        "bytes": size,
        "bytes_an_entry": round(size / max(counts.entries, 1), 1),
        "bytes_a_person": round(size / counts.people, 1),
    }


def lookups(store: RecordStore, identities: list[str]) -> dict[str, Any]:
    return {
        "first_us": look_up(store.find, identities),
        "warm_us": min(look_up(store.find, identities) for _ in range(3)),
        "misses_us": look_up(store.find, [f"{identity}0" for identity in identities]),
        "not_found": sum(isinstance(store.find(identity), Absence) for identity in identities),
    }


def layer(out: Path, built: Built) -> Layer:
    return Layer(out / RECORDS_FILE, LayerKey(PEPPER, built.manifest.salt_bytes))


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    out, over = folder / "base", folder / "delta"
    common: dict[str, Any] = {"pepper_kid": "bench", "pepper": PEPPER, "jobs": arguments.jobs}
    common["member_entries"] = not arguments.no_member_entries
    base, built = build(BuildPlan((arguments.rows,), arguments.policy, out, 1, **common))
    identities = some_identities(arguments.rows, arguments.lookups)
    store: RecordStore = layer(out, base)
    figures: dict[str, Any] = {"base": built, "lookups": lookups(store, identities)}
    store.close()
    if arguments.new_rows:
        plan = BuildPlan((arguments.new_rows,), arguments.new_policy, over, 2, base=out, **common)
        delta, figures["delta"] = build(plan)
        store = Layered(layer(over, delta), layer(out, base))
        figures["lookups_over_both"] = lookups(store, identities)
        store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--new-rows", type=Path)
    parser.add_argument("--new-policy", type=Path)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--no-member-entries", action="store_true")
    parser.add_argument("--lookups", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.new_rows and not arguments.new_policy:
        parser.error("--new-rows come with a --new-policy")
    with tempfile.TemporaryDirectory(dir=arguments.folder or arguments.rows.parent) as folder:
        figures = measure(arguments, Path(folder))
    json.dump({"machine": machine(), **figures}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
