"""Steps 1 and 7 of verification: what lies in a snapshot's folder, and that it is what was signed, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from service.errors import LayerRejected, SnapshotRefused
from service.snapshot.folder import (
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MAX_MANIFEST_BYTES,
    Folder,
    Progress,
    check_size,
    quiet,
    shown,
)
from service.snapshot.manifest import FileEntry, Manifest
from service.snapshot.pages import check_pages
from service.snapshot.records import RECORDS_FILE
from service.snapshot.seen import Seen, Sightings
from service.snapshot.steps import Step

_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\.[a-z0-9]{1,8}", re.ASCII)


def check_sizes(folder: Folder) -> dict[str, int]:
    """Step 1: names and sizes in the folder, none beyond what a snapshot can need. Raises `SnapshotRefused`."""
    sizes = folder.sizes()
    for name, size in sizes.items():
        # Nobody has signed anything yet: a name that a stranger chose is not repeated.
        what, limit = (MANIFEST_FILE, MAX_MANIFEST_BYTES) if name == MANIFEST_FILE else ("a file", MAX_FILE_BYTES)
        if size > limit:
            raise SnapshotRefused(Step.SIZE, f"{what} of at most {limit} bytes", f"{size} bytes")
    return sizes


def check_names(manifest: Manifest, sizes: Mapping[str, int]) -> None:
    """Step 7, first half: the folder holds the manifest and its files, nothing else. Raises `SnapshotRefused`.

    One data file, for a base and for a delta; an empty delta has none.
    """
    names = {entry.name for entry in manifest.files}
    for name in names:
        # A signed name is still not allowed to lead anywhere else.
        if not _FILE_NAME.fullmatch(name) or name == MANIFEST_FILE:
            raise _refused("plain file names", f"{shown(name)}")
    if names and names != {RECORDS_FILE}:
        raise _refused(f"exactly the data file {RECORDS_FILE}", listed(names))
    if missing := (names | {MANIFEST_FILE}) - set(sizes):
        raise _refused(f"the file {listed(missing)}", "none")
    if extra := set(sizes) - names - {MANIFEST_FILE}:
        raise _refused("no other file than the manifest names", listed(extra))


def check_lengths(manifest: Manifest, sizes: Mapping[str, int]) -> None:
    """That the files are as long as signed, by the folder's listing alone. Raises `SnapshotRefused`."""
    for entry in manifest.files:
        check_size(entry.name, entry.size, sizes[entry.name])


def check_digests(
    manifest: Manifest,
    folder: Folder,
    progress: Progress = quiet,
    seen: Seen | None = None,
    pepper: bytes | None = None,
) -> Sightings:
    """Step 7, second half: regular files of the signed size, SHA-256 and form. Raises `SnapshotRefused`.

    A file that `seen` knows, by a note under the snapshot's pepper or because it was hashed by this process, and that
    has not changed since, is not read again.
    """
    seen = seen or Seen()
    known = seen.files(manifest, pepper)
    found = {}
    for entry in manifest.files:
        sighting = folder.sight(entry.name, entry.size, known.get(entry.name), progress)
        if sighting.sha256 != entry.sha256:
            seen.add(manifest.sequence, entry.name, sighting)
            raise _refused(f"{shown(entry.name)} of SHA-256 {entry.sha256}", f"{sighting.sha256}: altered")
        if sighting != known.get(entry.name):
            _check_form(entry, manifest.counts.entries, folder, progress)
        seen.add(manifest.sequence, entry.name, sighting)
        found[entry.name] = sighting
    return found


def listed(names: Collection[str]) -> str:
    """A few names fit for a sentence."""
    return ", ".join(shown(name) for name in sorted(names)[:8]) or "none"


def _check_form(entry: FileEntry, entries: int, folder: Folder, progress: Progress) -> None:
    """What was signed may still be damaged, by mistake or on purpose, and the engine would follow it anywhere."""
    expected = f"{shown(entry.name)} to be a whole layer of {entries} records and a probe"
    try:
        with folder.open(entry.name) as file:
            # All is read already; an interrupt is heard all the same.
            found = check_pages(file, lambda: progress(entry.size, entry.size)) - 1
    except (LayerRejected, OSError) as error:
        raise _refused(expected, str(error)) from error
    if found != entries:
        raise _refused(expected, f"{found} records")


def _refused(expected: str, found: str) -> SnapshotRefused:
    return SnapshotRefused(Step.FILES, expected, found)
