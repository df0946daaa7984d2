"""From a depot to a folder in `<home>/incoming`: the manifest first, verified, then the signed bytes and no other.

Nothing the depot says is believed: the pointer says what to look at, the manifest goes through steps 2 to 6 before a
byte of data is asked for, and then exactly the bytes it vouches for are written. SHA-256 and the steps after it are the
catalog's, on the file that stays.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from service.clock import Clock
from service.errors import DepotRejected, DepotUnavailable, SnapshotRefused
from service.files import write_durable
from service.settings import SyncSettings
from service.snapshot.backoff import waits
from service.snapshot.catalog import Catalog
from service.snapshot.depot import Delivery, Depot, bounded
from service.snapshot.folder import MANIFEST_FILE, MAX_MANIFEST_BYTES, Progress, check_size, quiet
from service.snapshot.incoming import Incoming, drop_part, finish_part, open_part, present
from service.snapshot.manifest import BaseRef, FileEntry, Manifest
from service.snapshot.pace import Pace
from service.snapshot.pointer import (
    MAX_POINTER_BYTES,
    POINTER_NAME,
    Pointer,
    depot_path,
    folder_name,
    parse_pointer,
)
from service.snapshot.signing import read_draft
from service.snapshot.steps import Step
from service.snapshot.verify import Conditions, Examination, Ordered, check_names

_MANIFEST_MODE: Final = 0o444
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Patience:
    """How a download waits: the clock it measures by, chance for its back-off, and what sleeps."""

    clock: Clock
    chance: Callable[[], float]
    sleep: Callable[[float], object]


@dataclass(slots=True)
class Fetch:
    """One run over a depot. Its tries are counted over the whole run; raises `DepotError` and `SnapshotRefused`."""

    depot: Depot
    incoming: Incoming
    catalog: Catalog
    settings: SyncSettings
    patience: Patience
    _waits: Iterator[float] = field(init=False)

    def __post_init__(self) -> None:
        self._waits = waits(self.settings.attempts, self.patience.chance)

    def pointer(self) -> Pointer:
        """What `latest` says. Raises `DepotMissing` where nothing was published yet."""
        return parse_pointer(self._small(POINTER_NAME, MAX_POINTER_BYTES))

    def snapshot(self, pointer: Pointer, conditions: Conditions, progress: Progress = quiet) -> Path:
        """The folder of what a pointer names, complete; the base of a delta is taken into the catalog where it lacks.

        What is there already is not fetched again. The folder is for `Catalog.take` with `move`.
        """
        examination = Examination(conditions)
        document = self._manifest(pointer.sequence, pointer.digest)
        _check_same(pointer, examination.read_signed(document), examination.digest)
        try:
            manifest = examination.read_manifest(document)
        except SnapshotRefused as refusal:
            base = None if examination.manifest is None else examination.manifest.base
            if base is None or not self._lacks(base, refusal):
                raise
            self._take_base(base, conditions, progress)
            manifest = examination.read_manifest(document)
        return self._bring(manifest, examination.digest, document, progress)

    def _lacks(self, base: BaseRef, refusal: SnapshotRefused) -> bool:
        """Whether a good copy of its base would let a delta pass, after all steps before the sixth have passed."""
        if refusal.step != Step.BASE:
            return False
        # Another one under its number would only be held against it after all of it was fetched.
        return not self.catalog.path(base.sequence).exists() or holds(self.catalog, base.sequence, base.sha256)

    def _take_base(self, base: BaseRef, conditions: Conditions, progress: Progress) -> None:
        """Fetch and take the base that a signed manifest names. It may be old: the delta renews its dates."""
        ordered = replace(conditions, floor=None, accept=None, ordered=Ordered(base.sequence, base.sha256))
        document = self._manifest(base.sequence, base.sha256)
        examination = Examination(ordered)
        manifest = examination.read_manifest(document)
        if manifest.kind != "base":
            raise SnapshotRefused(Step.BASE, "a delta over a base", f"over sequence {base.sequence}, itself a delta")
        folder = self._bring(manifest, base.sha256, document, progress)
        with _taken(self.incoming, folder):
            self.catalog.take(folder, ordered, move=True, progress=progress)

    def _manifest(self, sequence: int, digest: str) -> bytes:
        return self._small(f"{depot_path(sequence, digest)}/{MANIFEST_FILE}", MAX_MANIFEST_BYTES)

    def _bring(self, manifest: Manifest, digest: str, document: bytes, progress: Progress) -> Path:
        sizes = {entry.name: entry.size for entry in manifest.files}
        check_names(manifest, {MANIFEST_FILE: len(document), **sizes})
        name = folder_name(manifest.sequence, digest)
        try:
            self._sweep(manifest, name)
            folder = self.incoming.folder(name, {MANIFEST_FILE, *sizes})
            lacking = sum(max(0, size - present(folder / file)) for file, size in sizes.items())
            self.incoming.check_room(lacking, self.settings.spare_bytes)
            for entry in manifest.files:
                if not (folder / entry.name).exists():
                    source = f"{depot_path(manifest.sequence, digest)}/{entry.name}"
                    self._patiently(partial(self._file, source, folder, entry, progress))
            write_durable(folder / MANIFEST_FILE, document, _MANIFEST_MODE)
        except OSError as error:
            found = error.strerror or "an error of the disk"
            raise SnapshotRefused(Step.FOLDER, "room and rights for a download", found) from error
        return folder

    def _sweep(self, manifest: Manifest, name: str) -> None:
        """Forget what a signed manifest supersedes, and what nobody came back for."""
        keep = {name}
        if manifest.base is not None:
            keep.add(folder_name(manifest.base.sequence, manifest.base.sha256))
        self.incoming.sweep(keep, manifest.sequence, self.patience.clock.now().timestamp())

    def _file(self, source: str, folder: Path, entry: FileEntry, progress: Progress) -> None:
        """Bring one file, or the rest of it. What has come stays for the next try, unless it is the disk that fails.

        A full disk needs the room; after an fsync that failed nobody knows what was written.
        """
        target = folder / entry.name
        with open_part(target) as file:
            try:
                self._rest(source, folder.name, file, entry, progress)
                finish_part(target, file)
            except OSError:
                drop_part(target)
                raise

    def _rest(self, source: str, name: str, file: io.FileIO, entry: FileEntry, progress: Progress) -> None:
        done = self._resumable(source, name, file, entry.size)
        file.truncate(done)
        file.seek(done)
        if done == entry.size:
            return
        delivery = self.depot.read(source, done, entry.size)
        check_size(entry.name, entry.size, delivery.size)
        if not done:
            self.incoming.note_tag(name, delivery.tag)
        elif delivery.tag != self.incoming.tag(name):
            raise DepotUnavailable(f"{source} was changed while it was read")
        for part in self._received(delivery, source, entry.size - done):
            _write_all(file, part)
            done += len(part)
            progress(done, entry.size)
        if done < entry.size:
            raise DepotUnavailable(f"{source} broke off after {done} of {entry.size} bytes")

    def _resumable(self, source: str, name: str, file: io.FileIO, size: int) -> int:
        """How many bytes of the same object are here already; none where nobody can tell that it is the same."""
        done, known = os.fstat(file.fileno()).st_size, self.incoming.tag(name)
        if not done or not known or done > size:
            return 0
        return done if self.depot.tag(source) == known else 0

    def _small(self, name: str, at_most: int) -> bytes:
        def read() -> bytes:
            delivery = self.depot.read(name, 0, at_most)
            if delivery.size > at_most:
                raise DepotRejected(f"{name} has {delivery.size} bytes, expected {at_most} at most")
            data = b"".join(self._received(delivery, name, delivery.size))
            if len(data) < delivery.size:
                raise DepotUnavailable(f"{name} broke off after {len(data)} of {delivery.size} bytes")
            return data

        return self._patiently(read)

    def _received(self, delivery: Delivery, name: str, at_most: int) -> Iterator[bytes]:
        """The parts of a delivery as long as they come fast enough, and never a byte more than `at_most`."""
        clock = self.patience.clock
        pace = Pace(self.settings.min_bytes_per_second, clock.monotonic())
        for part in bounded(name, delivery.parts, at_most):
            pace.note(len(part), clock.monotonic())
            yield part

    def _patiently(self, read: Callable[[], _Read]) -> _Read:
        """Try again what broke off, after a pause, as long as the run has tries left."""
        while True:
            try:
                return read()
            except DepotUnavailable:
                pause = next(self._waits, None)
                if pause is None:
                    raise
                self.patience.sleep(pause)


@contextmanager
def fetched(fetch: Fetch, pointer: Pointer, conditions: Conditions, progress: Progress = quiet) -> Iterator[Path]:
    """The folder of what a pointer names, for the body to take with `move`; no other download meanwhile.

    Where it is refused for its bytes they are forgotten, so that the next run asks for them anew. Otherwise what was
    not taken stays: a load that was refused by the guard can be accepted without fetching it again.
    """
    with fetch.incoming.locked():
        folder = fetch.snapshot(pointer, conditions, progress)
        with _taken(fetch.incoming, folder):
            yield folder


def holds(catalog: Catalog, sequence: int, digest: str) -> bool:
    """Whether that snapshot lies in the catalog, by its manifest; whether it is whole, verification says."""
    with suppress(SnapshotRefused):
        return read_draft(catalog.path(sequence)).digest == digest
    return False


@contextmanager
def _taken(incoming: Incoming, folder: Path) -> Iterator[None]:
    try:
        yield
    except SnapshotRefused as refusal:
        if refusal.step == Step.FILES:
            incoming.drop(folder.name)
        raise
    if not folder.exists():
        incoming.drop(folder.name)


def _check_same(pointer: Pointer, manifest: Manifest, digest: str) -> None:
    """A well-signed manifest under another one's name: mix-and-match, or a rollback of it."""
    if (manifest.sequence, digest) != (pointer.sequence, pointer.digest):
        found = f"sequence {manifest.sequence} digest {digest}"
        raise SnapshotRefused(Step.SEQUENCE, f"{pointer}, as its name says", found)


def _write_all(file: io.FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]
