"""What came of a load, written beside the folder it came from and kept for status: `DIR.verdict.json`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import orjson

from service.errors import RelaisError, SnapshotRefused
from service.files import write_durable
from service.snapshot.guard import Finding
from service.snapshot.manifest import Counts, Instant
from service.snapshot.verify import Examination


class Verdict(msgspec.Struct, frozen=True):
    """Accepted, or refused at a step and why; what the signers vouched for as far as it was established.

    `first_load` says that there was nothing to compare with; `accept` is the reason given for letting findings pass.
    `changed_at` is when a load last brought another snapshot than the one before. `step` is a numbered step, or the
    code of the error that came before or after all of them; `expected` is then None.
    """

    accepted: bool
    at: Instant
    sequence: int | None = None
    digest: str | None = None
    signers: tuple[str, ...] = ()
    counts: Counts | None = None
    findings: tuple[Finding, ...] = ()
    first_load: bool = False
    unchanged: bool = False
    accept: str | None = None
    step: str | None = None
    expected: str | None = None
    found: str | None = None
    dry_run: bool = False
    changed_at: Instant | None = None


def verdict_of(examination: Examination, refusal: RelaisError | None = None) -> Verdict:
    """The verdict on what went through (or got stuck in) an examination."""
    manifest, conditions, findings = examination.manifest, examination.conditions, examination.findings
    verdict = Verdict(
        accepted=True,
        at=conditions.now,
        sequence=manifest.sequence if manifest else None,
        digest=examination.digest or None,
        signers=tuple(sorted(examination.signers)),
        counts=manifest.counts if manifest else None,
        findings=findings,
        first_load=examination.first_load,
        unchanged=examination.unchanged,
        accept=conditions.accept if findings else None,
    )
    return verdict if refusal is None else _refused(verdict, refusal)


def early_verdict(at: dt.datetime, refusal: RelaisError) -> Verdict:
    """The verdict on a load that failed before its snapshot was looked at: nothing of it is established."""
    return _refused(Verdict(accepted=False, at=at), refusal)


def verdict_path(directory: Path) -> Path:
    """`DIR.verdict.json`, beside the folder and never in it: a snapshot holds no other file than its own."""
    return directory.with_name(f"{directory.name}.verdict.json")


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Replace the verdict at `path`."""
    write_durable(path, orjson.dumps(msgspec.to_builtins(verdict), option=orjson.OPT_INDENT_2) + b"\n")


def load_verdict(path: Path) -> Verdict | None:
    """The verdict at `path`; None where there is none, or none that can be read: no answer rests on it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Verdict)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _refused(verdict: Verdict, refusal: RelaisError) -> Verdict:
    if isinstance(refusal, SnapshotRefused):
        told = {"step": str(refusal.step), "expected": refusal.expected, "found": refusal.found}
    else:
        told = {"step": refusal.code, "found": str(refusal)}
    return msgspec.structs.replace(verdict, accepted=False, **told)
