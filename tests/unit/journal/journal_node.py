"""A node that journals synthetic answers: keys, a clock that can be set, a register in memory."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from service.base64url import b64u
from service.errors import StoreUnavailable
from service.journal.entries import Disclosed, Pending, Receipt
from service.journal.officer import OfficerPrivateKey, Opened, parse_officer_private_jwk
from service.journal.selection import Reading, Selection
from service.journal.writer import JournalWriter
from service.jwk import PrivateKey, parse_private_jwk, private_jwk, thumbprint
from service.strictjson import canonical

NOW = dt.datetime(2024, 2, 5, 9, 30, 12, 123000, tzinfo=dt.UTC)
NODE = "node-1"
OPENING = bytes(range(16))


def signing_key(seed: int = 1) -> PrivateKey:
    return parse_private_jwk(private_jwk(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)))


def officer_jwk(seed: int = 7) -> dict[str, str]:
    key = X25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    jwk = {"kty": "OKP", "crv": "X25519", "x": b64u(key.public_key().public_bytes_raw())}
    return {**jwk, "d": b64u(key.private_bytes_raw()), "use": "enc", "kid": thumbprint(jwk)}


def public(jwk: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in jwk.items() if name != "d"}


def officer(seed: int = 7) -> OfficerPrivateKey:
    return parse_officer_private_jwk(officer_jwk(seed))


def answer(number: int = 0) -> dict[str, Any]:
    query = canonical({"beneficiary": {"nir": "1850575116001", "birth_date": "1985-05-12", "birth_rank": 1}})
    return {
        "id": f"018d7892-{number:04x}-7000-8000-000000000000",
        "at": "2024-02-05T09:30:12.123Z",
        "for": {"client": "pharmacie-1", "finess": "750012346"},
        "asked": b64u(hmac.digest(OPENING, query, "sha256")),
        "service_date": "2024-02-05",
        "mode": "degraded",
        "mode_order": None,
        "status": "unknown",
        "advice": "check_card",
        "degraded": True,
        "reasons": ["beneficiary_unknown", "upstream_disabled"],
        "source": {"kind": "snapshot", "snapshot": 42},
        "contracts": [],
        "notices": [{"id": "n1", "severity": "warning", "text": "Service rétabli à 13 h"}],
    }


def pending(number: int = 0, **changes: Any) -> Pending:
    fields: dict[str, Any] = {
        "answer": canonical(answer(number)),
        "query": canonical({"beneficiary": {"nir": "1850575116001", "birth_date": "1985-05-12", "birth_rank": 1}}),
        "opening": OPENING,
        "identity": f"nir|1850575116001|1985-05-12|{1 + number % 9}",
        "client": "pharmacie-1",
        "finess": "750012346",
        "lease": 3,
        "disclosed": Disclosed.NONE,
        "status": "unknown",
        "reasons": ("beneficiary_unknown", "upstream_disabled"),
        "snapshot": 42,
    }
    return Pending(**{**fields, **changes})


class ManualClock:
    def __init__(self, now: dt.datetime = NOW) -> None:
        self.value = now

    def now(self) -> dt.datetime:
        return self.value

    def monotonic(self) -> float:
        return 0.0


@dataclass(frozen=True)
class RegisteredSegment:
    journal: str
    node: str
    worker: int
    header_sha256: str
    head_sha256: str | None
    entries: int


class MemoryRegister:
    """Grows only; `down` makes it unavailable."""

    def __init__(self) -> None:
        self.down = False
        self.calls = 0
        self.known: dict[str, RegisteredSegment] = {}

    def open_segment(self, journal: str, node: str, worker: int, header_sha256: str, _at: str) -> None:
        self._answer()
        self.known.setdefault(journal, RegisteredSegment(journal, node, worker, header_sha256, None, 0))

    def advance(self, journal: str, head_sha256: str, entries: int, _at: str) -> None:
        self._answer()
        former = self.known[journal]
        if entries > former.entries:
            self.known[journal] = RegisteredSegment(
                journal, former.node, former.worker, former.header_sha256, head_sha256, entries
            )

    def segments(self) -> Iterable[RegisteredSegment]:
        self._answer()
        return list(self.known.values())

    def _answer(self) -> None:
        self.calls += 1
        if self.down:
            raise StoreUnavailable


class Node:
    """A directory of segments and what is needed to write and check them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = signing_key()
        self.keys = {self.key.kid: self.key.public}
        self.clock = ManualClock()
        self.register = MemoryRegister()

    def writer(self, worker: int = 0, *, fsync: bool = False) -> JournalWriter:
        return JournalWriter(
            self.directory, NODE, worker, self.key, [public(officer_jwk())], self.clock, self.register, fsync=fsync
        )

    async def write(self, *batches: int, worker: int = 0) -> list[Receipt]:
        """A segment with batches of the given sizes."""
        self.clock.value += dt.timedelta(seconds=1)
        writer = self.writer(worker)
        await writer.start()
        receipts: list[Receipt] = []
        for size in batches:
            receipts += await asyncio.gather(*[writer.record(pending(len(receipts) + i)) for i in range(size)])
        await writer.close()
        return receipts

    def segments(self) -> list[Path]:
        return sorted(self.directory.glob("*.jsonl"))

    def opened(self, path: Path | None = None) -> list[Opened]:
        """Every entry of a segment (by default the first), opened."""
        wanted = (path or self.segments()[0]).stem
        return [one for name, one in Reading(self.directory, Selection(), officer()).entries() if name == wanted]


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162 §2.1.3.1, word for word."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*naive_path(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_path(index - split, leaves[split:]), naive_root(leaves[:split])]
