"""People's signatures on a built snapshot: looked at first, then vouched for; made here, or brought from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from service.base64url import sha256_b64u
from service.errors import SignatureRejected, SnapshotRefused
from service.files import write_durable
from service.jws import add_signature, detached_signature, merge_signatures, unverified_payload, verify_general
from service.signer import Signer
from service.snapshot.catalog import Catalog
from service.snapshot.folder import MANIFEST_FILE, MAX_MANIFEST_BYTES, Folder, Progress, quiet
from service.snapshot.manifest import MANIFEST_TYP, Manifest, parse_manifest
from service.snapshot.steps import Step
from service.snapshot.trust import RoleName, Trust
from service.snapshot.verify import check_digests, check_names, check_sizes

_MANIFEST_MODE = 0o444


@dataclass(frozen=True, slots=True)
class Draft:
    """A folder's manifest as it lies there: *nobody's word yet*. For people to look at and sign, not to serve."""

    document: bytes
    manifest: Manifest
    digest: str

    def signers(self, trust: Trust) -> frozenset[str]:
        """Who of the snapshot role has signed so far. Raises `SnapshotRefused` where a signature does not hold."""
        try:
            _, kids = verify_general(self.document, MANIFEST_TYP, trust.keys(RoleName.SNAPSHOT))
        except SignatureRejected as error:
            raise SnapshotRefused(Step.SIGNATURES, "signatures that hold", error.detail) from error
        return trust.signers_of(kids, RoleName.SNAPSHOT)

    def has_threshold(self, trust: Trust) -> bool:
        """Whether enough of the snapshot role have signed, the trust file's end aside."""
        try:
            return len(self.signers(trust)) >= trust.threshold(RoleName.SNAPSHOT)
        except SnapshotRefused:
            return False


def read_draft(directory: Path) -> Draft:
    """The manifest of a folder, signed or not. Raises `SnapshotRefused`."""
    with Folder(directory) as folder:
        check_sizes(folder)
        return _read_draft(folder)


def sign_folder(directory: Path, signer: Signer, progress: Progress = quiet) -> Draft:
    """Adds one signature to a folder whose files are what its manifest says. Raises `SnapshotRefused`.

    Whoever signs vouches for the data, so the data files are read first.
    """
    draft = _check_whole(directory, progress)
    return _write(directory, draft, add_signature(draft.document, MANIFEST_TYP, signer))


def sign_detached(directory: Path, signer: Signer, progress: Progress = quiet) -> tuple[Draft, bytes, bool]:
    """The manifest as it lies there, one signature on it as a document of its own, and whether the data was read.

    The folder stays as it is. It may hold the manifest alone, for a signer's machine that has no room for the data:
    the signature then says that this is the manifest agreed upon; that the data is the one it names is checked by
    every load. A folder that holds more must be whole. Raises `SnapshotRefused`.
    """
    with Folder(directory) as folder:
        names = set(check_sizes(folder))
        draft = _read_draft(folder)
    # An empty delta names no data: its manifest is the whole of it.
    alone = names == {MANIFEST_FILE} and bool(draft.manifest.files)
    if not alone:
        draft = _check_whole(directory, progress)
    return draft, detached_signature(draft.document, MANIFEST_TYP, signer), not alone


def merge_folder(directory: Path, others: Mapping[str, bytes], trust: Trust | None) -> Draft:
    """Adds signatures made elsewhere, by the names of the files they came in, to a folder's manifest.

    Raises `SnapshotRefused` for one of another manifest, and, where `trust` knows its key, one that does not hold;
    nothing is written then.
    """
    draft = read_draft(directory)
    keys = {} if trust is None else trust.keys(RoleName.SNAPSHOT)
    document = draft.document
    for name, other in {MANIFEST_FILE: draft.document, **others}.items():
        try:
            document = merge_signatures([document, other], MANIFEST_TYP, keys)
        except SignatureRejected as error:
            expected = f"signatures of manifest {draft.digest} that hold"
            raise SnapshotRefused(Step.SIGNATURES, expected, f"{name}: {error.detail}") from error
    if len(document) > MAX_MANIFEST_BYTES:
        raise SnapshotRefused(Step.SIZE, f"a manifest of at most {MAX_MANIFEST_BYTES} bytes", f"{len(document)} bytes")
    return _write(directory, draft, document)


def falling(catalog: Catalog, former: Trust, following: Trust) -> tuple[int, ...]:
    """The held snapshots, lowest first, that enough people of `former` signed and too few of `following`."""
    found = []
    for sequence in catalog.sequences():
        # What cannot be read serves nobody under either.
        with suppress(SnapshotRefused):
            draft = read_draft(catalog.path(sequence))
            if draft.has_threshold(former) and not draft.has_threshold(following):
                found.append(sequence)
    return tuple(sorted(found))


def _check_whole(directory: Path, progress: Progress) -> Draft:
    with Folder(directory) as folder:
        sizes = check_sizes(folder)
        draft = _read_draft(folder)
        check_names(draft.manifest, sizes)
        check_digests(draft.manifest, folder, progress)
    return draft


def _write(directory: Path, draft: Draft, document: bytes) -> Draft:
    write_durable(directory / MANIFEST_FILE, document, _MANIFEST_MODE)
    return replace(draft, document=document)


def _read_draft(folder: Folder) -> Draft:
    document = folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
    try:
        payload = unverified_payload(document)
    except SignatureRejected as error:
        raise SnapshotRefused(Step.SIGNATURES, "a manifest in JWS General JSON Serialization", error.detail) from error
    return Draft(document, parse_manifest(payload), sha256_b64u(payload))
