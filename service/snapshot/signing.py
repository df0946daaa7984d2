"""One person's signature on a built snapshot: looked at first, then vouched for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service.base64url import sha256_b64u
from service.errors import SignatureRejected, SnapshotRefused
from service.files import write_durable
from service.jwk import PrivateKey
from service.jws import add_signature, unverified_payload, verify_general
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


def read_draft(directory: Path) -> Draft:
    """The manifest of a folder, signed or not. Raises `SnapshotRefused`."""
    with Folder(directory) as folder:
        check_sizes(folder)
        return _read_draft(folder)


def sign_folder(directory: Path, key: PrivateKey, progress: Progress = quiet) -> Draft:
    """Adds one signature to a folder whose files are what its manifest says. Raises `SnapshotRefused`.

    Whoever signs vouches for the data, so the data files are read first.
    """
    with Folder(directory) as folder:
        sizes = check_sizes(folder)
        draft = _read_draft(folder)
        check_names(draft.manifest, sizes)
        check_digests(draft.manifest, folder, progress)
    document = add_signature(draft.document, MANIFEST_TYP, key)
    write_durable(directory / MANIFEST_FILE, document, _MANIFEST_MODE)
    return Draft(document, draft.manifest, draft.digest)


def _read_draft(folder: Folder) -> Draft:
    document = folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
    try:
        payload = unverified_payload(document)
    except SignatureRejected as error:
        raise SnapshotRefused(Step.SIGNATURES, "a manifest in JWS General JSON Serialization", error.detail) from error
    return Draft(document, parse_manifest(payload), sha256_b64u(payload))
