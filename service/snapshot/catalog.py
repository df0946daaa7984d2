"""The snapshots a home holds: how one comes in, which are there, which may go.

Nothing gets a sequence's folder before its copy went through every step, and a folder is never changed in place, so
whatever is interrupted leaves either the old state or the new one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

import msgspec

from service.errors import OperatorError, SnapshotRefused
from service.files import sync_directory
from service.settings import Home
from service.snapshot.folder import MANIFEST_FILE, MAX_MANIFEST_BYTES, Folder, Progress, quiet
from service.snapshot.manifest import Manifest
from service.snapshot.stage import STAGING_PREFIX, remove, stage
from service.snapshot.steps import Step
from service.snapshot.verdict import Verdict, load_verdict, verdict_of, verdict_path, write_verdict
from service.snapshot.verify import Conditions, Examination, Ordered

#: A held folder that no longer verifies, set aside when a good copy takes its place.
DAMAGED_PREFIX: Final = ".damaged-"
#: What became of the latest load, wherever it came from.
LAST_LOAD: Final = "last-load.verdict.json"


class State(StrEnum):
    """Where a held snapshot stands in its life."""

    VERIFIED = "verified"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"
    DAMAGED = "damaged"


class Held(msgspec.Struct, frozen=True):
    """One snapshot of the home. `problem` says why a damaged one is; its manifest is then absent."""

    sequence: int
    state: State
    directory: Path
    digest: str = ""
    manifest: Manifest | None = None
    signers: tuple[str, ...] = ()
    expired: bool = False
    problem: str = ""


class Catalog:
    """`<home>/snapshots`: one folder a sequence."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def of(cls, home: Home) -> Self:
        """The snapshots of a home."""
        return cls(home.snapshots)

    def path(self, sequence: int) -> Path:
        """Where a snapshot of that sequence lies or would lie."""
        return self.root / str(sequence)

    def folder(self, sequence: int) -> Path:
        """Where a held snapshot lies. Raises `OperatorError` where none of that sequence does."""
        directory = self.path(sequence)
        if not os.path.lexists(directory):
            raise OperatorError(f"snapshot {sequence} is not held here: relais snapshot list shows those that are")
        return directory

    def take(
        self,
        source: Path,
        conditions: Conditions,
        *,
        move: bool = False,
        progress: Progress = quiet,
    ) -> Examination:
        """Copy `source`, verify the copy, give it its sequence's folder.

        With `move`, for a folder that this home downloaded for itself, the folder is verified where it lies and moved,
        not copied (unless to another file system); what is refused stays there. A verdict is written beside `source`
        (not with `move`) and in the home, whatever the outcome. Raises `SnapshotRefused`, and
        `OperatorError` while another load is under way. What was held before is untouched by a refusal.
        """
        examination = Examination(conditions)
        with self._locked():
            beside = None if move else source
            try:
                self._clean()
                self._take(source, examination, progress, move=move and _one_disk(source, self.root))
            except (SnapshotRefused, OSError) as error:
                refusal = error if isinstance(error, SnapshotRefused) else _no_room(error)
                # Where the disk is full, the refusal matters more than its record.
                with suppress(OSError):
                    self.record(verdict_of(examination, refusal), beside)
                raise refusal from error
            self.record(verdict_of(examination), beside)
        return examination

    def rehearse(self, source: Path, examination: Examination, progress: Progress = quiet) -> None:
        """Whether `take` would take `source`, judged where it lies; writes nothing. Raises `SnapshotRefused`."""
        try:
            manifest = examination.run(source, progress)
            self._check_room(manifest)
        except OSError as error:
            raise _no_room(error) from error
        if self.path(manifest.sequence).exists():
            self._holds_same(self.path(manifest.sequence), manifest.sequence, examination)

    def record(self, verdict: Verdict, beside: Path | None) -> None:
        """Write a verdict into the home, and beside the folder it is about, if there is one and it may be written.

        Raises `OSError` where the home cannot be written.
        """
        former = load_verdict(self.root / LAST_LOAD)
        carried = None if former is None else former.changed_at
        news = verdict.accepted and not verdict.unchanged
        verdict = msgspec.structs.replace(verdict, changed_at=verdict.at if news else carried)
        self.root.mkdir(parents=True, exist_ok=True)
        write_verdict(self.root / LAST_LOAD, verdict)
        if news and verdict.sequence is not None and self.path(verdict.sequence).is_dir():
            write_verdict(verdict_path(self.path(verdict.sequence)), verdict)
        # A source on read-only media is no reason to refuse; the home has the verdict.
        with suppress(OSError):
            if beside is not None:
                write_verdict(verdict_path(beside.absolute()), verdict)

    def sequences(self) -> tuple[int, ...]:
        """The sequences that have a folder, highest first."""
        if not self.root.is_dir():
            return ()
        names = [entry.name for entry in self.root.iterdir() if entry.is_dir() and not entry.is_symlink()]
        return tuple(sorted((int(name) for name in names if _is_sequence(name)), reverse=True))

    def list(self, conditions: Conditions, active: int | None, quarantined: Collection[int] = ()) -> tuple[Held, ...]:
        """Every snapshot held, highest first, by its signed manifest (the data files are not read)."""
        return tuple(self._held(sequence, conditions, active, quarantined) for sequence in self.sequences())

    def examine(self, sequence: int, conditions: Conditions, progress: Progress = quiet) -> Examination:
        """All steps again on a held snapshot, before it is activated or pinned.

        Raises `SnapshotRefused`, and `OperatorError` where it is not held.
        """
        examination = Examination(conditions)
        examination.run(self.folder(sequence), progress)
        return examination

    def prune(self, active: int, keep: int) -> tuple[int, ...]:
        """Remove superseded snapshots beyond the latest `keep`; the sequences removed."""
        surplus = [sequence for sequence in self.sequences() if sequence < active][keep:]
        with self._locked():
            for sequence in surplus:
                self._set_aside(self.path(sequence), STAGING_PREFIX)
                verdict_path(self.path(sequence)).unlink(missing_ok=True)
            self._clean()
        return tuple(surplus)

    def clean(self) -> None:
        """Remove what interrupted loads left behind; does nothing while a load is under way. For every start."""
        # A node that may only read its snapshots serves them all the same.
        with suppress(OperatorError, OSError), self._locked():
            self._clean()

    def _take(self, source: Path, examination: Examination, progress: Progress, *, move: bool) -> None:
        staged = source if move else stage(source, self.root, examination, progress)
        try:
            self._admit(staged, examination.run(staged, progress), examination)
        finally:
            if not move:
                remove(staged)

    def _held(self, sequence: int, conditions: Conditions, active: int | None, quarantined: Collection[int]) -> Held:
        directory = self.path(sequence)
        examination = Examination(conditions)
        try:
            with Folder(directory) as folder:
                manifest = examination.read_signed(folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES))
        except SnapshotRefused as error:
            return Held(sequence, State.DAMAGED, directory, problem=str(error))
        if manifest.sequence != sequence:
            return Held(sequence, State.DAMAGED, directory, problem=f"holds sequence {manifest.sequence}")
        return Held(
            sequence,
            _state(sequence, active, quarantined),
            directory,
            examination.digest,
            manifest,
            tuple(sorted(examination.signers)),
            expired=conditions.now >= manifest.valid_until,
        )

    def _admit(self, staged: Path, manifest: Manifest, examination: Examination) -> None:
        target = self.path(manifest.sequence)
        if staged == target:
            return
        if target.exists():
            if self._holds_same(target, manifest.sequence, examination):
                return
            self._set_aside(target, DAMAGED_PREFIX)
        staged.rename(target)
        sync_directory(self.root)

    def _holds_same(self, target: Path, sequence: int, examination: Examination) -> bool:
        """Whether the folder in place is whole; raises `SnapshotRefused` for one that holds another snapshot."""
        held = Examination(replace(examination.conditions, ordered=Ordered(sequence, examination.digest)))
        try:
            held.run(target)
        except SnapshotRefused as error:
            if error.step == Step.SEQUENCE:
                expected = f"digest {held.digest}, as already held for sequence {sequence}"
                raise SnapshotRefused(Step.SEQUENCE, expected, f"digest {examination.digest}") from error
            return False
        return True

    def _check_room(self, manifest: Manifest) -> None:
        needed = sum(entry.size for entry in manifest.files)
        free = shutil.disk_usage(next(place for place in (self.root, *self.root.parents) if place.exists())).free
        if needed > free:
            raise SnapshotRefused(Step.FOLDER, f"room for a copy of {needed} bytes", f"{free} bytes free")

    def _set_aside(self, target: Path, prefix: str) -> None:
        target.rename(Path(tempfile.mkdtemp(prefix=prefix, dir=self.root)))

    def _clean(self) -> None:
        for entry in self.root.iterdir():
            if entry.name.startswith((STAGING_PREFIX, DAMAGED_PREFIX)):
                remove(entry)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One load at a time; the kernel frees the lock of a process that dies."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OperatorError("another load is under way in this home: wait for it to end") from error
            yield
        finally:
            os.close(descriptor)


def _one_disk(source: Path, root: Path) -> bool:
    return source.stat().st_dev == root.stat().st_dev


def _no_room(error: OSError) -> SnapshotRefused:
    return SnapshotRefused(Step.FOLDER, "room and rights for a copy", error.strerror or "an error of the disk")


def _is_sequence(name: str) -> bool:
    return name.isascii() and name.isdigit() and name == str(int(name)) and len(name) <= 16


def _state(sequence: int, active: int | None, quarantined: Collection[int]) -> State:
    if sequence in quarantined:
        return State.QUARANTINED
    if active is None or sequence > active:
        return State.VERIFIED
    return State.ACTIVE if sequence == active else State.SUPERSEDED
