"""What a sync last saw, for whoever asks how fresh a node is: `<home>/node/sync.json`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

import msgspec
import orjson

from service.errors import RelaisError, SnapshotRefused
from service.files import write_durable
from service.snapshot.manifest import Instant

SYNC_FILE: Final = "sync.json"


class SyncError(msgspec.Struct, frozen=True):
    """Why the latest look failed: a step of verification, or the code of an error."""

    at: Instant
    step: str
    text: str


class SyncStatus(msgspec.Struct, frozen=True):
    """When a sync last looked, when it last brought a snapshot, where from, and what is wrong (None: nothing)."""

    checked_at: Instant
    changed_at: Instant | None
    source: str
    error: SyncError | None

    def well(self, now: dt.datetime, *, changed: bool) -> SyncStatus:
        """After a look that found nothing wrong."""
        return SyncStatus(now, now if changed else self.changed_at, self.source, None)

    def failed(self, now: dt.datetime, error: RelaisError) -> SyncStatus:
        """After a look that failed; what it brought before stands."""
        step = error.step if isinstance(error, SnapshotRefused) else error.code
        return SyncStatus(now, self.changed_at, self.source, SyncError(now, step, str(error)))


def load_status(path: Path) -> SyncStatus | None:
    """The status noted at `path`; None where no sync ran yet, or none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SyncStatus)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def begin_status(path: Path, source: str, now: dt.datetime) -> SyncStatus:
    """The status to go on from: the time of the last change is kept as long as the source is the same."""
    known = load_status(path)
    changed_at = known.changed_at if known is not None and known.source == source else None
    return SyncStatus(now, changed_at, source, None)


def write_status(path: Path, status: SyncStatus) -> None:
    """Replace the status at `path`."""
    write_durable(path, orjson.dumps(msgspec.to_builtins(status), option=orjson.OPT_INDENT_2) + b"\n")
