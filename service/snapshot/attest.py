"""The empty delta: new dates and policy over a base's data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import msgspec

from service.errors import BuildError
from service.rights.model import Amc
from service.snapshot.buildbase import BuildBase, open_build_base
from service.snapshot.folder import Progress, quiet
from service.snapshot.manifest import MANIFEST_FORMAT, AmcEntry, Manifest
from service.snapshot.target import DEFAULT_VALID_DAYS, check_target, load_amcs, put_in_place, working_folder


def attest(
    base: Path,
    policy: Path,
    sequence: int,
    out: Path,
    now: dt.datetime,
    *,
    valid_for_days: int = DEFAULT_VALID_DAYS,
    progress: Progress = quiet,
) -> Manifest:
    """Makes `out`, an empty delta over `base`: the same data under the dates and rules of the policy file.

    Raises `BuildError`, also if the policy names other AMCs than the base, and `OSError`.
    """
    check_target(out, sequence, valid_for_days)
    created_at = now.astimezone(dt.UTC).replace(microsecond=0)
    amcs = load_amcs(policy, created_at)
    found = open_build_base(base, sequence, progress)
    _check_same_amcs(found, amcs)
    manifest = Manifest(
        format=MANIFEST_FORMAT,
        kind="delta",
        sequence=sequence,
        created_at=created_at,
        valid_until=created_at + dt.timedelta(days=valid_for_days),
        base=found.reference,
        salt=None,
        pepper_kid=found.manifest.pepper_kid,
        files=(),
        counts=msgspec.structs.replace(found.manifest.counts, entries=0),
        amcs=tuple(_renewed(entry, amcs[entry.amc]) for entry in found.manifest.amcs),
    )
    with working_folder(out) as work:
        put_in_place(work, manifest, out)
    return manifest


def _check_same_amcs(base: BuildBase, amcs: Mapping[str, Amc]) -> None:
    held = {entry.amc for entry in base.manifest.amcs}
    for number in sorted(held.symmetric_difference(amcs)):
        where = "the base holds no data of it" if number in amcs else "it is in the base and not in the policy file"
        raise BuildError(f"AMC {number}: {where}; an attestation changes no data, so both must name the same AMCs")


def _renewed(entry: AmcEntry, amc: Amc) -> AmcEntry:
    return msgspec.structs.replace(entry, name=amc.name, extracted_at=amc.extracted_at, stand_in=amc.stand_in)
