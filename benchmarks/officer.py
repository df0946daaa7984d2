"""What the officer's tools take for a journal of many entries: seconds, entries a second, peak memory, each by itself.

Half the entries show a contract, a third of the people come again. Writes benchmarks/results/officer.json. Usage:
    python benchmarks/officer.py [--entries 10000000] [--segments 8] [--people 6000000] [--dir DIR] [--journal DIR]
        [--steps STEP …]
Ten million entries take some 10 GB in --dir. --journal keeps the journal there, or reads what a former run left; with
--steps only these are run, and the others keep their figures.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from machine import machine

from service.base64url import b64u
from service.journal.affected import list_affected
from service.journal.damage import Evidence
from service.journal.entries import Pending
from service.journal.officer import OfficerPrivateKey, parse_officer_private_jwk
from service.journal.opening import SegmentOpener
from service.journal.outbox import Outbox
from service.journal.partitions import Partitions
from service.journal.prune import prune_journal
from service.journal.selection import Reading, Selection
from service.journal.summary import summarise
from service.journal.timeline import of_answers
from service.journal.verify import verify_journal
from service.jwk import PrivateKey, parse_private_jwk, private_jwk, thumbprint
from service.strictjson import canonical

RESULTS = Path(__file__).parent / "results" / "officer.json"
NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
BATCH, CLIENT = 64, "pharmacie-1"


def keys() -> tuple[PrivateKey, dict[str, str]]:
    """The same at each call: nobody's."""
    receipt = parse_private_jwk(private_jwk(Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)))
    private = X25519PrivateKey.from_private_bytes(bytes([7]) * 32)
    jwk = {"kty": "OKP", "crv": "X25519", "x": b64u(private.public_key().public_bytes_raw())}
    return receipt, {**jwk, "d": b64u(private.private_bytes_raw()), "use": "enc", "kid": thumbprint(jwk)}


def officer() -> OfficerPrivateKey:
    return parse_officer_private_jwk(keys()[1])


def contract(number: int) -> dict[str, Any]:
    return {
        "amc": f"0990000{number % 200:03d}",
        "amc_name": "Mutuelle de synthèse",
        "status": "open",
        "reasons": [],
        "convention": "RO",
        "csr": "",
        "member": f"M{number}",
        "payer_rank": 1,
        "responsible": True,
        "valid_from": "2023-01-01",
        "valid_to": None,
        "card_valid_to": None,
        "domains": ["PHAR"],
        "extracted_at": "2024-02-05T02:00:00Z",
        "freshness": "fresh",
        "rate_base": "TR",
        "rates": {"PH4": 100, "PH7": 100},
    }


def waiting(number: int, answer_id: int) -> Pending:
    status = "open" if number % 2 else "unknown"
    answer = {
        "id": f"018d7892-0000-7000-8000-{answer_id:012x}",
        "for": {"client": CLIENT, "finess": "750012346"},
        "mode": "degraded",
        "status": status,
        "reasons": ["upstream_disabled"],
        "contracts": [contract(number)] if number % 2 else [],
    }
    person = {"nir": f"18599{number:08d}", "birth_date": "1985-05-12", "birth_rank": 1 + number % 3}
    return Pending(
        answer=canonical(answer),
        query=canonical({"beneficiary": person, "amc": None, "finess": "750012346"}),
        opening=bytes(16),
        identity=f"nir|{person['nir']}|{person['birth_date']}|{person['birth_rank']}",
        client=CLIENT,
        finess="750012346",
        lease=1,
        disclosed="contract" if number % 2 else "none",
        status=status,
        reasons=("upstream_disabled",),
        snapshot=42,
    )


def write(directory: Path, entries: int, segments: int, people: int) -> None:
    receipt, jwk = keys()
    chance = random.Random(1)  # noqa: S311 - the same journal each time
    public = {name: value for name, value in jwk.items() if name != "d"}
    for segment in range(segments):
        now = NOW + dt.timedelta(days=segment)
        opener = SegmentOpener(directory, "node-1", segment, receipt, [public])
        opened = opener.open(opener.find_previous(), now)
        for first in range(0, entries // segments, BATCH):
            size = min(BATCH, entries // segments - first)
            batch = [waiting(chance.randrange(people), segment * entries + first + one) for one in range(size)]
            opened.file.append(opened.sealer.batch(batch, now).data, fsync=False)
        opened.file.close()


class Watch:
    """Told how far a step is; keeps the longest time for which it was told nothing."""

    def __init__(self) -> None:
        self.silence = 0.0
        self._last = time.perf_counter()

    def __call__(self, _done: int, _total: int) -> None:
        now = time.perf_counter()
        self.silence, self._last = max(self.silence, now - self._last), now


def verify(directory: Path, watch: Watch) -> Any:
    receipt, _ = keys()
    report = verify_journal(directory, {receipt.kid: receipt.public}, None, None, watch)
    assert report.whole
    return report.entries


def report(directory: Path, opener: OfficerPrivateKey | None, watch: Watch) -> Any:
    reading = Reading(directory, Selection(), opener, watch)
    key = os.urandom(32)
    made = summarise(reading, Evidence(whole=True), at="", since="", until="", key=key, aside=directory, report=watch)
    return made.total.people.asked


def affected(directory: Path, watch: Watch) -> Any:
    with tempfile.TemporaryDirectory(dir=directory) as out, Partitions(directory) as aside:
        with Outbox(Path(out) / "out", {}) as outbox:
            reading = Reading(directory, Selection(client=CLIENT), officer(), watch)
            listed = list_affected(reading, outbox, aside, watch)
        return sum(listed.people.values())


def timeline(directory: Path, watch: Watch) -> Any:
    return sum(event.data["answers"] for event in of_answers(Reading(directory, Selection(), None, watch)))


def prune(directory: Path, watch: Watch) -> Any:
    receipt, _ = keys()
    return prune_journal(directory, {receipt.kid: receipt.public}, NOW + dt.timedelta(days=400), (), watch).entries


STEPS: dict[str, Callable[[Path, Watch], Any]] = {
    "verify": verify,
    "report": lambda directory, watch: report(directory, None, watch),
    "report, officer's key": lambda directory, watch: report(directory, officer(), watch),
    "affected": affected,
    "export, counts": timeline,
    "prune": prune,
}


def measured(name: str, directory: Path, told: Any) -> None:
    """In a process of its own, so that its memory is its own."""
    watch, begun, processor = Watch(), time.perf_counter(), time.process_time()
    found = STEPS[name](directory, watch)
    watch(1, 1)
    told.send(
        {
            "step": name,
            "found": found,
            "seconds": round(time.perf_counter() - begun, 1),
            "processor_seconds": round(time.process_time() - processor, 1),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "longest_silence_seconds": round(watch.silence, 1),
        }
    )


def measure(directory: Path, names: list[str]) -> list[dict[str, Any]]:
    spawn, rows = multiprocessing.get_context("spawn"), []
    for name in names:
        mine, theirs = spawn.Pipe()
        process = spawn.Process(target=measured, args=(name, directory, theirs))
        process.start()
        theirs.close()
        rows.append(mine.recv())
        process.join()
        print(json.dumps(rows[-1]), flush=True)
    return rows


def keep(told: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """In the place of former rows of the same steps, where these are of the same journal."""
    former = json.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}
    same = all(former.get(name) == value for name, value in told.items())
    found = {row["step"]: row for row in [*(former["steps"] if same else []), *rows]}
    steps = [found[name] for name in STEPS if name in found]
    RESULTS.write_text(json.dumps({"machine": machine(), **told, "steps": steps}, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--people", type=int, default=6_000_000)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--journal", type=Path, default=None)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        directory = options.journal or Path(folder) / "journal"
        if not directory.is_dir():
            write(directory, options.entries, options.segments, options.people)
        size = sum(path.stat().st_size for path in directory.iterdir()) >> 20
        print(f"{options.entries} entries, {size} MiB", flush=True)
        rows = measure(directory, options.steps)
    keep({"entries": options.entries, "segments": options.segments, "people": options.people, "mib": size}, rows)


if __name__ == "__main__":
    main()
