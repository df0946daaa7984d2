"""Opening segments: a fresh data key wrapped to the officers, a signed header, both on disk before the first entry."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.base64url import sha256_b64u
from service.errors import KeyRejected
from service.journal import keys
from service.journal.batch import HeadSigner, Sealer
from service.journal.entries import FORMAT, HEADER_TYP, Header, Link, encode, header_line, instant, journal_id
from service.journal.segment import SegmentFile, create_segment, latest_link, segment_path
from service.jwk import PrivateKey
from service.jws import sign_compact


@dataclass(frozen=True, slots=True)
class OpenSegment:
    """A segment that takes entries: its name, when it began, where bytes go and what makes them."""

    journal: str
    header_sha256: str
    at: str
    file: SegmentFile
    sealer: Sealer


class SegmentOpener:
    """Opens the segments of one worker slot of a node, each naming the last whole head of the one before."""

    def __init__(
        self, directory: Path, node: str, worker: int, receipt_key: PrivateKey, officers: Sequence[Mapping[str, Any]]
    ) -> None:
        """`officers` are X25519 public JWKs. Raises `KeyRejected`, also if there are none: nobody could ever read."""
        if not officers:
            raise KeyRejected("the journal needs an officer's key")
        self.directory = directory
        self.node = node
        self.worker = worker
        self._receipt_key = receipt_key
        self._signer = HeadSigner(receipt_key)
        self._officers = tuple(keys.parse_officer_jwk(jwk) for jwk in officers)

    def find_previous(self) -> Link | None:
        """The last whole head of this worker's latest segment on disk. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return latest_link(self.directory, self.node, self.worker)

    def open(self, previous: Link | None, now: dt.datetime) -> OpenSegment:
        """A new segment after `previous`. Raises OSError."""
        journal, at = journal_id(now, os.urandom(10)), instant(now)
        data_key = os.urandom(keys.DATA_KEY_BYTES)
        key_file = keys.wrap(data_key, journal, self._officers)
        header = Header(
            at=at,
            format=FORMAT,
            journal=journal,
            key_sha256=sha256_b64u(key_file),
            node=self.node,
            officers=tuple(officer.kid for officer in self._officers),
            previous=previous,
            worker=self.worker,
        )
        token = sign_compact(encode(header), HEADER_TYP, self._receipt_key)
        header_sha256 = sha256_b64u(token.encode("ascii"))
        file = create_segment(segment_path(self.directory, journal), key_file, header_line(token), now)
        sealer = Sealer(journal, data_key, self._signer, header_sha256)
        return OpenSegment(journal=journal, header_sha256=header_sha256, at=at, file=file, sealer=sealer)
