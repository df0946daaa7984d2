"""Turning waiting answers into a batch: lines, one Merkle tree, one signed head, a receipt for each. No I/O.

This is the cost every answer pays: about ten microseconds an entry, and one signature a batch.
"""

from __future__ import annotations

import binascii
import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.base64url import b64u, sha256_b64u
from service.journal import keys, merkle
from service.journal.entries import HEAD_TYP, Entry, Head, Pending, Receipt, encode, head_line, instant
from service.jwk import PrivateKey
from service.jws import sign_compact
from service.strictjson import canonical

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class Batch:
    """A sealed batch: the bytes to append, its receipts in order, its head's hash, the segment's count after it."""

    data: bytes
    receipts: tuple[Receipt, ...]
    head_sha256: str
    entries: int
    at: str


class HeadSigner:
    """Signs heads with the receipt key; an Ed25519 head is put together by hand, at a third of a library's cost."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._protected = b64u(canonical({"alg": key.public.alg, "kid": key.kid, "typ": HEAD_TYP}))

    def sign(self, payload: bytes) -> str:
        """The compact JWS over a head's payload."""
        if not isinstance(self._key.key, Ed25519PrivateKey):
            return sign_compact(payload, HEAD_TYP, self._key)
        signed = f"{self._protected}.{_b64u(payload)}"
        return f"{signed}.{_b64u(self._key.key.sign(signed.encode('ascii')))}"


class Sealer:
    """The running state of one segment: its keys, the next entry number, the head before."""

    def __init__(self, journal: str, data_key: bytes, signer: HeadSigner, header_sha256: str) -> None:
        self._journal = journal
        self._journal_bytes = journal.encode("ascii")
        derived = keys.derive(data_key)
        self._pseudonyms = keys.Pseudonyms(derived.subject)
        self._seal = AESGCM(derived.seal)
        self._signer = signer
        self._previous = header_sha256
        self._next = 0

    def batch(self, pendings: Sequence[Pending], now: dt.datetime) -> Batch:
        """The next batch of the segment, recorded at `now`; at least one answer."""
        at, first = instant(now), self._next
        leaves = [merkle.leaf_hash(pending.answer) for pending in pendings]
        # One stage for all entries, then the next: what runs again at once is still in the processor's cache.
        subjects = [self._subject(pending) for pending in pendings]
        sealed = [self._sealed(pending, n) for n, pending in enumerate(pendings, first)]
        entries = [
            Entry(
                at=at,
                client=pending.client,
                disclosed=pending.disclosed,
                finess=pending.finess,
                leaf=_b64u(leaf),
                lease=pending.lease,
                n=n,
                reasons=pending.reasons,
                sealed=secret,
                snapshot=pending.snapshot,
                status=pending.status,
                subject=subject,
            )
            for n, (pending, leaf, subject, secret) in enumerate(
                zip(pendings, leaves, subjects, sealed, strict=True), first
            )
        ]
        body = b"".join([encode(entry) + b"\n" for entry in entries])
        tree = merkle.levels(leaves)
        head = Head(
            at=at,
            entries=sha256_b64u(body),
            first=first,
            journal=self._journal,
            previous=self._previous,
            root=_b64u(tree[-1][0]),
            size=len(pendings),
        )
        token = self._signer.sign(encode(head))
        self._previous = _b64u(hashlib.sha256(token.encode("ascii")).digest())
        self._next = first + len(pendings)
        return Batch(body + head_line(token), _receipts(token, tree), self._previous, self._next, at)

    def _subject(self, pending: Pending) -> str | None:
        return None if pending.identity is None else _b64u(self._pseudonyms.of(pending.identity))

    def _sealed(self, pending: Pending, n: int) -> str | None:
        if pending.identity is None:
            return None
        opening = _b64u(pending.opening).encode("ascii")
        plain = b'{"answer":%b,"opening":"%b","query":%b}' % (pending.answer, opening, pending.query)
        return _b64u(self._seal.encrypt(keys.nonce(n), plain, self._journal_bytes))


def _receipts(token: str, tree: list[list[bytes]]) -> tuple[Receipt, ...]:
    """A receipt for each leaf; every node is written as text once, however many paths it lies on."""
    texts = [[_b64u(node) for node in level] for level in tree[:-1]]
    return tuple(
        [
            Receipt(head=token, index=index, path=tuple([texts[level][at] for level, at in path]))
            for index, path in enumerate(_paths(len(tree[0])))
        ]
    )


@lru_cache(maxsize=64)
def _paths(size: int) -> tuple[list[tuple[int, int]], ...]:
    """Which nodes each receipt of a batch of `size` needs; few sizes occur, and they recur."""
    return tuple(merkle.siblings(index, size) for index in range(size))


def _b64u(data: bytes) -> str:
    """Like `base64url.b64u`, at half the cost: this runs several times an answer."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=").decode("ascii")
