"""The base of a delta or of an attestation, as whoever builds over it needs it: whole, and opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.errors import BuildError, LayerRejected, SnapshotRefused
from service.snapshot.folder import Folder, Progress, quiet
from service.snapshot.manifest import BaseRef, Manifest
from service.snapshot.records import RECORDS_FILE, Layer
from service.snapshot.seal import LayerKey
from service.snapshot.signing import read_draft
from service.snapshot.verify import check_digests, check_names, check_sizes


@dataclass(frozen=True, slots=True)
class BuildBase:
    """A folder's base whose files are what its manifest says. Whether it is signed is asked by whoever loads."""

    directory: Path
    manifest: Manifest
    digest: str

    @property
    def reference(self) -> BaseRef:
        """How a delta names it."""
        return BaseRef(self.manifest.sequence, self.digest)

    @property
    def records(self) -> Path:
        """Its data file."""
        return self.directory / RECORDS_FILE

    @property
    def has_member_entries(self) -> bool:
        """Whether it was built with entries by member number: those by NIR are one for each of the people."""
        return self.manifest.counts.entries > self.manifest.counts.people

    def follows(self, member_entries: bool) -> bool:  # noqa: FBT001 - the question is the name
        """Whether a delta over it has entries by member number: as the base has. Raises `BuildError` if it may not.

        Leaving them out over a base that has them would declare every one of them gone.
        """
        if self.has_member_entries and not member_entries:
            raise BuildError(
                f"the base {self.directory} has entries by member number, so its delta has them too: "
                "leave --no-member-entries out, or build a base"
            )
        return self.has_member_entries

    def pepper(self, peppers: Mapping[str, bytes]) -> bytes:
        """The pepper that opens it. Raises `BuildError` where none of those held does."""
        kid = self.manifest.pepper_kid
        pepper = peppers.get(kid)
        if pepper is None:
            raise BuildError(f"the base {self.directory} was sealed under pepper {kid}, which is not held here")
        try:
            Layer(self.records, LayerKey(pepper, self.manifest.salt_bytes)).close()
        except LayerRejected as error:
            raise BuildError(f"the base {self.directory}: {error.detail}") from error
        return pepper


def open_build_base(directory: Path, sequence: int, progress: Progress = quiet) -> BuildBase:
    """The base in a folder, to be built over under a later `sequence`. Raises `BuildError`.

    Its files are read whole and held against the manifest's SHA-256 first: a delta over a damaged base would declare
    what was damaged to be changed.
    """
    try:
        draft = read_draft(directory)
        base = draft.manifest.base
        if base is not None:
            raise BuildError(f"{directory} is a delta: name its base, the snapshot of sequence {base.sequence}")
        with Folder(directory) as folder:
            check_names(draft.manifest, check_sizes(folder))
            check_digests(draft.manifest, folder, progress)
    except SnapshotRefused as error:
        raise BuildError(f"the base {directory} is {error}") from error
    if sequence <= draft.manifest.sequence:
        raise BuildError(f"sequence {sequence} does not follow that of the base, {draft.manifest.sequence}")
    return BuildBase(directory, draft.manifest, draft.digest)
