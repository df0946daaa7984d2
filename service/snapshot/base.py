"""Step 6 of verification: the base a delta names is held here, whole, and signed by enough people of today."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.errors import SnapshotRefused
from service.snapshot.contents import check_digests
from service.snapshot.folder import Folder, Progress
from service.snapshot.manifest import BaseRef, Manifest
from service.snapshot.seen import Seen, Sightings
from service.snapshot.steps import Step


@dataclass(frozen=True, slots=True)
class Base:
    """A base whose manifest passed: where it lies, and what its signers said of it."""

    directory: Path
    manifest: Manifest

    def check_files(self, named: BaseRef, seen: Seen, pepper: bytes | None, progress: Progress) -> Sightings:
        """Its files, whole. Raises `SnapshotRefused`."""
        with of_base(named), Folder(self.directory) as folder:
            return check_digests(self.manifest, folder, progress, seen, pepper)


def find_base(named: BaseRef, bases: Callable[[int], Path] | None) -> Path:
    """Where the base lies. Raises `SnapshotRefused`, and says what to do first."""
    directory = None if bases is None else bases(named.sequence)
    if directory is None or not os.path.lexists(directory):
        expected = f"base {named.sequence}, digest {named.sha256}, held here: relais snapshot hold its folder first"
        raise SnapshotRefused(Step.BASE, expected, f"no snapshot {named.sequence}")
    return directory


def check_named(delta: Manifest, named: BaseRef, base: Manifest, digest: str) -> None:
    """Whether a well-signed manifest is the one a delta lies over. Raises `SnapshotRefused`.

    Its dates and its floor were judged long ago, and the delta's count now.
    """
    if (base.sequence, digest) != (named.sequence, named.sha256):
        raise _refused(f"digest {named.sha256}", f"sequence {base.sequence} digest {digest}: another snapshot")
    if base.base is not None:
        raise _refused("everything in one layer", f"itself a delta over {base.base.sequence}")
    if base.sequence >= delta.sequence:
        raise _refused(f"a sequence below the delta's, {delta.sequence}", f"{base.sequence}")
    if base.salt == delta.salt:
        # Two plaintexts of one identity would be sealed under one key and nonce.
        raise _refused("another salt than the delta's", "the same")


@contextmanager
def of_base(named: BaseRef) -> Iterator[None]:
    """Whatever is wrong with the base is a refusal of the delta at step 6."""
    try:
        yield
    except SnapshotRefused as error:
        raise SnapshotRefused(Step.BASE, f"base {named.sequence}: {error.expected}", error.found) from error


def _refused(expected: str, found: str) -> SnapshotRefused:
    return SnapshotRefused(Step.BASE, expected, found)
