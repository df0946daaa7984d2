"""Builds a snapshot from given rows and looks people up in it; prints the figures as one JSON object.

    .venv/bin/python benchmarks/snapshot_layer.py --rows rows.ndjson --policy policy.toml [--lookups 200000]

Needs about the size of the rows again as free space beside them. CPU seconds are of one process and one core.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from service.errors import RowRejected
from service.identifiers import nir_identity
from service.rights.model import Absence
from service.snapshot.build import BuildPlan, Built, build_snapshot
from service.snapshot.records import RECORDS_FILE, Layer
from service.snapshot.seal import LayerKey
from service.snapshot.sources import open_source

PEPPER = b"not a secret: a pepper to measure"


def build(rows: Path, policy: Path, out: Path) -> tuple[Built, dict[str, float]]:
    plan = BuildPlan((rows,), policy, out, 1, "bench", PEPPER)
    wall, cpu = time.perf_counter(), time.process_time()
    built = build_snapshot(plan, dt.datetime.now(dt.UTC))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    size = (out / RECORDS_FILE).stat().st_size
    return built, {
        "rows": built.rows,
        "people": built.manifest.counts.people,
        "entries": built.manifest.counts.entries,
        "build_wall_s": round(wall, 2),
        "build_cpu_s": round(cpu, 2),
        "build_cpu_us_a_row": round(cpu / built.rows * 1e6, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "bytes_an_entry": round(size / built.manifest.counts.entries, 1),
    }


def some_identities(rows: Path, number: int) -> list[str]:
    chance = random.Random(1)  # noqa: S311 - the same people in every run
    kept: list[str] = []
    with open_source(rows) as source:
        for _, row in source:
            if isinstance(row, RowRejected) or chance.random() > 0.2:
                continue
            kept.append(nir_identity(row.nir, row.birth_date, row.birth_rank))
            if len(kept) >= number:
                break
    chance.shuffle(kept)
    return kept


def look_up(layer: Layer, identities: list[str]) -> float:
    """CPU microseconds a lookup."""
    find = layer.find
    started = time.process_time()
    for identity in identities:
        find(identity)
    return round((time.process_time() - started) / len(identities) * 1e6, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--lookups", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.rows.parent) as folder:
        out = Path(folder) / "snapshot"
        built, figures = build(arguments.rows, arguments.policy, out)
        layer = Layer(out / RECORDS_FILE, LayerKey(PEPPER, built.manifest.salt_bytes))
        identities = some_identities(arguments.rows, arguments.lookups)
        figures["first_lookups_us"] = look_up(layer, identities)
        figures["warm_lookups_us"] = min(look_up(layer, identities) for _ in range(3))
        figures["misses_us"] = look_up(layer, [f"{identity}0" for identity in identities])
        figures["not_found"] = sum(isinstance(layer.find(identity), Absence) for identity in identities)
        layer.close()
    figures["cores"] = os.cpu_count() or 0
    json.dump(figures, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
