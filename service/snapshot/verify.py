"""The verification of a snapshot, in numbered steps (docs/trust_format.md). There is no way to skip one.

Each step relies on those before it: nothing is parsed before its signatures hold, no data file is opened before its
size and digest are right. A refusal names its step, what was expected and what was found.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from service.base64url import sha256_b64u
from service.errors import LayerRejected, SignatureRejected, SnapshotRefused, TrustRefused
from service.jws import verify_general
from service.snapshot.base import Base, check_named, find_base, of_base
from service.snapshot.contents import check_digests, check_lengths, check_names, check_sizes, listed
from service.snapshot.folder import MANIFEST_FILE, MAX_MANIFEST_BYTES, Folder, Progress, quiet, shown
from service.snapshot.guard import Finding, Floor, check_floor, check_guard
from service.snapshot.manifest import MANIFEST_TYP, MAX_VALID_DAYS, BaseRef, Manifest, parse_manifest
from service.snapshot.parallel import at_once
from service.snapshot.records import RECORDS_FILE, Layer, Layered, RecordStore
from service.snapshot.seal import LayerKey
from service.snapshot.seen import Seen, Sightings
from service.snapshot.steps import Step
from service.snapshot.trust import RoleName, Trust

#: Steps that a build, a signature or a publication takes by themselves, beside those that only verification takes.
__all__ = [
    "Conditions",
    "Examination",
    "Ordered",
    "check_digests",
    "check_names",
    "check_sizes",
    "open_layer",
    "verify_signatures",
]

#: How far a builder's clock may run ahead of ours.
CLOCK_LEEWAY: Final = dt.timedelta(minutes=5)


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
    an operator gave, lets pass; `at_least` and `quarantine` are those of `check_floor`. What an order already
    activated is `ordered`: it must be that very snapshot, and its sequence and counts were judged then. `bases` says
    where the held snapshot of a sequence lies, for deltas (None: nothing is held). `seen` is what need not be hashed
    again: by default only what was hashed under these conditions.
    """

    trust: Trust
    peppers: Mapping[str, bytes]
    now: dt.datetime
    floor: Floor | None = None
    accept: str | None = None
    at_least: int = 1
    quarantine: str | None = None
    ordered: Ordered | None = None
    bases: Callable[[int], Path] | None = None
    seen: Seen = field(default_factory=Seen, compare=False)

    def pepper(self, manifest: Manifest) -> bytes | None:
        """The pepper a snapshot was sealed under, if it is held here."""
        return self.peppers.get(manifest.pepper_kid)


@dataclass(slots=True)
class Examination:
    """One snapshot on its way through the steps, and what has been established so far.

    `manifest`, `digest` and `signers` are set once step 3 holds; `base`, for a delta, at step 6; `files` and
    `base_files`, as they were found, at steps 6 and 7; `findings` at step 9, accepted or not.
    """

    conditions: Conditions
    manifest: Manifest | None = None
    digest: str = ""
    signers: frozenset[str] = frozenset()
    base: Base | None = None
    files: Sightings = field(default_factory=dict)
    base_files: Sightings = field(default_factory=dict)
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
        manifest, records = self.open(directory, progress)
        records.close()
        return manifest

    def open(self, directory: Path, progress: Progress = quiet) -> tuple[Manifest, RecordStore]:
        """All nine steps on a folder; its manifest and its open records. Raises `SnapshotRefused`."""
        with Folder(directory) as folder:
            sizes = check_sizes(folder)  # 1
            manifest = self.read_manifest(folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES))  # 2 to 6
            check_names(manifest, sizes)  # 7
            self._check_files(manifest, folder, progress)  # 6 and 7
        records = self._open_records(manifest, directory)  # 8
        try:
            self._judge(manifest)  # 9
        except BaseException:
            records.close()
            raise
        return manifest, records

    def look(self, directory: Path) -> Manifest:
        """What can be told without reading data: steps 1 to 3, 6 by the base's manifest, 7 by names and sizes.

        Raises `SnapshotRefused`. Enough to list a snapshot, never to serve it.
        """
        with Folder(directory) as folder:
            sizes = check_sizes(folder)
            manifest = self.read_signed(folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES))
        if manifest.base is not None:
            self._check_base(manifest, manifest.base)
        check_names(manifest, sizes)
        check_lengths(manifest, sizes)
        return manifest

    def read_manifest(self, document: bytes) -> Manifest:
        """Steps 2 to 6, as far as manifests tell, the base's included. Raises `SnapshotRefused`."""
        manifest = self.read_signed(document)  # 2, 3
        self._check_dates(manifest)  # 4
        self._check_sequence(manifest)  # 5
        if manifest.base is not None:
            self._check_base(manifest, manifest.base)  # 6
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
            expected = f"created_at not after {_time(latest)}, five minutes ahead of this machine's clock"
            found = f"{_time(manifest.created_at)}: made in the future, unless this clock is behind"
            raise _refused(Step.DATES, expected, found)
        for entry in manifest.amcs:
            if entry.extracted_at > manifest.created_at:
                raise _refused(
                    Step.DATES,
                    f"AMC {entry.amc} extracted not after created_at {_time(manifest.created_at)}",
                    _time(entry.extracted_at),
                )
        until = manifest.valid_until
        # A difference, because the sum may lie beyond the calendar.
        if not dt.timedelta(0) < until - manifest.created_at <= dt.timedelta(days=MAX_VALID_DAYS):
            expected = f"valid_until after created_at, and within {MAX_VALID_DAYS} days of it"
            raise _refused(Step.DATES, expected, _time(until))
        if now >= until and not in_force:
            expected = f"valid_until after {_time(now)}, now by this machine's clock"
            raise _refused(Step.DATES, expected, f"{_time(until)}: expired, unless this clock is ahead")

    def _check_sequence(self, manifest: Manifest) -> None:
        ordered = self.conditions.ordered
        if ordered is None:
            known = self.conditions
            check_floor(
                manifest.sequence, self.digest, known.floor, at_least=known.at_least, quarantine=known.quarantine
            )
        elif (manifest.sequence, self.digest) != (ordered.sequence, ordered.digest):
            expected = f"sequence {ordered.sequence} digest {ordered.digest}, as ordered"
            raise _refused(Step.SEQUENCE, expected, f"sequence {manifest.sequence} digest {self.digest}")

    def _check_base(self, manifest: Manifest, named: BaseRef) -> None:
        directory = find_base(named, self.conditions.bases)
        held = Examination(self.conditions)
        with of_base(named), Folder(directory) as folder:
            sizes = check_sizes(folder)
            base = held.read_signed(folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES))
            check_named(manifest, named, base, held.digest)
            check_names(base, sizes)
        self.base = Base(directory, base)

    def _check_files(self, manifest: Manifest, folder: Folder, progress: Progress) -> None:
        """What takes long: the files of the base (6) and the snapshot's own (7), read at once."""
        seen, pepper, base = self.conditions.seen, self.conditions.pepper, self.base

        def of_the_base(step: Progress) -> Sightings:
            if base is None or manifest.base is None:
                return {}
            return base.check_files(manifest.base, seen, pepper(base.manifest), step)

        def own(step: Progress) -> Sightings:
            return check_digests(manifest, folder, step, seen, pepper(manifest))

        self.base_files, self.files = at_once((of_the_base, own), progress)

    def _open_records(self, manifest: Manifest, directory: Path) -> RecordStore:
        """A base alone, a delta over its base, or, where a delta holds nothing, the base it renews."""
        peppers, base = self.conditions.peppers, self.base
        if base is None:
            return open_layer(manifest, directory, peppers)
        with ExitStack() as undo:
            lower = open_layer(base.manifest, base.directory, peppers)
            undo.callback(lower.close)
            records = Layered(open_layer(manifest, directory, peppers), lower) if manifest.files else lower
            undo.pop_all()
        return records

    def _judge(self, manifest: Manifest) -> None:
        self.findings = () if self.conditions.ordered else check_guard(manifest, self.conditions.floor)
        if self.findings and not self.conditions.accept:
            found = "; ".join(str(finding) for finding in self.findings)
            raise _refused(Step.GUARD, "no finding of the guard, or a reason to accept them", found)


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


def open_layer(manifest: Manifest, directory: Path, peppers: Mapping[str, bytes]) -> Layer:
    """Step 8: the layer, whose probe opens under a pepper we hold. Raises `SnapshotRefused`.

    A wrong pepper would otherwise make everybody unknown.
    """
    pepper = peppers.get(manifest.pepper_kid)
    if pepper is None:
        raise _refused(Step.PEPPER, f"pepper {listed(set(peppers))}", f"{shown(manifest.pepper_kid)}: not held here")
    try:
        return Layer(directory / RECORDS_FILE, LayerKey(pepper, manifest.salt_bytes))
    except (LayerRejected, ValueError) as error:
        raise _refused(Step.PEPPER, f"the probe to open under pepper {manifest.pepper_kid}", str(error)) from error


def _who_signed(document: bytes, kids: frozenset[str], names: frozenset[str]) -> str:
    """The sentence that tells an unsigned manifest from one signed by strangers, by too few, or by one person twice."""
    total = len(orjson.loads(document)["signatures"])
    if not total:
        return "no signature"
    strangers = total - len(kids)
    said = [f"{len(names)} of them ({listed(names)})" if names else "none of them"]
    if len(kids) > len(names):
        said.append("one person signed with several keys and counts once")
    if strangers:
        said.append(f"{strangers} by keys the trust file does not know")
    return ", ".join(said)


def _time(instant: dt.datetime) -> str:
    return f"{instant.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _refused(step: Step, expected: str, found: str) -> SnapshotRefused:
    return SnapshotRefused(step, expected, found)
