"""`relais journal`: what was answered, and the proof that the record is whole."""

from __future__ import annotations

import sys

import msgspec
from cyclopts import App

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.journal_affected import affected
from service.cli.journal_export import export
from service.cli.journal_prune import prune
from service.cli.journal_report import report
from service.cli.officer import verify_directory
from service.clock import SystemClock
from service.journal.verify import JournalReport

app = App(name="journal")
app.command(report, name="report")
app.command(affected, name="affected")
app.command(prune, name="prune")
app.command(export, name="export")


@app.command(name="verify")
def verify(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> int:
    """Verify every entry, head and chain, and compare with the register. Works while the servers run.

    A torn tail, a clock that went back and a segment the register missed are reported and do no harm. Exit status 1
    names each damage by cause, segment and entry.
    """
    where, settings = open_home(home)
    found = verify_directory(where, settings, where.journal, SystemClock().now())
    if json:
        print_json(_document(found))
    else:
        _print(found)
    return Exit.DONE if found.whole else Exit.REFUSED


def _document(found: JournalReport) -> dict[str, object]:
    findings = [{**msgspec.to_builtins(finding), "damages": finding.damages} for finding in found.findings]
    return {
        "whole": found.whole,
        "segments": found.segments,
        "pruned": found.pruned,
        "batches": found.batches,
        "entries": found.entries,
        "registered": found.registered,
        "findings": findings,
    }


def _print(found: JournalReport) -> None:
    for finding in found.findings:
        print(finding, file=sys.stderr if finding.damages else sys.stdout)
    if not found.registered:
        print("the register does not answer: a segment cut at a head, or gone, is not noticed now", file=sys.stderr)
    state = "whole" if found.whole else "DAMAGED"
    pruned = f", {found.pruned} of them pruned" if found.pruned else ""
    print(f"{state}: {found.entries} entries, {found.batches} heads, {found.segments} segments{pruned}")
