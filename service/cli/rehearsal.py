"""`relais snapshot load --dry-run`: what a load would change and what would refuse it, without loading."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from service.aside import aside
from service.cli.admission import activation_order, conditions
from service.cli.common import print_json
from service.cli.compare import comparison_lines, comparison_members, read_side
from service.cli.exits import Exit
from service.cli.fetching import local_folder
from service.cli.ordering import open_ledger
from service.cli.progress import Meter
from service.clock import SystemClock
from service.control.ledger import Ledger
from service.control.state import Activation
from service.errors import RelaisError, SnapshotRefused
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.compare import Comparison, Side, compare
from service.snapshot.depot import is_url
from service.snapshot.steps import Step
from service.snapshot.trust import Trust
from service.snapshot.verdict import verdict_of, verdict_path, write_verdict
from service.snapshot.verify import Examination


def rehearse(place: Home, settings: Settings, source: str, *, accept: str | None, at_least: int, json: bool) -> int:
    """Take a snapshot through every step where it lies, and the order through its rules; say all that was found.

    In the home nothing changes. Beside a folder the verdict says that it was a dry run. What a URL names is
    downloaded, for the load that follows to find. Status 1 where the load would be refused.
    """
    with open_ledger(place, settings) as ledger:
        examination = Examination(conditions(place, settings, ledger.state, accept, at_least))
        refusals = list(_refusals(place, settings, source, examination, ledger))
        active = ledger.state.activation
    if not is_url(source):
        # A source on read-only media is no reason to fail: what was found is said.
        with suppress(OSError):
            verdict = verdict_of(examination, refusals[0] if refusals else None)
            path = verdict_path(Path(source).absolute())
            write_verdict(path, msgspec.structs.replace(verdict, dry_run=True))
    comparison = _beside_active(place, active, examination)
    outcome = "would_be_refused" if refusals else "unchanged" if _serves(active, examination) else "would_be_activated"
    if json:
        print_json(_members(outcome, examination, comparison, refusals))
    else:
        print("\n".join(_lines(outcome, examination, comparison)))
    for refusal in refusals:
        how = "would be" if isinstance(refusal, SnapshotRefused) else "would be refused:"
        print(f"relais: {how} {refusal}", file=sys.stderr)
    return Exit.REFUSED if refusals else Exit.DONE


def _refusals(
    place: Home, settings: Settings, source: str, examination: Examination, ledger: Ledger
) -> Iterator[RelaisError]:
    """The step that would stop the load, and what would stop its order whatever that step is made to accept."""
    stopped = None
    try:
        with (
            Meter() as meter,
            local_folder(place, settings, source, examination.conditions, meter.stage("fetch")) as (folder, _),
        ):
            aside(lambda progress: Catalog.of(place).rehearse(folder, examination, progress), meter.stage("verify"))
    except SnapshotRefused as error:
        stopped = error
        yield error
    if (stopped is None or stopped.step == Step.GUARD) and not _serves(ledger.state.activation, examination):
        try:
            ledger.check(activation_order(examination), SystemClock().now())
        except RelaisError as error:
            yield error


def _beside_active(place: Home, active: Activation | None, examination: Examination) -> Comparison | None:
    """What was established of the candidate beside what serves; None where nothing was."""
    manifest, known = examination.manifest, examination.conditions
    if manifest is None:
        return None
    after = Side(manifest, examination.digest, tuple(sorted(examination.signers)))
    return compare(_active_side(Catalog.of(place), active, known.trust), after, known.floor)


def _active_side(catalog: Catalog, active: Activation | None, trust: Trust) -> Side | None:
    if active is None:
        return None
    # A copy that is gone or damaged is no reason not to look at the next one.
    with suppress(SnapshotRefused):
        side = read_side(catalog.path(active.sequence), trust)
        if side.digest == active.digest:
            return side
    return None


def _serves(active: Activation | None, examination: Examination) -> bool:
    return active is not None and active.digest == examination.digest


def _members(
    outcome: str, examination: Examination, comparison: Comparison | None, refusals: Sequence[RelaisError]
) -> dict[str, Any]:
    manifest = examination.manifest
    return {
        "sequence": manifest.sequence if manifest else None,
        "digest": examination.digest or None,
        "outcome": outcome,
        "signers": sorted(examination.signers),
        "first_load": examination.first_load,
        "accept": examination.conditions.accept if examination.findings else None,
        "refusals": [
            {"step": str(one.step), "expected": one.expected, "found": one.found}
            if isinstance(one, SnapshotRefused)
            else {"step": one.code, "expected": None, "found": str(one)}
            for one in refusals
        ],
        "comparison": None if comparison is None else comparison_members(comparison),
    }


def _lines(outcome: str, examination: Examination, comparison: Comparison | None) -> Iterator[str]:
    manifest, signers = examination.manifest, ", ".join(sorted(examination.signers))
    if manifest is None or comparison is None:
        yield "nothing is known of this snapshot: it did not come as far as its manifest"
        return
    if outcome == "unchanged":
        yield f"snapshot {manifest.sequence} is active already, and nothing would change: signed by {signers}"
        return
    yield f"snapshot {manifest.sequence} {outcome.replace('_', ' ')}: signed by {signers}"
    if examination.first_load:
        yield "this installation never activated a snapshot: there was no floor to compare with"
    yield from comparison_lines(comparison)
    for finding in comparison.findings:
        yield f"{'accepted' if examination.conditions.accept else 'finding'}: {finding}"
    if examination.conditions.accept and not comparison.findings:
        yield "nothing to accept: the guard finds nothing"
