"""The verification of a snapshot, in numbered steps (docs/trust_format.md). There is no way to skip one.

Each step relies on those before it: nothing is parsed before its signatures hold, no data file is opened before its
size and digest are right. A refusal names its step, what was expected and what was found.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from service.base64url import sha256_b64u
from service.errors import LayerRejected, SignatureRejected, SnapshotRefused, TrustRefused
from service.jws import verify_general
from service.snapshot.folder import MANIFEST_FILE, MAX_FILE_BYTES, MAX_MANIFEST_BYTES, Folder, Progress, quiet, shown
from service.snapshot.guard import Finding, Floor, check_floor, check_guard
from service.snapshot.manifest import MANIFEST_TYP, MAX_VALID_DAYS, Manifest, parse_manifest
from service.snapshot.pages import check_pages
from service.snapshot.records import RECORDS_FILE, Layer
from service.snapshot.seal import LayerKey
from service.snapshot.steps import Step
from service.snapshot.trust import RoleName, Trust

#: How far a builder's clock may run ahead of ours.
CLOCK_LEEWAY: Final = dt.timedelta(minutes=5)
_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\.[a-z0-9]{1,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ordered:
    """What an order in force names: exactly this snapshot.

    It may have expired since, or lie ahead of a clock that went back since, unless it is to be pinned.
    """

    sequence: int
    digest: str
    may_be_expired: bool = True


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a snapshot is held against.

    A candidate is judged by `floor` (None: this node's first load) and the guard, whose findings `accept`, the reason
    an operator gave, lets pass. What an order already activated is `ordered`: it must be that very snapshot, and its
    sequence and counts were judged then.
    """

    trust: Trust
    peppers: Mapping[str, bytes]
    now: dt.datetime
    floor: Floor | None = None
    accept: str | None = None
    ordered: Ordered | None = None


@dataclass(slots=True)
class Examination:
    """One snapshot on its way through the steps, and what has been established so far.

    `manifest`, `digest` and `signers` are set once step 3 holds; `findings` at step 9, accepted or not.
    """

    conditions: Conditions
    manifest: Manifest | None = None
    digest: str = ""
    signers: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = field(default=())

    @property
    def first_load(self) -> bool:
        """Whether there was no floor to judge by."""
        return self.conditions.floor is None and self.conditions.ordered is None

    @property
    def unchanged(self) -> bool:
        """Whether the snapshot is the highest one ever activated."""
        floor = self.conditions.floor
        return floor is not None and floor.digest == self.digest

    def run(self, directory: Path, progress: Progress = quiet) -> Manifest:
        """All nine steps on a folder; its manifest. Raises `SnapshotRefused`."""
        manifest, layer = self.open(directory, progress)
        layer.close()
        return manifest

    def open(self, directory: Path, progress: Progress = quiet) -> tuple[Manifest, Layer]:
        """All nine steps on a folder; its manifest and its open layer. Raises `SnapshotRefused`."""
        with Folder(directory) as folder:
            sizes = check_sizes(folder)  # 1
            manifest = self.read_manifest(folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES))  # 2 to 6
            check_names(manifest, sizes)  # 7
            check_digests(manifest, folder, progress)
        layer = open_layer(manifest, directory, self.conditions.peppers)  # 8
        try:
            self._judge(manifest)  # 9
        except BaseException:
            layer.close()
            raise
        return manifest, layer

    def read_manifest(self, document: bytes) -> Manifest:
        """Steps 2 to 6, for which the manifest alone is enough. Raises `SnapshotRefused`."""
        manifest = self.read_signed(document)  # 2, 3
        self._check_dates(manifest)  # 4
        self._check_sequence(manifest)  # 5
        _check_base(manifest)  # 6
        return manifest

    def read_signed(self, document: bytes) -> Manifest:
        """Steps 2 and 3: the manifest, if enough people signed it. Raises `SnapshotRefused`."""
        payload, signers = verify_signatures(document, self.conditions.trust, self.conditions.now)  # 2
        manifest = parse_manifest(payload)  # 3
        self.manifest, self.digest, self.signers = manifest, sha256_b64u(payload), signers
        return manifest

    def _check_dates(self, manifest: Manifest) -> None:
        now, ordered = self.conditions.now, self.conditions.ordered
        latest = now + CLOCK_LEEWAY
        # What an order activated was judged then; should the clock have gone back since, answers say so.
        in_force = ordered is not None and ordered.may_be_expired
        if manifest.created_at > latest and not in_force:
            raise _refused(Step.DATES, f"created_at not after {_time(latest)}", _time(manifest.created_at))
        for entry in manifest.amcs:
            if entry.extracted_at > manifest.created_at:
                raise _refused(
                    Step.DATES,
                    f"AMC {entry.amc} extracted not after created_at {_time(manifest.created_at)}",
                    _time(entry.extracted_at),
                )
        until = manifest.valid_until
        if not manifest.created_at < until <= manifest.created_at + dt.timedelta(days=MAX_VALID_DAYS):
            expected = f"valid_until after created_at, and within {MAX_VALID_DAYS} days of it"
            raise _refused(Step.DATES, expected, _time(until))
        if now >= until and not in_force:
            raise _refused(Step.DATES, f"valid_until after now, {_time(now)}", f"{_time(until)}: expired")

    def _check_sequence(self, manifest: Manifest) -> None:
        ordered = self.conditions.ordered
        if ordered is None:
            check_floor(manifest.sequence, self.digest, self.conditions.floor)
        elif (manifest.sequence, self.digest) != (ordered.sequence, ordered.digest):
            expected = f"sequence {ordered.sequence} digest {ordered.digest}, as ordered"
            raise _refused(Step.SEQUENCE, expected, f"sequence {manifest.sequence} digest {self.digest}")

    def _judge(self, manifest: Manifest) -> None:
        self.findings = () if self.conditions.ordered else check_guard(manifest, self.conditions.floor)
        if self.findings and not self.conditions.accept:
            found = "; ".join(str(finding) for finding in self.findings)
            raise _refused(Step.GUARD, "no finding of the guard, or a reason to accept them", found)


def check_sizes(folder: Folder) -> dict[str, int]:
    """Step 1: names and sizes in the folder, none beyond what a snapshot can need. Raises `SnapshotRefused`."""
    sizes = folder.sizes()
    for name, size in sizes.items():
        limit = MAX_MANIFEST_BYTES if name == MANIFEST_FILE else MAX_FILE_BYTES
        if size > limit:
            raise _refused(Step.SIZE, f"{shown(name)} of at most {limit} bytes", f"{size} bytes")
    return sizes


def verify_signatures(document: bytes, trust: Trust, now: dt.datetime) -> tuple[bytes, frozenset[str]]:
    """Step 2: the payload and the distinct people of the snapshot role who signed it. Raises `SnapshotRefused`."""
    expected = f"{trust.threshold(RoleName.SNAPSHOT)} of {', '.join(trust.names(RoleName.SNAPSHOT))}"
    try:
        trust.check_unexpired(now)
        payload, kids = verify_general(document, MANIFEST_TYP, trust.keys(RoleName.SNAPSHOT))
    except (SignatureRejected, TrustRefused) as error:
        raise _refused(Step.SIGNATURES, expected, error.detail) from error
    names = trust.signers_of(kids, RoleName.SNAPSHOT)
    if len(names) < trust.threshold(RoleName.SNAPSHOT):
        raise _refused(Step.SIGNATURES, expected, _who_signed(document, kids, names))
    return payload, names


def check_names(manifest: Manifest, sizes: Mapping[str, int]) -> None:
    """Step 7, first half: the folder holds the manifest and its files, nothing else. Raises `SnapshotRefused`."""
    names = {entry.name for entry in manifest.files}
    for name in names:
        # A signed name is still not allowed to lead anywhere else.
        if not _FILE_NAME.fullmatch(name) or name == MANIFEST_FILE:
            raise _refused(Step.FILES, "plain file names", f"{shown(name)}")
    if names != {RECORDS_FILE}:
        raise _refused(Step.FILES, f"exactly the data file {RECORDS_FILE}", _listed(names))
    if missing := (names | {MANIFEST_FILE}) - set(sizes):
        raise _refused(Step.FILES, f"the file {_listed(missing)}", "none")
    if extra := set(sizes) - names - {MANIFEST_FILE}:
        raise _refused(Step.FILES, "no other file than the manifest names", _listed(extra))


def check_digests(manifest: Manifest, folder: Folder, progress: Progress = quiet) -> None:
    """Step 7, second half: regular files of the signed size, SHA-256 and form. Raises `SnapshotRefused`."""
    for entry in manifest.files:
        found = folder.digest(entry.name, entry.size, progress)
        if found != entry.sha256:
            raise _refused(Step.FILES, f"{shown(entry.name)} of SHA-256 {entry.sha256}", f"{found}: altered")
        _check_form(entry.name, manifest.counts.entries, folder)


def _check_form(name: str, entries: int, folder: Folder) -> None:
    """What was signed may still be damaged, by mistake or on purpose, and the engine would follow it anywhere."""
    expected = f"{shown(name)} to be a whole layer of {entries} records and a probe"
    try:
        with folder.open(name) as file:
            found = check_pages(file) - 1
    except (LayerRejected, OSError) as error:
        raise _refused(Step.FILES, expected, str(error)) from error
    if found != entries:
        raise _refused(Step.FILES, expected, f"{found} records")


def open_layer(manifest: Manifest, directory: Path, peppers: Mapping[str, bytes]) -> Layer:
    """Step 8: the layer, whose probe opens under a pepper we hold. Raises `SnapshotRefused`.

    A wrong pepper would otherwise make everybody unknown.
    """
    pepper = peppers.get(manifest.pepper_kid)
    if pepper is None:
        raise _refused(Step.PEPPER, f"pepper {_listed(set(peppers))}", f"{shown(manifest.pepper_kid)}: not held here")
    try:
        return Layer(directory / RECORDS_FILE, LayerKey(pepper, manifest.salt_bytes))
    except (LayerRejected, ValueError) as error:
        raise _refused(Step.PEPPER, f"the probe to open under pepper {manifest.pepper_kid}", str(error)) from error


def _check_base(manifest: Manifest) -> None:
    # A delta needs the base it names, held here and verified; until deltas are held, none can be.
    if manifest.base is not None:
        found = f"a delta over base {manifest.base.sequence}, which is not held here"
        raise _refused(Step.BASE, "a base snapshot, or a delta whose base is held", found)


def _who_signed(document: bytes, kids: frozenset[str], names: frozenset[str]) -> str:
    """The sentence that tells an unsigned manifest from one signed by strangers, by too few, or by one person twice."""
    total = len(orjson.loads(document)["signatures"])
    if not total:
        return "no signature"
    strangers = total - len(kids)
    said = [f"{len(names)} of them ({_listed(names)})" if names else "none of them"]
    if len(kids) > len(names):
        said.append("one person signed with several keys and counts once")
    if strangers:
        said.append(f"{strangers} by keys the trust file does not know")
    return ", ".join(said)


def _listed(names: set[str] | frozenset[str]) -> str:
    return ", ".join(shown(name) for name in sorted(names)[:8]) or "none"


def _time(instant: dt.datetime) -> str:
    return f"{instant.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _refused(step: Step, expected: str, found: str) -> SnapshotRefused:
    return SnapshotRefused(step, expected, found)
