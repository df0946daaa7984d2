"""A node that pulls from a bucket of our own: nothing is slept through, and its clock can be made to run."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from service.settings import SyncSettings
from service.snapshot.catalog import Catalog
from service.snapshot.depot import open_depot, parse_address
from service.snapshot.fetch import Fetch, Patience, fetched
from service.snapshot.incoming import Incoming
from service.snapshot.manifest import Manifest
from service.snapshot.publish import Publication, publish
from service.snapshot.verify import Conditions
from tests.buckets import BUCKET, Asked, LyingBucket, environment
from tests.unit.snapshot.snapshot_maker import NOW, SnapshotMaker, conditions, trust

PREFIX = "depot"
QUICK = SyncSettings(attempts=3, read_seconds=0.5, allow_http=True, spare_bytes=0)
DATA = "records.lmdb"
MANIFEST = "manifest.json"


@dataclass
class RunningClock:
    """A clock that goes on by so many seconds each time somebody looks at it."""

    step: float = 0.0
    seconds: float = 0.0

    def now(self) -> dt.datetime:
        return NOW

    def monotonic(self) -> float:
        self.seconds += self.step
        return self.seconds


@dataclass
class Node:
    """A home's folders, and how it asks."""

    root: Path
    bucket: LyingBucket
    clock: RunningClock = field(default_factory=RunningClock)
    pauses: list[float] = field(default_factory=list)
    settings: SyncSettings = QUICK

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.root / "snapshots")

    def fetch(self) -> Fetch:
        os.environ.update(environment(self.bucket.port))
        return Fetch(
            open_depot(parse_address(f"s3://{BUCKET}/{PREFIX}"), self.settings),
            Incoming(self.incoming),
            self.catalog,
            self.settings,
            Patience(self.clock, lambda: 1.0, self.pauses.append),
        )

    def pull(
        self, judged_by: Conditions | None = None, progress: Callable[[int, int], None] = lambda *_: None
    ) -> Manifest:
        """Fetch what `latest` names and take it."""
        given = judged_by or conditions()
        fetch = self.fetch()
        with fetched(fetch, fetch.pointer(), given, progress) as folder:
            manifest = self.catalog.take(folder, given, move=True).manifest
        assert manifest is not None
        return manifest

    def publish(self, folder: Path) -> Publication:
        return publish(folder, self.fetch().depot, trust(), NOW)

    def held(self) -> tuple[int, ...]:
        return self.catalog.sequences()

    def under_way(self) -> list[str]:
        """What lies in incoming, files of folders included."""
        return sorted(str(path.relative_to(self.incoming)) for path in self.incoming.rglob("*") if path.name != ".lock")

    def asked(self, ending: str) -> list[Asked]:
        """The requests for a file."""
        return [one for one in self.bucket.asked if one.name.endswith(ending)]

    def downloads(self) -> list[str]:
        """The ranges of the data file that were asked for."""
        return [one.range for one in self.asked(DATA) if one.method == "GET"]


def another(maker: SnapshotMaker, name: str, sequence: int) -> Path:
    """A snapshot that differs in its number and in every byte that depends on who is in it."""
    maker.people = {f"nir|1850575116001|1985-05-12|{sequence}": next(iter(maker.people.values()))}
    return maker.make(name, sequence=sequence)


def size(folder: Path) -> int:
    """Of a snapshot's data file."""
    return (folder / DATA).stat().st_size
