"""The snapshots a home holds: how one comes in, which are there, which may go.

Nothing gets a sequence's folder before its copy went through every step, and a folder is never changed in place, so
whatever is interrupted leaves either the old state or the new one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import msgspec

from service.errors import OperatorError, SignatureRejected, SnapshotRefused
from service.files import sync_directory
from service.jws import unverified_payload
from service.settings import Home
from service.snapshot.folder import MANIFEST_FILE, MAX_MANIFEST_BYTES, Folder, Progress, quiet
from service.snapshot.life import UNKNOWN, Base, Held, Standing, State, surplus
from service.snapshot.manifest import Manifest, parse_manifest
from service.snapshot.seen import NOTES_FOLDER, Notes, settle
from service.snapshot.stage import STAGING_PREFIX, remove, stage
from service.snapshot.steps import Step
from service.snapshot.turns import loading, pinning, pruning
from service.snapshot.verdict import Verdict, load_verdict, verdict_of, verdict_path, write_verdict
from service.snapshot.verify import Conditions, Examination, Ordered

__all__ = ["LAST_LOAD", "Catalog", "Held", "State"]

#: A held folder that no longer verifies, set aside when a good copy takes its place.
DAMAGED_PREFIX: Final = ".damaged-"
#: What became of the latest load, wherever it came from.
LAST_LOAD: Final = "last-load.verdict.json"


class Catalog:
    """`<home>/snapshots`: one folder a sequence."""

    def __init__(self, root: Path, notes: Notes | None = None) -> None:
        """`notes` are told which files were verified by hashing (None: nobody)."""
        self.root = root
        self.notes = notes

    @classmethod
    def of(cls, home: Home) -> Self:
        """The snapshots of a home."""
        return cls(home.snapshots, Notes(home.node / NOTES_FOLDER))

    def path(self, sequence: int) -> Path:
        """Where a snapshot of that sequence lies or would lie."""
        return self.root / str(sequence)

    def folder(self, sequence: int) -> Path:
        """Where a held snapshot lies. Raises `OperatorError` where none of that sequence does."""
        directory = self.path(sequence)
        if directory.is_symlink() or not directory.exists():
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
        with loading(self.root):
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
            self._holding(self.path(manifest.sequence), manifest.sequence, examination)

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

    def list(self, conditions: Conditions, standing: Standing) -> tuple[Held, ...]:
        """Every snapshot held, highest first, by its signed manifest (the data files are not read); then copies."""
        held = [self.look(sequence, conditions, standing) for sequence in self.sequences()]
        return (*held, *self._staged(conditions))

    def look(self, sequence: int, conditions: Conditions, standing: Standing) -> Held:
        """One snapshot held, by its signed manifest, its base's, and the sizes of their files."""
        examination = Examination(conditions)
        try:
            manifest = examination.look(self.path(sequence))
        except SnapshotRefused as error:
            return Held(sequence, State.DAMAGED, problem=str(error))
        if manifest.sequence != sequence:
            return Held(sequence, State.DAMAGED, problem=f"holds sequence {manifest.sequence}")
        return _described(examination, manifest, standing.state_of(sequence))

    def examine(self, sequence: int, conditions: Conditions, progress: Progress = quiet) -> Examination:
        """All steps again on a held snapshot, before it is activated or pinned; its files are noted as verified.

        Raises `SnapshotRefused`, and `OperatorError` where it is not held.
        """
        directory, examination = self.folder(sequence), Examination(conditions)
        settle()
        examination.run(directory, progress)
        self._note(examination)
        return examination

    def hold(self, source: Path, conditions: Conditions, progress: Progress = quiet) -> Examination:
        """As `take`, for a base that a delta names: it may be older than what serves, and is not to be activated.

        Raises as `take`.
        """
        with Folder(source) as folder:
            examination = Examination(conditions)
            manifest = examination.read_signed(folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES))
        if manifest.base is not None:
            raise SnapshotRefused(Step.BASE, "a base", f"a delta over {manifest.base.sequence}: load it instead")
        ordered = Ordered(manifest.sequence, examination.digest)
        return self.take(source, replace(conditions, floor=None, accept=None, ordered=ordered), progress=progress)

    def prune(self, standing: Callable[[], Standing], keep: int, *, dry_run: bool = False) -> tuple[int, ...]:
        """Remove superseded snapshots beyond the latest `keep`; the sequences removed, or with `dry_run` to be removed.

        `standing` is asked while nobody can load or pin. A worker may still have the files open: it keeps what it
        maps. Raises `OperatorError` while a load or a pin is under way.
        """
        with pruning(self.root):
            going = surplus({sequence: self._lies_over(sequence) for sequence in self.sequences()}, standing(), keep)
            for sequence in () if dry_run else going:
                self._remove(sequence)
            self._clean()
        return going

    def staying(self) -> AbstractContextManager[None]:
        """Nothing is pruned while the body verifies a snapshot and gives the order that pins it; loads go on."""
        return pinning(self.root)

    def forget_notes(self) -> None:
        """Whoever opens a snapshot next hashes it. Raises `OSError`."""
        if self.notes is not None:
            self.notes.forget_all()

    def clean(self) -> None:
        """Remove what interrupted loads left behind; does nothing while a load is under way. For every start."""
        # A node that may only read its snapshots serves them all the same.
        with suppress(OperatorError, OSError), loading(self.root):
            self._clean()

    def _take(self, source: Path, examination: Examination, progress: Progress, *, move: bool) -> None:
        staged = source if move else stage(source, self.root, examination, progress)
        try:
            settle()
            self._admit(staged, examination.run(staged, progress), examination)
        finally:
            if not move:
                remove(staged)
        self._clean()

    def _staged(self, conditions: Conditions) -> Iterator[Held]:
        """Copies under way, or left by a load that was interrupted: nobody has verified them."""
        for directory in sorted(self.root.glob(f"{STAGING_PREFIX}*")):
            examination = Examination(conditions)
            with suppress(SnapshotRefused), Folder(directory) as folder:
                manifest = examination.read_signed(folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES))
                yield _described(examination, manifest, State.STAGED)

    def _note(self, examination: Examination) -> None:
        """Note what was hashed. A note that cannot be written costs every worker the time to hash."""
        base = examination.base
        parts = [(examination.manifest, examination.files)]
        parts += [] if base is None else [(base.manifest, examination.base_files)]
        for manifest, files in parts:
            pepper = None if manifest is None else examination.conditions.pepper(manifest)
            if self.notes is not None and manifest is not None and pepper is not None and files:
                with suppress(OSError):
                    self.notes.write(manifest.sequence, files, pepper)

    def _lies_over(self, sequence: int) -> Base:
        """What a held snapshot lies over, by its manifest as it lies there."""
        try:
            with Folder(self.path(sequence)) as folder:
                document = folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
            base = parse_manifest(unverified_payload(document)).base
        except (SnapshotRefused, SignatureRejected):
            return UNKNOWN
        return None if base is None else base.sequence

    def _remove(self, sequence: int) -> None:
        """First its name, in one step, then its files: nothing half removed has a sequence's name."""
        self._set_aside(self.path(sequence), STAGING_PREFIX)
        verdict_path(self.path(sequence)).unlink(missing_ok=True)
        if self.notes is not None:
            self.notes.forget(sequence)

    def _admit(self, staged: Path, manifest: Manifest, examination: Examination) -> None:
        target = self.path(manifest.sequence)
        held = None
        if staged != target:
            if os.path.lexists(target):
                # Behind a link, what was verified could be changed by whoever has the other end.
                own = not target.is_symlink()
                held = self._holding(target, manifest.sequence, examination) if own else None
                if held is None:
                    self._set_aside(target, DAMAGED_PREFIX)
            if held is None:
                staged.rename(target)
                sync_directory(self.root)
        self._note(held or examination)

    def _holding(self, target: Path, sequence: int, examination: Examination) -> Examination | None:
        """The folder in place, if it is whole; raises `SnapshotRefused` for one that holds another snapshot."""
        held = Examination(replace(examination.conditions, ordered=Ordered(sequence, examination.digest)))
        try:
            held.run(target)
        except SnapshotRefused as error:
            if error.step == Step.SEQUENCE:
                expected = f"digest {held.digest}, as already held for sequence {sequence}"
                raise SnapshotRefused(Step.SEQUENCE, expected, f"digest {examination.digest}") from error
            return None
        return held

    def _check_room(self, manifest: Manifest) -> None:
        needed = sum(entry.size for entry in manifest.files)
        free = shutil.disk_usage(next(place for place in (self.root, *self.root.parents) if place.exists())).free
        if needed > free:
            raise SnapshotRefused(Step.FOLDER, f"room for a copy of {needed} bytes", f"{free} bytes free")

    def _set_aside(self, target: Path, prefix: str) -> None:
        # A new name needs neither room nor an inode, so that a full disk can still be pruned.
        target.rename(target.with_name(f"{prefix}{target.name}-{os.getpid()}"))

    def _clean(self) -> None:
        for entry in self.root.iterdir():
            if entry.name.startswith((STAGING_PREFIX, DAMAGED_PREFIX)):
                remove(entry)


def _one_disk(source: Path, root: Path) -> bool:
    return source.stat().st_dev == root.stat().st_dev


def _no_room(error: OSError) -> SnapshotRefused:
    return SnapshotRefused(Step.FOLDER, "room and rights for a copy", error.strerror or "an error of the disk")


def _is_sequence(name: str) -> bool:
    return name.isascii() and name.isdigit() and name == str(int(name)) and len(name) <= 16


def _described(examination: Examination, manifest: Manifest, state: State) -> Held:
    return Held(
        manifest.sequence,
        state,
        examination.digest,
        manifest,
        tuple(sorted(examination.signers)),
        expired=examination.conditions.now >= manifest.valid_until,
    )
