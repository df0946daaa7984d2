"""What a lookup costs in one layer: warm, missed, and with nothing in memory."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Any

from processes import drop_page_cache

from service.errors import RowRejected
from service.identifiers import nir_identity
from service.rights.model import Absence
from service.snapshot.pepper import load_peppers
from service.snapshot.records import RECORDS_FILE, Layer
from service.snapshot.rows import RowParser
from service.snapshot.seal import LayerKey
from service.snapshot.signing import read_draft
from service.snapshot.sources import Source

LOOKUPS = 200_000
COLD_LOOKUPS = 2_000


def measure(folder: Path, peppers: Path, rows: Path) -> dict[str, Any]:
    """A base's figures, asked for people of `rows`."""
    manifest = read_draft(folder).manifest
    pepper = load_peppers(peppers)[manifest.pepper_kid]
    layer = Layer(folder / RECORDS_FILE, LayerKey(pepper, manifest.salt_bytes))
    identities = _identities(rows)
    emptied = drop_page_cache()
    cold = [_one(layer, identity) for identity in identities[:COLD_LOOKUPS]]
    _many(layer, identities)
    warm = min(_many(layer, identities) for _ in range(3))
    missed = _many(layer, [f"{identity}0" for identity in identities])
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


def _identities(rows: Path) -> list[str]:
    chance = random.Random(1)  # noqa: S311 - the same people in every run
    kept: list[str] = []
    with Source(rows, RowParser()) as source:
        for _, row in source:
            if len(kept) < LOOKUPS and not isinstance(row, RowRejected) and chance.random() < LOOKUPS / 1e6:
                kept.append(nir_identity(row.nir, row.birth_date, row.birth_rank))
    chance.shuffle(kept)
    return kept


def _one(layer: Layer, identity: str) -> float:
    started = time.perf_counter()
    layer.find(identity)
    return time.perf_counter() - started


def _many(layer: Layer, identities: list[str]) -> float:
    """CPU microseconds a lookup."""
    find = layer.find
    started = time.process_time()
    for identity in identities:
        find(identity)
    return round((time.process_time() - started) / len(identities) * 1e6, 2)
