"""The snapshots a home holds: how one comes in, which are there, which may go.

Nothing gets a sequence's folder before its copy went through every step, and a folder is never changed in place, so
whatever is interrupted leaves either the old state or the new one.
"""

from __future__ import annotations

import fcntl
import os
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
from service.snapshot.verdict import verdict_of, verdict_path, write_verdict
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
        # Behind a link, what was verified could be changed by whoever has the other end.
        if directory.is_symlink() or not directory.exists():
            raise OperatorError(f"snapshot {sequence} is not held here: relais snapshot list shows those that are")
        return directory

    def take(
        self, source: Path, conditions: Conditions, *, keep: bool = True, progress: Progress = quiet
    ) -> Examination:
        """Copy `source`, verify the copy, give it its sequence's folder; with `keep` false only look.

        A verdict is written beside `source` and in the home, whatever the outcome. Raises `SnapshotRefused`, and
        `OperatorError` while another load is under way. What was held before is untouched by a refusal.
        """
        examination = Examination(conditions)
        with self._locked():
            try:
                self._clean()
                self._take(source, examination, progress, keep=keep)
            except (SnapshotRefused, OSError) as error:
                refusal = error if isinstance(error, SnapshotRefused) else _no_room(error)
                # Where the disk is full, the refusal matters more than its record.
                with suppress(OSError):
                    self._record(source, examination, refusal)
                raise refusal from error
            self._record(source, examination, None)
        return examination

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

    def _take(self, source: Path, examination: Examination, progress: Progress, *, keep: bool) -> None:
        staged = stage(source, self.root, examination, progress)
        try:
            manifest = examination.run(staged, progress)
            if keep:
                self._admit(staged, manifest, examination)
        finally:
            remove(staged)
        self._clean()

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
        if os.path.lexists(target) and self._holds_same(target, manifest.sequence, examination):
            return
        staged.rename(target)
        sync_directory(self.root)

    def _holds_same(self, target: Path, sequence: int, examination: Examination) -> bool:
        """Whether the folder in place is whole and the same; a damaged one is set aside, another one refused."""
        held = Examination(replace(examination.conditions, ordered=Ordered(sequence, examination.digest)))
        try:
            if target.is_symlink():
                raise SnapshotRefused(Step.FOLDER, "a folder of the home's own", "a link")
            held.run(target)
        except SnapshotRefused as error:
            if error.step == Step.SEQUENCE:
                expected = f"digest {held.digest}, as already held for sequence {sequence}"
                raise SnapshotRefused(Step.SEQUENCE, expected, f"digest {examination.digest}") from error
            self._set_aside(target, DAMAGED_PREFIX)
            return False
        return True

    def _set_aside(self, target: Path, prefix: str) -> None:
        # Into a new folder and not over it: what lies there may be a link or a file.
        target.rename(Path(tempfile.mkdtemp(prefix=prefix, dir=self.root), target.name))

    def _record(self, source: Path, examination: Examination, refusal: SnapshotRefused | None) -> None:
        verdict = verdict_of(examination, refusal)
        write_verdict(self.root / LAST_LOAD, verdict)
        if verdict.accepted and verdict.sequence is not None and self.path(verdict.sequence).is_dir():
            write_verdict(verdict_path(self.path(verdict.sequence)), verdict)
        # A source on read-only media is no reason to refuse; the home has the verdict.
        with suppress(OSError):
            write_verdict(verdict_path(source.absolute()), verdict)

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
