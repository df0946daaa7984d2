"""The trust file of a home, the versions it succeeded, and the floor below which it may not fall.

A former version stays beside it as `trust.<version>.json`, so that an auditor can follow from each to the next.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from service.base64url import sha256_b64u
from service.errors import OperatorError
from service.files import write_durable
from service.jws import unverified_payload
from service.locks import ALONE, locked
from service.settings import Home
from service.snapshot.trust import Trust, verify_signed, verify_succession, verify_successor, verify_trust
from service.snapshot.trustfile import load_trust, read_trust
from service.snapshot.trustfloor import TRUST_FLOOR_FILE, load_trust_floor, raise_trust_floor

_KEPT_MODE = 0o444


class TrustStore:
    """`trust.json` at `path`, and the note of its floor at `floor`. With `demo`, thresholds of one are allowed."""

    def __init__(self, path: Path, floor: Path, *, demo: bool = False) -> None:
        self.path = path
        self._floor = floor
        self._demo = demo

    @classmethod
    def of(cls, home: Home, *, demo: bool) -> Self:
        """The store of a home."""
        return cls(home.trust, home.node / TRUST_FLOOR_FILE, demo=demo)

    def load(self, now: dt.datetime) -> Trust:
        """The trust file to stand on: verified, not expired, not below the floor.

        Raises `TrustRefused` or `SignatureRejected`; nothing is trusted without.
        """
        # The floor first: an installation meanwhile then looks like the moment before it, not like a rollback.
        floor = load_trust_floor(self._floor)
        trust = load_trust(self.path, now, demo=self._demo)
        return trust if floor is None else floor.check(trust)

    def current(self) -> Trust:
        """The same, though it may have expired: its people may still hand over. Raises as `load`."""
        floor = load_trust_floor(self._floor)
        trust = verify_signed(read_trust(self.path), demo=self._demo)
        return trust if floor is None else floor.check(trust)

    def kept(self, version: int) -> Path:
        """Where a former version lies."""
        return self.path.with_name(f"{self.path.stem}.{version}{self.path.suffix}")

    def former(self) -> tuple[Trust, ...]:
        """The versions kept that lead to the one in place, latest first, each verified against its successor.

        Raises `TrustRefused` or `SignatureRejected` for one that does not lead there.
        """
        found: list[Trust] = []
        document = read_trust(self.path)
        version = verify_signed(document, demo=self._demo).version
        while version > 1 and (path := self.kept(version - 1)).exists():
            earlier = read_trust(path)
            former = verify_signed(earlier, demo=self._demo)
            verify_successor(former, document, demo=self._demo)
            found.append(former)
            document, version = earlier, former.version
        return tuple(found)

    def install_first(self, document: bytes, now: dt.datetime) -> Trust:
        """Put a first trust file into a home that has none; that it is the right one is the operator's word.

        Raises `OperatorError` where there is one, `TrustRefused` or `SignatureRejected`.
        """
        with self._locked():
            if os.path.lexists(self.path):
                raise OperatorError(f"{self.path} exists: a trust file is succeeded by its next version, not replaced")
            trust = verify_trust(document, now, demo=self._demo)
            if (floor := load_trust_floor(self._floor)) is not None:
                floor.check(trust)
            write_durable(self.path, document)
        return trust

    def install(
        self, documents: Sequence[bytes], now: dt.datetime, judge: Callable[[Trust, Trust], None]
    ) -> tuple[Trust, ...]:
        """Put the next version into the home, or the next few in their order; none where they are there already.

        `judge` sees the version in place and the last, and may raise. Raises `TrustRefused`, `SignatureRejected`,
        or `OperatorError`; what was in place then stays. A crash leaves the old version or the last in place.
        """
        with self._locked():
            current, document = self.current(), read_trust(self.path)
            if _digest(documents[-1]) == current.digest:
                raise_trust_floor(self._floor, current)
                return ()
            versions = verify_succession(current, documents, now, demo=self._demo)
            judge(current, versions[-1])
            for version, kept in zip((current, *versions), (document, *documents[:-1]), strict=False):
                self._keep(version.version, kept)
            write_durable(self.path, documents[-1])
            raise_trust_floor(self._floor, versions[-1])
        return versions

    def _keep(self, version: int, document: bytes) -> None:
        target = self.kept(version)
        if not target.exists():
            write_durable(target, document, _KEPT_MODE)
        elif _digest(read_trust(target)) != _digest(document):
            raise OperatorError(f"{target} is there and is another version {version}: find out how it came there")

    def _locked(self) -> AbstractContextManager[None]:
        """One installation at a time."""
        refusal = "another trust file is being installed in this home: wait for it to end"
        return locked(self.path.with_name(".trust.lock"), ALONE, refusal)


def _digest(document: bytes) -> str:
    return sha256_b64u(unverified_payload(document))
