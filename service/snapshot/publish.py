"""Publishing a signed snapshot in a depot: files under names nobody can take twice, then the pointer, never lowered."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from service.base64url import b64u, sha256_b64u
from service.errors import (
    DepotConflict,
    DepotMissing,
    DepotRejected,
    DepotUnavailable,
    OperatorError,
    SignatureRejected,
    SnapshotRefused,
)
from service.jws import unverified_payload
from service.snapshot.depot import Depot, bounded
from service.snapshot.folder import MANIFEST_FILE, MAX_MANIFEST_BYTES, Folder, Progress, parts, quiet
from service.snapshot.manifest import FileEntry, Manifest, parse_manifest
from service.snapshot.pointer import (
    MAX_POINTER_BYTES,
    POINTER_NAME,
    Pointer,
    depot_path,
    encode_pointer,
    parse_pointer,
    pointer_to,
)
from service.snapshot.steps import Step
from service.snapshot.trust import Trust
from service.snapshot.verify import check_digests, check_names, check_sizes, verify_signatures


@dataclass(frozen=True, slots=True)
class Publication:
    """What `latest` says now, and who vouches for it (None: not known here). `changed` is false where all was there."""

    pointer: Pointer
    signers: frozenset[str] | None
    changed: bool


def publish(
    directory: Path, depot: Depot, trust: Trust | None, now: dt.datetime, progress: Progress = quiet
) -> Publication:
    """Publish the snapshot in a folder and move `latest` to it. What is published already is left as it is.

    Without a trust file nobody can say here whether the signatures are enough; without any signature it is refused.
    Raises `SnapshotRefused`, `OperatorError` (its base is not published, or `latest` is further on), `DepotConflict`
    and the other errors of a depot. Interrupted, it can be repeated; `latest` changes last.
    """
    with Folder(directory) as folder:
        sizes = check_sizes(folder)
        document = folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
        payload, signers = _signed(document, trust, now)
        manifest, digest = parse_manifest(payload), sha256_b64u(payload)
        if now >= manifest.valid_until:
            raise SnapshotRefused(Step.DATES, "valid_until after now", f"{manifest.valid_until.isoformat()}: expired")
        check_names(manifest, sizes)
        check_digests(manifest, folder, progress)
        pointer = pointer_to(manifest, digest)
        before, tag = _latest(depot)
        _check_not_lower(pointer, before)
        _check_base(manifest, depot)
        changed = [_put(depot, pointer.path, folder, entry, progress) for entry in manifest.files]
    manifest_entry = FileEntry(MANIFEST_FILE, len(document), sha256_b64u(document))
    changed.append(_put_once(depot, pointer.path, manifest_entry, iter((document,))))
    if before != pointer:
        _move(depot, pointer, tag)
    return Publication(pointer, signers, changed=before != pointer or any(changed))


def _signed(document: bytes, trust: Trust | None, now: dt.datetime) -> tuple[bytes, frozenset[str] | None]:
    if trust is not None:
        return verify_signatures(document, trust, now)
    try:
        payload = unverified_payload(document)
    except SignatureRejected as error:
        raise SnapshotRefused(Step.SIGNATURES, "a signed manifest", error.detail) from error
    if not orjson.loads(document)["signatures"]:
        raise SnapshotRefused(Step.SIGNATURES, "a signed manifest", "no signature")
    return payload, None


def _latest(depot: Depot) -> tuple[Pointer | None, str | None]:
    """The pointer and its tag, before anything is changed."""
    try:
        delivery = depot.read(POINTER_NAME, 0, MAX_POINTER_BYTES)
    except DepotMissing:
        return None, None
    data = b"".join(bounded(POINTER_NAME, delivery.parts, MAX_POINTER_BYTES))
    if len(data) != delivery.size:
        raise DepotRejected(f"{POINTER_NAME} is no pointer: remove it if it is not ours")
    return parse_pointer(data), delivery.tag


def _check_not_lower(pointer: Pointer, before: Pointer | None) -> None:
    if before is None or before == pointer or before.sequence < pointer.sequence:
        return
    if before.sequence == pointer.sequence:
        raise DepotConflict(f"another snapshot is published as sequence {pointer.sequence}: build a higher one")
    raise OperatorError(f"sequence {before.sequence} is published already: {pointer.sequence} would be a rollback")


def _check_base(manifest: Manifest, depot: Depot) -> None:
    if manifest.base is None:
        return
    path = depot_path(manifest.base.sequence, manifest.base.sha256)
    try:
        depot.tag(f"{path}/{MANIFEST_FILE}")
    except DepotMissing as error:
        raise OperatorError(f"its base, sequence {manifest.base.sequence}, is not published: publish that first") from (
            error
        )


def _put(depot: Depot, path: str, folder: Folder, entry: FileEntry, progress: Progress) -> bool:
    with folder.open(entry.name) as file:
        content = (bytes(part) for part in parts(entry.name, file, entry.size))
        return _put_once(depot, path, entry, _counted(content, entry.size, progress))


def _put_once(depot: Depot, path: str, entry: FileEntry, content: Iterator[bytes]) -> bool:
    """Publish one file; False where the same bytes are there already. Raises `DepotConflict` where others are."""
    name = f"{path}/{entry.name}"
    if depot.create(name, content, entry.size):
        return True
    delivery = depot.read(name, 0, entry.size)
    state = hashlib.sha256()
    for part in bounded(name, delivery.parts, entry.size):
        state.update(part)
    if (delivery.size, b64u(state.digest())) != (entry.size, entry.sha256):
        raise DepotConflict(f"{name} holds other bytes: what is published is never replaced")
    return False


def _move(depot: Depot, pointer: Pointer, tag: str | None) -> None:
    try:
        depot.swap(POINTER_NAME, encode_pointer(pointer), tag)
    except (DepotConflict, DepotUnavailable) as error:
        # The answer alone may have been lost on its way: then it was we who moved it.
        now, _ = _latest(depot)
        if now == pointer:
            return
        if isinstance(error, DepotUnavailable):
            raise
        raise DepotConflict(f"another publisher was faster: {POINTER_NAME} is {now or 'gone'}") from error


def _counted(content: Iterator[bytes], size: int, progress: Progress) -> Iterator[bytes]:
    done = 0
    for part in content:
        yield part
        done += len(part)
        progress(done, size)
