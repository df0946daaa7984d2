"""`relais journal`: what was answered, and the proof that the record is whole."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from cyclopts import App

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.control.fleet import FleetStore
from service.errors import StoreUnavailable
from service.journal.verify import JournalReport, verify_journal
from service.keyring import load_receipt_keys
from service.settings import Home, Settings

app = App(name="journal")


@app.command(name="verify")
def verify(*, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> int:
    """Verify every entry, head and chain, and compare with the register. Works while the servers run.

    A torn tail, a clock that went back and a segment the register missed are reported and do no harm. Exit status 1
    names each damage by cause, segment and entry.
    """
    where, settings = open_home(home)
    report = verify_directory(where, settings, where.journal)
    if json:
        print_json(_document(report))
    else:
        _print(report)
    return Exit.DONE if report.whole else Exit.REFUSED


def verify_directory(home: Home, settings: Settings, directory: Path) -> JournalReport:
    """The journal in a directory, verified with a home's keys; the home's own is compared with its register."""
    keys = load_receipt_keys(home, settings)
    if directory != home.journal:
        return verify_journal(directory, keys, None)
    register = FleetStore(home.fleet)
    try:
        return verify_journal(directory, keys, register)
    except StoreUnavailable:
        return verify_journal(directory, keys, None)
    finally:
        register.close()


def _document(report: JournalReport) -> dict[str, object]:
    findings = [{**msgspec.to_builtins(finding), "damages": finding.damages} for finding in report.findings]
    return {
        "whole": report.whole,
        "segments": report.segments,
        "batches": report.batches,
        "entries": report.entries,
        "registered": report.registered,
        "findings": findings,
    }


def _print(report: JournalReport) -> None:
    for finding in report.findings:
        print(finding, file=sys.stderr if finding.damages else sys.stdout)
    if not report.registered:
        print("the register does not answer: a segment cut at a head, or gone, is not noticed now", file=sys.stderr)
    state = "whole" if report.whole else "DAMAGED"
    print(f"{state}: {report.entries} entries, {report.batches} heads, {report.segments} segments")
