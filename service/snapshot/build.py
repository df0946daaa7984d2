"""Builds a base snapshot, unsigned, from source files: two passes, in bounded memory.

1. Each row is checked, encoded, and set aside under the derived bytes of its identities (spill.py).
2. Partition by partition, records are merged by identity, sealed, and appended to the data file in key order.

Everything happens in a directory beside the target, which takes its name only when it is whole and durable; a build
that fails leaves nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
from bisect import insort
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from service.base64url import b64u
from service.errors import BuildError, RowRejected
from service.files import sync_directory, write_durable
from service.identifiers import amc_identity, nir_identity
from service.jws import sign_general
from service.rights.model import Amc
from service.snapshot import entries
from service.snapshot.folder import MANIFEST_FILE
from service.snapshot.manifest import (
    MANIFEST_FORMAT,
    MANIFEST_TYP,
    MAX_INTEGER,
    MAX_VALID_DAYS,
    Counts,
    FileEntry,
    Manifest,
    encode_manifest,
)
from service.snapshot.merge import PERSON, merge, pack_record, pack_tag
from service.snapshot.policy import load_policy
from service.snapshot.records import RECORDS_FILE
from service.snapshot.rejects import Rejects
from service.snapshot.rows import SourceRow
from service.snapshot.seal import SALT_SIZE, LayerKey, record_key, seal, seal_probe
from service.snapshot.sources import Source, open_source
from service.snapshot.spill import PARTITIONS, Spill
from service.snapshot.tally import Tally
from service.snapshot.writer import LayerWriter

DEFAULT_VALID_DAYS: Final = 7
#: GDPR art. 5.1.c: contracts that ended earlier before the extract answer no question a counter may ask.
KEPT_DAYS: Final = 60
DEFAULT_REJECT_SHARE: Final = 0.001

_PROGRESS_ROWS: Final = 8192

#: Called with the stage ("read", "seal"), what is done and what there is in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What to build, from what, where to. `canaries` is a source file of planted people; `out` must not exist."""

    sources: tuple[Path, ...]
    policy: Path
    out: Path
    sequence: int
    pepper_kid: str
    pepper: bytes
    valid_for_days: int = DEFAULT_VALID_DAYS
    member_entries: bool = True
    canaries: Path | None = None
    max_reject_share: float = DEFAULT_REJECT_SHARE

    def __repr__(self) -> str:
        return f"BuildPlan(sequence={self.sequence}, out={str(self.out)!r})"


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: its manifest, rows read, and where the rejected ones are listed (none: None)."""

    manifest: Manifest
    rows: int
    rejects: Path | None


def quiet(_stage: str, _done: int, _total: int) -> None:
    """The progress nobody watches."""


def build_snapshot(plan: BuildPlan, now: dt.datetime, progress: Progress = quiet) -> Built:
    """Builds `plan.out`: the data file and a manifest without signatures. Raises `BuildError`, and `OSError`.

    The salt comes from the operating system and is nobody's choice: the same salt under another plaintext would
    use a nonce twice.
    """
    return _build(plan, now.astimezone(dt.UTC).replace(microsecond=0), os.urandom(SALT_SIZE), progress)


def _build(plan: BuildPlan, created_at: dt.datetime, salt: bytes, progress: Progress) -> Built:
    _check_plan(plan)
    amcs = load_policy(plan.policy)
    late = [amc.number for amc in amcs.values() if amc.extracted_at > created_at]
    if late:
        raise BuildError(f"the extract of AMC {late[0]} lies in the future")
    work = plan.out.with_name(f".{plan.out.name}.{os.getpid()}.build")
    work.mkdir(mode=0o700)
    try:
        return _Build(plan, amcs, work, salt).run(created_at, progress)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_plan(plan: BuildPlan) -> None:
    if not 1 <= plan.sequence <= MAX_INTEGER:
        raise BuildError("a sequence is a positive integer")
    if not 1 <= plan.valid_for_days <= MAX_VALID_DAYS:
        raise BuildError(f"a snapshot is valid for 1 to {MAX_VALID_DAYS} days")
    if not 0 <= plan.max_reject_share <= 1:  # also catches NaN, which would let everything pass
        raise BuildError("the share of bad rows that aborts lies between 0 and 1")
    if not plan.sources:
        raise BuildError("no source was named")
    if os.path.lexists(plan.out):
        raise BuildError(f"{plan.out} exists: a snapshot is never built over another")
    if not plan.out.absolute().parent.is_dir():
        raise BuildError(f"{plan.out.parent} is no folder: make it first, {plan.out.name} is made in it")


class _Build:
    """One run: what its passes share."""

    def __init__(self, plan: BuildPlan, amcs: Mapping[str, Amc], work: Path, salt: bytes) -> None:
        self._plan = plan
        self._amcs = amcs
        self._extracted = {amc.number: entries.epoch_days(amc.extract_date) for amc in amcs.values()}
        self._work = work
        self._key = LayerKey(plan.pepper, salt)
        self._rejects = Rejects(work / "rejects.ndjson")
        self._tally = Tally(amcs)
        self._rows = 0
        self._dropped = 0

    def run(self, created_at: dt.datetime, progress: Progress) -> Built:
        with closing(Spill(self._work)) as spill, closing(self._rejects):
            self._read_all(spill, progress)
            self._check_rejects()
            spill.finish()
            layer = self._work / "layer"
            layer.mkdir(mode=0o755)
            self._seal_all(spill, layer / RECORDS_FILE, progress)
        manifest = self._manifest(layer / RECORDS_FILE, created_at)
        write_durable(layer / MANIFEST_FILE, sign_general(encode_manifest(manifest), MANIFEST_TYP, []), mode=0o444)
        return Built(manifest, self._rows, self._publish(layer))

    def _read_all(self, spill: Spill, progress: Progress) -> None:
        paths = [(path, False) for path in self._plan.sources]
        if self._plan.canaries is not None:
            paths.append((self._plan.canaries, True))
        total = sum(path.stat().st_size for path, _ in paths if path.is_file())
        before = 0
        for path, canary in paths:
            with open_source(path) as source:
                self._read(source, spill, partial(_report, progress, before, total), canary=canary)
                before += source.size
        progress("read", total, total)

    def _read(self, source: Source, spill: Spill, progress: Callable[[int], None], *, canary: bool) -> None:
        name = source.path.name
        for line, row in source:
            self._rows += 1
            if self._rows % _PROGRESS_ROWS == 0:
                progress(source.position())
            if isinstance(row, RowRejected):
                if canary:
                    raise BuildError(f"canaries, line {line}: {row.detail}")
                self._rejects.add(name, line, row)
                continue
            extracted = self._extracted.get(row.amc)
            if extracted is None:
                raise BuildError(f"{name}, line {line}: AMC {row.amc} is not in the policy file")
            if row.fictitious or row.ended_before(extracted - KEPT_DAYS):
                self._dropped += 1
                continue
            self._spill(row, pack_tag(row.state_at(extracted), canary=canary), spill)

    def _spill(self, row: SourceRow, tag: int, spill: Spill) -> None:
        derived = self._key.derive(nir_identity(row.nir, row.birth_date, row.birth_rank))
        spill.add(pack_record(derived, row.encoded, tag | PERSON))
        if self._plan.member_entries:
            identity = amc_identity(row.amc, row.member, row.birth_date, row.birth_rank)
            spill.add(pack_record(self._key.derive(identity), row.encoded, tag))

    def _check_rejects(self) -> None:
        if self._rejects.count > self._plan.max_reject_share * self._rows:
            raise BuildError(
                f"{self._rejects.count} of {self._rows} rows are bad, more than {self._plan.max_reject_share:.3%}: "
                f"{self._rejects.summary()}"
            )

    def _seal_all(self, spill: Spill, path: Path, progress: Progress) -> None:
        # An upper bound of the file: head, padding and tag of an entry, and half-filled pages.
        map_size = 3 * spill.size + 256 * spill.records + (1 << 20)
        probe = seal_probe(self._key)
        done = 0
        with closing(LayerWriter(path, map_size)) as writer:
            for number in range(PARTITIONS):
                records = spill.partition(number)
                done += len(records)
                items = self._seal_partition(records)
                if probe[0][0] == number:
                    insort(items, probe)
                writer.append(items)
                progress("seal", done, spill.records)
            if not self._tally.people:
                raise BuildError("the sources hold no contract to keep")
            writer.finish()

    def _seal_partition(self, records: list[bytes]) -> list[tuple[bytes, bytes]]:
        salt, count = self._key.salt, self._tally.add
        items = []
        for entry in merge(records):
            count(entry)
            plaintext = entries.encode_entry(entries.CANARY if entry.canary else 0, entry.contracts)
            items.append((record_key(entry.derived), seal(entry.derived, plaintext, salt)))
        return items

    def _manifest(self, data: Path, created_at: dt.datetime) -> Manifest:
        with data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        return Manifest(
            format=MANIFEST_FORMAT,
            kind="base",
            sequence=self._plan.sequence,
            created_at=created_at,
            valid_until=created_at + dt.timedelta(days=self._plan.valid_for_days),
            base=None,
            salt=b64u(self._key.salt),
            pepper_kid=self._plan.pepper_kid,
            files=(FileEntry(RECORDS_FILE, data.stat().st_size, b64u(digest)),),
            counts=Counts(
                entries=self._tally.entries,
                people=self._tally.people,
                contracts=self._tally.contracts,
                rejected=self._rejects.count,
                dropped=self._dropped,
            ),
            amcs=self._tally.amc_entries(self._amcs),
        )

    def _publish(self, layer: Path) -> Path | None:
        """Rejects first: a snapshot that is there is complete, with what was said about it."""
        out = self._plan.out
        target = out.with_name(f"{out.name}.rejects.ndjson")
        target.unlink(missing_ok=True)  # of an earlier build by this name
        if self._rejects.count:
            self._rejects.path.rename(target)
        try:
            layer.rename(out)
        except OSError:
            target.unlink(missing_ok=True)
            raise
        sync_directory(out.parent)
        return target if self._rejects.count else None


def _report(progress: Progress, before: int, total: int, position: int) -> None:
    progress("read", before + position, total)
