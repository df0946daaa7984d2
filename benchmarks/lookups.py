"""What a look-up costs: warm, missed, and with nothing in memory."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import drop_page_cache

from service.errors import RowRejected
from service.identifiers import nir_identity
from service.rights.model import Absence
from service.snapshot.pepper import load_peppers
from service.snapshot.records import RECORDS_FILE, Layer
from service.snapshot.seal import LayerKey
from service.snapshot.signing import read_draft
from service.snapshot.sources import open_source

LOOKUPS = 200_000
COLD_LOOKUPS = 2_000


def measure(folder: Path, peppers: Path, rows: Path) -> dict[str, Any]:
    """A base's figures, asked for people of `rows`."""
    manifest = read_draft(folder).manifest
    pepper = load_peppers(peppers)[manifest.pepper_kid]
    layer = Layer(folder / RECORDS_FILE, LayerKey(pepper, manifest.salt_bytes))
    identities = some_identities(rows, LOOKUPS)
    emptied = drop_page_cache()
    cold = [_one(layer, identity) for identity in identities[:COLD_LOOKUPS]]
    look_up(layer.find, identities)
    warm = min(look_up(layer.find, identities) for _ in range(3))
    missed = look_up(layer.find, [f"{identity}0" for identity in identities])
    unknown = sum(layer.find(identity) is Absence.NO_RECORD for identity in identities)
    layer.close()
    return {
        "entries": manifest.counts.entries,
        "warm_cpu_us": warm,
        "miss_cpu_us": missed,
        "cold_ms": {
            "emptied": emptied,
            "p50": round(statistics.median(cold) * 1e3, 3),
            "p99": round(statistics.quantiles(cold, n=100)[98] * 1e3, 3),
        },
        "not_found": unknown,
    }


def some_identities(rows: Path, number: int) -> list[str]:
    """At most so many people of the rows, in any order, the same in every run."""
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


def look_up(find: Callable[[str], Any], identities: list[str]) -> float:
    """CPU microseconds a lookup."""
    started = time.process_time()
    for identity in identities:
        find(identity)
    return round((time.process_time() - started) / len(identities) * 1e6, 2)


def _one(layer: Layer, identity: str) -> float:
    started = time.perf_counter()
    layer.find(identity)
    return time.perf_counter() - started
