"""Load: many connections ask for the people of a row file and report what came back.

A failure is a question without a usable answer: no response, a 5xx, or a receipt that proves nothing. Refusals
(4xx) are counted by status. Where the snapshot changes on the way, each swap is reported with what failed and how
slow it was around it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import aiohttp
import orjson

from stubs.connection import Pharmacy, Reply, Signer
from stubs.proof import ReceiptError, verify_response

#: People held for asking; a larger file is asked for its first ones.
_PEOPLE: Final = 50_000


class Sample(NamedTuple):
    """One question: when it was asked (seconds since the start), how long it took, status or error, snapshot."""

    at: float
    seconds: float
    outcome: str
    snapshot: str

    @property
    def failed(self) -> bool:
        """Whether there was no usable answer."""
        return not self.outcome.isdigit() or self.outcome >= "500"


@dataclass
class Run:
    """What a load run gathers; `checked` holds the sampled questions and their replies."""

    until: float
    share: float
    keep: BinaryIO | None = None
    start: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    checked: list[tuple[bytes, bytes]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def add(self, at: float, query: bytes, reply: Reply) -> None:
        """A reply that came."""
        self.samples.append(Sample(at, reply.seconds, str(reply.status), reply.snapshot))
        if reply.status != 200:
            return
        if self.keep:
            self.keep.write(reply.body + b"\n")
        if self.chance.random() < self.share:
            self.checked.append((query, reply.body))


def read_queries(file: Path, finess: Sequence[str] = ()) -> list[bytes]:
    """Bodies of queries for the people of a row file, every second one naming its AMC; a hub's for `finess` in turn."""
    with file.open("rb") as lines:
        rows = [orjson.loads(line) for line in islice(lines, _PEOPLE)]
    queries = []
    for number, row in enumerate(rows):
        query: dict[str, Any] = {"beneficiary": {name: row[name] for name in ("nir", "birth_date", "birth_rank")}}
        if number % 2:
            query["amc"] = row["amc"]
        if finess:
            query["finess"] = finess[number % len(finess)]
        queries.append(orjson.dumps(query))
    return queries


async def _sender(pharmacy: Pharmacy, queries: Iterator[bytes], run: Run, size: int) -> None:
    """Asks in batches. Each query of one is counted by itself, as it would be alone."""
    while (now := time.monotonic()) < run.until:
        asked = list(islice(queries, size))
        try:
            reply = await pharmacy.ask_batch(b'{"queries":[' + b",".join(asked) + b"]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            lost = Sample(now - run.start, time.monotonic() - now, type(error).__name__, "")
            run.samples += [lost] * size
            await asyncio.sleep(0.01)
            continue
        for query, one in zip(asked, _one_by_one(reply, size), strict=True):
            run.add(now - run.start, query, one)


def _one_by_one(reply: Reply, size: int) -> list[Reply]:
    """The reply to each query of a batch."""
    if reply.status != 200:
        return [reply] * size
    results = orjson.loads(reply.body)["results"]
    return [
        reply._replace(status=one["problem"]["status"] if "problem" in one else 200, body=orjson.dumps(one))
        for one in results
    ]


async def _caller(pharmacy: Pharmacy, queries: Iterator[bytes], run: Run) -> None:
    while (now := time.monotonic()) < run.until:
        query = next(queries)
        try:
            run.add(now - run.start, query, await pharmacy.ask(query))
        except (aiohttp.ClientError, TimeoutError) as error:
            run.samples.append(Sample(now - run.start, time.monotonic() - now, type(error).__name__, ""))
            # A server that is away refuses at once: do not count the same outage a million times.
            await asyncio.sleep(0.01)


async def gather(pharmacy: Pharmacy, queries: Sequence[bytes], connections: int, run: Run, batch: int = 0) -> list[str]:
    """Asks until the run's end, in batches of so many; gives the reasons for which sampled receipts were refused."""
    source = cycle(queries)
    asking = [
        _sender(pharmacy, source, run, batch) if batch else _caller(pharmacy, source, run) for _ in range(connections)
    ]
    await asyncio.gather(*asking)
    # Verified afterwards, so that checking does not slow down asking.
    try:
        keys = await pharmacy.keys() if run.checked else {}
    except (aiohttp.ClientError, TimeoutError, ReceiptError) as error:
        return [f"no receipt keys: {type(error).__name__}"]
    refused = []
    for query, body in run.checked:
        try:
            verify_response(orjson.loads(query), orjson.loads(body), keys)
        except (ReceiptError, orjson.JSONDecodeError) as error:
            refused.append(str(error))
    return refused


def report(samples: Sequence[Sample], seconds: float, verified: int, refused: Sequence[str]) -> dict[str, Any]:
    """The figures of a run, times in milliseconds."""
    answered = [sample.seconds for sample in samples if sample.outcome == "200"]
    return {
        "requests": len(samples),
        "requests_per_second": round(len(samples) / seconds, 1),
        "latency_ms": {
            "p50": _quantile(answered, 0.5),
            "p99": _quantile(answered, 0.99),
            "max": _quantile(answered, 1),
        },
        "outcomes": dict(sorted(Counter(sample.outcome for sample in samples).items())),
        "failed": sum(sample.failed for sample in samples) + len(refused),
        "receipts": {"checked": verified, "refused": len(refused), "reasons": dict(Counter(refused))},
        "swaps": [_swap(samples, number, at) for number, at in _swaps(samples)],
    }


def _swaps(samples: Sequence[Sample]) -> list[tuple[str, float]]:
    """Each further snapshot met, with the first moment an answer named it."""
    first: dict[str, float] = {}
    for sample in samples:
        if sample.snapshot:
            at = sample.at + sample.seconds
            first[sample.snapshot] = min(at, first.get(sample.snapshot, at))
    return sorted(first.items(), key=lambda item: item[1])[1:]


def _swap(samples: Sequence[Sample], snapshot: str, at: float) -> dict[str, Any]:
    """What a swap was like: the second from its first answer on against the five seconds before."""
    around = [sample for sample in samples if at - 1 <= sample.at + sample.seconds < at + 1]
    during = [sample.seconds for sample in around if sample.at + sample.seconds >= at]
    before = [sample.seconds for sample in samples if at - 5 <= sample.at + sample.seconds < at]
    late = [sample.at for sample in samples if sample.snapshot not in ("", snapshot) and at <= sample.at < at + 5]
    return {
        "snapshot": snapshot,
        "at_seconds": round(at, 3),
        "failed": sum(sample.failed for sample in around),
        "p99_ms": _quantile(during, 0.99),
        "p99_before_ms": _quantile(before, 0.99),
        "others_answered_for_seconds": round(max(late) - at, 3) if late else 0.0,
    }


def _quantile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1000, 3)


async def run(options: argparse.Namespace, signer: Signer) -> int:
    """The `load` command: 0 if nothing failed, 1 otherwise."""
    queries = read_queries(options.rows, options.finess or ())
    if not queries:
        print("load: the row file is empty")
        return 1
    keep = options.keep.open("wb") if options.keep else None
    try:
        load = Run(time.monotonic() + options.seconds, options.verify_share, keep)
        async with Pharmacy(options.url, signer, options.connections) as pharmacy:
            refused = await gather(pharmacy, queries, options.connections, load, options.batch)
    finally:
        if keep:
            keep.close()
    figures = report(load.samples, options.seconds, len(load.checked), refused)
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode() if options.json else text(figures))
    return 1 if figures["failed"] else 0


def text(figures: dict[str, Any]) -> str:
    """A report for people."""
    latency, receipts = figures["latency_ms"], figures["receipts"]
    lines = [
        f"{figures['requests']} requests, {figures['requests_per_second']}/s, {figures['failed']} failed",
        f"latency ms: p50 {latency['p50']}, p99 {latency['p99']}, max {latency['max']}",
        f"outcomes: {', '.join(f'{name}: {count}' for name, count in figures['outcomes'].items())}",
        f"receipts: {receipts['checked']} checked, {receipts['refused']} refused",
    ]
    lines += [f"refused {count} times: {reason}" for reason, count in receipts["reasons"].items()]
    lines += [
        f"swap to {swap['snapshot']} at {swap['at_seconds']} s: {swap['failed']} failed around it, "
        f"p99 {swap['p99_ms']} ms (before {swap['p99_before_ms']}), "
        f"other snapshots answered {swap['others_answered_for_seconds']} s longer"
        for swap in figures["swaps"]
    ]
    return "\n".join(lines)
