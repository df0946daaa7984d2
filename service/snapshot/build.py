"""Builds a snapshot, unsigned, from source files: in passes, in bounded memory, on as many cores as there are.

1. Each row is checked, encoded, and set aside under the derived bytes of its identities (intake.py, spill.py).
2. Partition by partition, records are merged by identity, sealed, and appended to the data file in key order
   (sealing.py). In a delta they are compared with the base instead (difference.py), and what differs is appended.

What one process does is in bench.py, how several work together in crew.py; the result does not depend on how many
they are. Everything happens in a directory beside the target, which takes its name only when it is whole and durable;
a build that fails leaves nothing.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from service.base64url import b64u
from service.clock import SystemClock
from service.rights.model import Amc
from service.snapshot.bench import BaseLayer, Recipe
from service.snapshot.buildbase import BuildBase, open_build_base
from service.snapshot.crew import Crew, crew_of
from service.snapshot.difference import Changes
from service.snapshot.entries import epoch_days
from service.snapshot.manifest import MANIFEST_FORMAT, Counts, FileEntry, Manifest
from service.snapshot.passes import Delivered, compare_with_base, read_sources, write_base, write_delta
from service.snapshot.plan import BuildPlan, Built, Progress, quiet
from service.snapshot.records import RECORDS_FILE
from service.snapshot.rejects import Rejects
from service.snapshot.seal import SALT_SIZE
from service.snapshot.spill import new_file, new_key
from service.snapshot.tally import Tally
from service.snapshot.target import LAYER_FOLDER, REJECTS_FILE, file_entry, load_amcs, put_in_place, working_folder


def build_snapshot(plan: BuildPlan, now: dt.datetime, progress: Progress = quiet) -> Built:
    """Builds `plan.out`: the data file and a manifest without signatures. Raises `BuildError`, and `OSError`.

    The salt comes from the operating system and is nobody's choice: the same salt under another plaintext would
    use a nonce twice.
    """
    return _build(plan, now.astimezone(dt.UTC).replace(microsecond=0), os.urandom(SALT_SIZE), progress)


def _build(plan: BuildPlan, created_at: dt.datetime, salt: bytes, progress: Progress) -> Built:
    plan.check()
    amcs = load_amcs(plan.policy, created_at)
    stages = _Stages()
    base = None
    if plan.base is not None:
        with stages("base"):
            base = open_build_base(plan.base, plan.sequence, lambda done, total: progress("base", done, total))
    with working_folder(plan.out) as work:
        return _Build(plan, amcs, base, work, salt, stages).run(created_at, progress)


class _Stages:
    """How long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = SystemClock().monotonic()
        yield
        self.seconds[stage] = round(SystemClock().monotonic() - started, 3)


class _Build:
    """One run: what its passes share."""

    def __init__(
        self, plan: BuildPlan, amcs: Mapping[str, Amc], base: BuildBase | None, work: Path, salt: bytes, stages: _Stages
    ) -> None:
        self._plan = plan
        self._amcs = amcs
        self._base = base
        self._work = work
        self._salt = salt
        self._stage = stages

    def run(self, created_at: dt.datetime, progress: Progress) -> Built:
        plan, stage = self._plan, self._stage
        data = self._work / LAYER_FOLDER / RECORDS_FILE
        with ExitStack() as stack:
            crew = self._crew(stack)
            rejects = stack.enter_context(closing(Rejects(self._work / REJECTS_FILE)))
            with stage("read"):
                delivered = read_sources(plan, crew, rejects, progress)
            tally, changes = self._write(crew, delivered, data, progress)
            memory = crew.peak_rss_bytes()
        with stage("place"):
            files = (file_entry(data),) if data.exists() else ()
            counts = _counts(tally, changes, rejects.count, delivered.dropped)
            manifest = self._manifest(files, counts, tally, created_at)
            listed = put_in_place(self._work, manifest, plan.out)
        return Built(manifest, delivered.rows, listed, changes, stage.seconds, memory)

    def _crew(self, stack: ExitStack) -> Crew:
        """The processes, and a file for each to set records aside; all gone when `stack` closes."""
        base, plan = self._base, self._plan
        files = [stack.enter_context(new_file(self._work)) for _ in range(plan.processes())]
        recipe = Recipe(
            pepper=plan.pepper,
            salt=self._salt,
            extracted={amc.number: epoch_days(amc.extract_date) for amc in self._amcs.values()},
            member_entries=plan.member_entries if base is None else base.follows(plan.member_entries),
            spill_key=new_key(),
            base=None if base is None else self._base_layer(base),
        )
        return stack.enter_context(closing(crew_of(len(files), recipe, [file.fileno() for file in files])))

    def _base_layer(self, base: BuildBase) -> BaseLayer:
        peppers = {**self._plan.peppers, self._plan.pepper_kid: self._plan.pepper}
        return BaseLayer(base.records, base.pepper(peppers), base.manifest.salt_bytes)

    def _write(self, crew: Crew, delivered: Delivered, data: Path, progress: Progress) -> tuple[Tally, Changes | None]:
        """The data file; a delta that changes nothing has none."""
        if self._base is None:
            with self._stage("seal"):
                return write_base(crew, delivered.contents, data, progress), None
        with self._stage("compare"):
            tally, changes, contents = compare_with_base(crew, delivered.contents, progress)
        with self._stage("seal"):
            if contents.records:
                write_delta(crew, contents, data, progress)
        return tally, changes

    def _manifest(
        self, files: tuple[FileEntry, ...], counts: Counts, tally: Tally, created_at: dt.datetime
    ) -> Manifest:
        return Manifest(
            format=MANIFEST_FORMAT,
            kind="base" if self._base is None else "delta",
            sequence=self._plan.sequence,
            created_at=created_at,
            valid_until=created_at + dt.timedelta(days=self._plan.valid_for_days),
            base=None if self._base is None else self._base.reference,
            salt=b64u(self._salt) if files else None,
            pepper_kid=self._plan.pepper_kid,
            files=files,
            counts=counts,
            amcs=tally.amc_entries(self._amcs),
        )


def _counts(tally: Tally, changes: Changes | None, rejected: int, dropped: int) -> Counts:
    """Of a delta, only the entries are its own; all else describes the data it and its base are together."""
    return Counts(
        entries=tally.entries if changes is None else changes.changed + changes.gone,
        people=tally.people,
        contracts=tally.contracts,
        rejected=rejected,
        dropped=dropped,
    )
