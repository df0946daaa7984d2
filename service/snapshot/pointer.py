"""The names of what is published, and `latest`, which says what was published last (docs/snapshot_format.md). Pure.

A snapshot's name follows from its sequence and digest, so a name can hold one content only. The pointer is unsigned: a
hint what to look at, after which verification decides.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from service.errors import DepotRejected
from service.snapshot.manifest import BaseRef, Digest, Manifest, Sequence
from service.strictjson import canonical, parse_strict

POINTER_NAME: Final = "latest"
POINTER_FORMAT: Final = "relais-latest/1"
#: A pointer takes about 300 bytes.
MAX_POINTER_BYTES: Final = 4096
_DIGEST_CHARACTERS: Final = 16


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published snapshot: sequence, digest of its manifest's payload, and where it lies."""

    sequence: Sequence
    digest: Digest
    path: str


class Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `latest` says. `base` names a delta's base, for people to read: nodes take it from the signed manifest."""

    format: Literal["relais-latest/1"]
    sequence: Sequence
    digest: Digest
    path: str
    base: Published | None

    def __str__(self) -> str:
        return f"sequence {self.sequence} digest {self.digest}"


def folder_name(sequence: int, digest: str) -> str:
    """`<sequence>-<first 16 characters of the digest>`: a snapshot's folder, in a depot and in `incoming/`."""
    return f"{sequence}-{digest[:_DIGEST_CHARACTERS]}"


def depot_path(sequence: int, digest: str) -> str:
    """Where a snapshot lies in a depot."""
    return f"snapshots/{folder_name(sequence, digest)}"


def pointer_to(manifest: Manifest, digest: str) -> Pointer:
    """The pointer to publish with a snapshot."""
    base = None if manifest.base is None else _published(manifest.base)
    path = depot_path(manifest.sequence, digest)
    return Pointer(POINTER_FORMAT, manifest.sequence, digest, path, base)


def encode_pointer(pointer: Pointer) -> bytes:
    """The pointer as RFC 8785 JSON."""
    return canonical(msgspec.to_builtins(pointer))


def parse_pointer(data: bytes) -> Pointer:
    """The pointer in JSON bytes. Raises `DepotRejected`.

    A path is not followed, it is compared: the only one there can be follows from sequence and digest.
    """
    try:
        pointer = msgspec.convert(parse_strict(data), Pointer)
    except (ValueError, msgspec.ValidationError) as error:
        raise DepotRejected(f"{POINTER_NAME} is no pointer of format {POINTER_FORMAT}") from error
    for one in (pointer, pointer.base):
        if one is not None and one.path != depot_path(one.sequence, one.digest):
            raise DepotRejected(f"{POINTER_NAME} leads elsewhere than where sequence {one.sequence} lies")
    return pointer


def _published(base: BaseRef) -> Published:
    return Published(base.sequence, base.sha256, depot_path(base.sequence, base.sha256))
