"""A snapshot in use: its manifest, what its AMCs allow, and its sealed records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from service.paris import paris_date
from service.rights.model import Amc, Knowledge, SourceKind
from service.snapshot.manifest import AmcEntry, Manifest
from service.snapshot.records import RecordStore
from service.snapshot.seen import Seen
from service.snapshot.trust import Trust
from service.snapshot.verify import Conditions, Examination, Ordered

#: Extract dates are civil dates where the pharmacies are.


class Snapshot:
    """An open, verified snapshot of one process. `digest` is the SHA-256 of the manifest's payload."""

    __slots__ = ("digest", "find", "manifest", "records")

    def __init__(self, manifest: Manifest, digest: str, records: RecordStore) -> None:
        self.manifest = manifest
        self.digest = digest
        self.records = records
        #: The contracts of a canonical identity, or why there are none. Bound once: every answer calls it.
        self.find = records.find

    @property
    def sequence(self) -> int:
        """The snapshot's sequence number."""
        return self.manifest.sequence

    def knowledge(self, out_of_scope: Collection[str] = ()) -> Knowledge:
        """What answers from this snapshot rest on. Make it once: extract dates are computed here."""
        return Knowledge(
            kind=SourceKind.SNAPSHOT,
            snapshot=self.manifest.sequence,
            signed_at=self.manifest.created_at,
            valid_until=self.manifest.valid_until,
            amcs={entry.amc: _amc(entry) for entry in self.manifest.amcs},
            out_of_scope=frozenset(number.zfill(10) for number in out_of_scope),
        )

    def close(self) -> None:
        """Unmap the records; no lookup may follow."""
        self.records.close()


def open_snapshot(
    directory: Path,
    ordered: Ordered,
    *,
    trust: Trust,
    peppers: Mapping[str, bytes],
    now: dt.datetime,
    bases: Callable[[int], Path] | None = None,
    seen: Seen | None = None,
) -> Snapshot:
    """The snapshot an order in force names, verified like any other before it is opened. Raises `SnapshotRefused`.

    Its sequence and digest must be the order's. It may have expired: it then answers `snapshot_expired`. `bases` tells
    where bases lie, `seen` which files need not be hashed again.
    """
    conditions = Conditions(trust, peppers, now, ordered=ordered, bases=bases, seen=seen or Seen())
    examination = Examination(conditions)
    manifest, records = examination.open(directory)
    return Snapshot(manifest, examination.digest, records)


def _amc(entry: AmcEntry) -> Amc:
    return Amc(
        number=entry.amc,
        name=entry.name,
        extracted_at=entry.extracted_at,
        extract_date=paris_date(entry.extracted_at),
        stand_in=entry.stand_in,
    )
