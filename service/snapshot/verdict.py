"""What came of a load, written beside the folder it came from and kept for status: `DIR.verdict.json`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import orjson

from service.errors import SnapshotRefused
from service.files import write_durable
from service.snapshot.guard import Finding
from service.snapshot.manifest import Counts
from service.snapshot.verify import Examination


class Verdict(msgspec.Struct, frozen=True):
    """Accepted, or refused at a step and why; what the signers vouched for as far as it was established.

    `first_load` says that there was nothing to compare with; `accept` is the reason given for letting findings pass.
    """

    accepted: bool
    at: dt.datetime
    sequence: int | None
    digest: str | None
    signers: tuple[str, ...]
    counts: Counts | None
    findings: tuple[Finding, ...]
    first_load: bool
    unchanged: bool
    accept: str | None
    step: str | None = None
    expected: str | None = None
    found: str | None = None


def verdict_of(examination: Examination, refusal: SnapshotRefused | None = None) -> Verdict:
    """The verdict on what went through (or got stuck in) an examination."""
    manifest, conditions = examination.manifest, examination.conditions
    return Verdict(
        accepted=refusal is None,
        at=conditions.now,
        sequence=manifest.sequence if manifest else None,
        digest=examination.digest or None,
        signers=tuple(sorted(examination.signers)),
        counts=manifest.counts if manifest else None,
        findings=examination.findings,
        first_load=examination.first_load,
        unchanged=examination.unchanged,
        accept=conditions.accept,
        step=refusal.step if refusal else None,
        expected=refusal.expected if refusal else None,
        found=refusal.found if refusal else None,
    )


def verdict_path(directory: Path) -> Path:
    """`DIR.verdict.json`, beside the folder and never in it: a snapshot holds no other file than its own."""
    return directory.with_name(f"{directory.name}.verdict.json")


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Replace the verdict at `path`."""
    write_durable(path, orjson.dumps(msgspec.to_builtins(verdict), option=orjson.OPT_INDENT_2) + b"\n")
