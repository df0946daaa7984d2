"""The manifest of a snapshot: what its signers vouch for (docs/trust_format.md). Pure.

Signed as JWS General JSON Serialization; the payload is RFC 8785 JSON, and its digest (SHA-256 of those bytes) names
the snapshot everywhere else. A payload is parsed only after its signatures were verified.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Final, Literal

import msgspec

from service.base64url import b64u_decode
from service.errors import SignatureRejected, SnapshotRefused
from service.rights.model import Guarantee, StandIn
from service.snapshot.steps import Step
from service.strictjson import canonical, parse_strict

MANIFEST_TYP: Final = "relais-snapshot+jws"
MANIFEST_FORMAT: Final = "relais-snapshot/1"
#: The largest integer every JSON reader keeps exact (RFC 8785 §3.1); a sequence can never come near it by mistake.
MAX_INTEGER: Final = 2**53 - 1
#: The longest a manifest may vouch for its data.
MAX_VALID_DAYS: Final = 45

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
Sequence = Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{43}\Z")]
Salt = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{22}\Z")]
AmcNumber = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{10}\Z")]
Instant = Annotated[dt.datetime, msgspec.Meta(tz=True)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object of the manifest; an unknown member is refused, never ignored."""


class FileEntry(_Part, frozen=True, forbid_unknown_fields=True):
    """A data file beside the manifest: plain name, bytes, SHA-256 in base64url."""

    name: Text
    size: Count
    sha256: Digest


class BaseRef(_Part, frozen=True, forbid_unknown_fields=True):
    """The base a delta lies over: its sequence and the SHA-256 of its manifest's payload."""

    sequence: Sequence
    sha256: Digest


class Counts(_Part, frozen=True, forbid_unknown_fields=True):
    """What the build read and kept: sealed entries, people, contracts, rows rejected, rows dropped."""

    entries: Count
    people: Count
    contracts: Count
    rejected: Count
    dropped: Count


class AmcEntry(_Part, frozen=True, forbid_unknown_fields=True):
    """One AMC: when it extracted, how much it delivered (contracts by state at the extract), what it allows."""

    amc: AmcNumber
    name: Text
    extracted_at: Instant
    people: Count
    contracts: Count
    open: Count
    closed: Count
    suspended: Count
    stand_in: StandIn


class Manifest(_Part, frozen=True, forbid_unknown_fields=True):
    """The signed description of a base or of a delta. `salt` is null only for an empty delta."""

    format: Literal["relais-snapshot/1"]
    kind: Literal["base", "delta"]
    sequence: Sequence
    created_at: Instant
    valid_until: Instant
    base: BaseRef | None
    salt: Salt | None
    pepper_kid: Text
    files: tuple[FileEntry, ...]
    counts: Counts
    amcs: tuple[AmcEntry, ...]

    @property
    def salt_bytes(self) -> bytes:
        """The layer's salt; empty for an empty delta."""
        return b64u_decode(self.salt) if self.salt else b""


def encode_manifest(manifest: Manifest) -> bytes:
    """The RFC 8785 bytes to sign: every member present, instants in UTC with `Z`, dates ISO."""
    return canonical(msgspec.to_builtins(manifest))


def parse_manifest(payload: bytes) -> Manifest:
    """The manifest in a payload whose signatures hold. Raises `SnapshotRefused` at the format step."""
    try:
        value = parse_strict(payload)
        manifest = msgspec.convert(value, Manifest)
        for entry in value["amcs"]:
            _check_policy_members(entry["stand_in"])
    except (ValueError, msgspec.ValidationError) as error:
        # Signed by the threshold, so the text can hold no stranger's data; it names the member at fault.
        raise _refused(f"a manifest of format {MANIFEST_FORMAT}", str(error)) from error
    _check_shape(manifest)
    return manifest


def _check_policy_members(stand_in: dict[str, Any]) -> None:
    # The nouns of a lookup tolerate unknown members; a signed policy with a rule we do not know must not be served.
    unknown = set(stand_in).difference(StandIn.__struct_fields__)
    unknown.update(set(stand_in.get("guarantee") or ()).difference(Guarantee.__struct_fields__))
    if unknown:
        raise ValueError("a stand-in policy has an unknown member")


def _check_shape(manifest: Manifest) -> None:
    if (manifest.kind == "delta") != (manifest.base is not None):
        raise _refused("a base exactly where the kind is delta", f"kind {manifest.kind}")
    if (manifest.salt is None) != (not manifest.files) or (manifest.kind == "base" and not manifest.files):
        raise _refused("files and salt together, both absent only in an empty delta", "another combination")
    if manifest.salt is not None:
        _check_canonical(manifest.salt)
    if not manifest.amcs:
        raise _refused("at least one AMC", "none")
    if len({entry.amc for entry in manifest.amcs}) != len(manifest.amcs):
        raise _refused("each AMC once", "an AMC twice")
    if len({entry.name for entry in manifest.files}) != len(manifest.files):
        raise _refused("each file once", "a file twice")
    _check_shown("pepper_kid", manifest.pepper_kid)
    for entry in manifest.amcs:
        _check_amc(entry)
    for instant in (manifest.created_at, manifest.valid_until, *(entry.extracted_at for entry in manifest.amcs)):
        if instant.utcoffset():
            raise _refused("every instant in UTC", "an instant with an offset")


def _check_amc(entry: AmcEntry) -> None:
    policy = entry.stand_in
    _check_shown("name", entry.name)
    if policy.guarantee is not None:
        _check_shown("basis", policy.guarantee.basis)
    days = (policy.renewal_grace_days, policy.closed_trust_days, policy.max_age_days, policy.history_days)
    if not all(0 <= value <= 3660 for value in days):
        raise _refused("days of a stand-in policy between 0 and 3660", "other days")
    if max(entry.open, entry.closed, entry.suspended) > entry.contracts or entry.people > entry.contracts:
        raise _refused("counts of an AMC within its contracts", "more than its contracts")


def _check_shown(member: str, text: str) -> None:
    # People read a manifest before they sign it: what it says must not steer their terminal.
    if not text.isprintable():
        raise _refused("texts that can be shown", f"the {member} {ascii(text)[1:-1][:80]}")


def _check_canonical(text: str) -> None:
    try:
        b64u_decode(text)
    except SignatureRejected as error:
        raise _refused("base64url without padding", error.detail) from error


def _refused(expected: str, found: str) -> SnapshotRefused:
    return SnapshotRefused(Step.FORMAT, expected, found)
