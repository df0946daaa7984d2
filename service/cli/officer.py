"""What the officer's commands share: the key, the period, whether the journal they read is whole."""

from __future__ import annotations

import datetime as dt
import resource
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from service.cli.ordering import parse_since
from service.cli.progress import Meter
from service.control.fleet import FleetStore
from service.errors import KeyRejected, OperatorError, StoreUnavailable
from service.journal.damage import Evidence
from service.journal.entries import instant
from service.journal.officer import OfficerPrivateKey, parse_officer_private_jwk
from service.journal.selection import Selection
from service.journal.verify import JournalReport, verify_journal
from service.keyfiles import load_jwks
from service.keyring import load_receipt_keys
from service.settings import Home, Settings

_WHEN: Final = "RFC 3339, or 30m, 2h, 7d ago"
SinceOption = Annotated[str | None, Parameter(help=f"Answers recorded then or later: {_WHEN}.")]
UntilOption = Annotated[str | None, Parameter(help=f"Answers recorded before: {_WHEN}; by default now.")]
JournalOption = Annotated[Path | None, Parameter(help="Directory of the journal, by default the home's.")]


def load_officer(path: Path) -> OfficerPrivateKey:
    """The one officer's private key in a file. Raises `KeyRejected`, OSError."""
    jwks = load_jwks(path)
    if len(jwks) != 1:
        raise KeyRejected(f"{path}: holds {len(jwks)} keys, one is needed")
    try:
        return parse_officer_private_jwk(jwks[0])
    except KeyRejected as error:
        raise KeyRejected(f"{path}: {error.detail}") from error


def selection(client: str | None, since: str | None, until: str | None, now: dt.datetime) -> Selection:
    """The entries that options ask for. Raises `OperatorError`."""
    begin = "" if since is None else instant(parse_since(since, now))
    end = instant(now if until is None else parse_since(until, now, "--until"))
    if begin >= end:
        raise OperatorError("--since lies after --until: there is nothing between them")
    return Selection(client=client, since=begin, until=end)


def evidence_of(home: Home, settings: Settings, directory: Path, now: dt.datetime) -> Evidence:
    """Whether the journal is whole, said at once where it is not: what is told then rests on what still reads."""
    report = verify_directory(home, settings, directory, now)
    damages = tuple(str(finding) for finding in report.findings if finding.damages)
    if damages:
        print(f"relais: the journal is damaged ({len(damages)} findings): relais journal verify", file=sys.stderr)
    return Evidence(report.whole, damages)


def verify_directory(home: Home, settings: Settings, directory: Path, now: dt.datetime) -> JournalReport:
    """The journal in a directory, verified with a home's keys; the home's own is compared with its register."""
    keys = load_receipt_keys(home, settings)
    with Meter() as meter:
        report = meter.stage("verifying")
        if directory != home.journal:
            return verify_journal(directory, keys, None, now, report)
        register = FleetStore(home.fleet)
        try:
            return verify_journal(directory, keys, register, now, report)
        except StoreUnavailable:
            return verify_journal(directory, keys, None, now, report)
        finally:
            register.close()


def leave_no_core() -> None:
    """A crash must not leave people in a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
