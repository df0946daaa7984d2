"""What the files of a home say of its supply of snapshots: the last load, the sync, the trust file, what serves.

Read for status, on which no answer rests: what is missing or damaged is not known, and never an error.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from service.base64url import sha256_b64u
from service.errors import RelaisError
from service.jws import unverified_payload
from service.settings import Home, Settings
from service.snapshot.catalog import LAST_LOAD, Catalog
from service.snapshot.folder import MANIFEST_FILE, MAX_MANIFEST_BYTES, Folder
from service.snapshot.manifest import Manifest, parse_manifest
from service.snapshot.supply import Limits, Look, Served, Trouble, TrustState, served_extracts
from service.snapshot.sync import SYNC_FILE, load_status
from service.snapshot.trustfloor import TRUST_FLOOR_FILE
from service.snapshot.truststore import TrustStore
from service.snapshot.verdict import load_verdict

_Value = TypeVar("_Value")
#: What tells that a file is another one now: it is replaced, never written in place.
_Stamp = tuple[tuple[int, int, int] | None, ...]


class Lookout:
    """The files of one home, read again only when they changed: every heartbeat asks."""

    def __init__(self, home: Home, settings: Settings) -> None:
        load, sync = home.snapshots / LAST_LOAD, home.node / SYNC_FILE
        trust = TrustStore.of(home, demo=settings.instance.demo)
        self._catalog = Catalog.of(home)
        self._load = _Watched((load,), lambda: _look_of_load(load))
        self._sync = _Watched((sync,), lambda: _look_of_sync(sync))
        self._trust = _Watched((home.trust, home.node / TRUST_FLOOR_FILE), lambda: _trust_state(trust))

    def looks(self) -> tuple[Look, ...]:
        """The last load and the last look of a sync, as far as there were any."""
        return tuple(look for look in (self._load.value(), self._sync.value()) if look is not None)

    def trust(self) -> TrustState:
        """When the trust file ends."""
        return self._trust.value()

    def served(self, sequence: int, digest: str) -> Served | None:
        """What a held snapshot says of itself, where it is the one an order names by its digest.

        The order is signed, so the signatures of the manifest need not be looked at, and may be of people who left.
        """
        with suppress(RelaisError), Folder(self._catalog.path(sequence)) as folder:
            payload = unverified_payload(folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES))
            if sha256_b64u(payload) == digest:
                return served_of(parse_manifest(payload))
        return None


def limits_of(settings: Settings) -> Limits:
    """When to warn, by the settings."""
    return Limits(
        expiry=dt.timedelta(hours=settings.snapshot.expiry_warning_hours),
        stale=dt.timedelta(hours=settings.snapshot.stale_warning_hours),
        trust=dt.timedelta(days=settings.trust.expiry_warning_days),
    )


def served_of(manifest: Manifest) -> Served:
    """What of a manifest matters to the supply."""
    extracts = served_extracts((one.amc, one.extracted_at, one.stand_in.max_age_days) for one in manifest.amcs)
    return Served(manifest.created_at, manifest.valid_until, extracts)


class _Watched(Generic[_Value]):
    """A value made from files, made again when one of them is another file, or gone."""

    def __init__(self, paths: Iterable[Path], read: Callable[[], _Value]) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._known: tuple[_Stamp, _Value] | None = None

    def value(self) -> _Value:
        # The stamp first: a file replaced meanwhile is read again the next time.
        stamp = tuple(_stamp(path) for path in self._paths)
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, self._read())
        return self._known[1]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size


def _look_of_load(path: Path) -> Look | None:
    verdict = load_verdict(path)
    if verdict is None:
        return None
    if verdict.accepted:
        return Look(verdict.at, verdict.changed_at, None)
    found = verdict.found or ""
    text = f"expected {verdict.expected}; found {found}" if verdict.expected else found
    return Look(verdict.at, verdict.changed_at, Trouble(verdict.at, verdict.step or "refused", text))


def _look_of_sync(path: Path) -> Look | None:
    status = load_status(path)
    if status is None:
        return None
    error = status.error
    trouble = None if error is None else Trouble(error.at, error.step, error.text)
    return Look(status.checked_at, status.changed_at, trouble)


def _trust_state(store: TrustStore) -> TrustState:
    try:
        return TrustState(store.current().expires_at)
    except (RelaisError, OSError):
        return TrustState(None)
