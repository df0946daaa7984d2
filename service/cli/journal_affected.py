"""`relais journal affected`: the people a client was told about, a file for each AMC, who tells them (GDPR art. 34)."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.officer import JournalOption, UntilOption, evidence_of, leave_no_core, load_officer, selection
from service.cli.progress import Meter
from service.clock import SystemClock
from service.errors import InvalidField, KeyRejected, OperatorError
from service.identifiers import parse_amc
from service.journal.affected import Listed, list_affected
from service.journal.age import Recipient, parse_recipient
from service.journal.outbox import Outbox
from service.journal.partitions import Partitions
from service.journal.selection import Reading


def affected(  # noqa: PLR0913 - one parameter an option
    *,
    officer_key: Annotated[Path, Parameter(help="The officer's private key, a JWK: it opens the journal.")],
    client: Annotated[str, Parameter(help="The client through whom people were read.")],
    since: Annotated[str, Parameter(help="Answers recorded then or later: RFC 3339, or 30m, 2h, 7d ago.")],
    out: Annotated[Path, Parameter(help="Directory for the files, new or empty.")],
    until: UntilOption = None,
    recipients: Annotated[
        Path | None,
        Parameter(help="Seal each file: lines `AMC age1…`, `*` for all others. Without it files are plain, mode 0600."),
    ] = None,
    journal: JournalOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """List the people whose data a client was told, one file for each AMC: who, which categories, first and last.

    Run it offline, where the officer's key is. Files appear when all of them are whole. Exit status 1 if the journal is
    damaged, or anything could not be opened or read: then the list is not complete, and says what is missing.
    """
    where, settings = open_home(home)
    now, folder = SystemClock().now(), where.journal if journal is None else journal.absolute()
    wanted, officer = selection(client, since, until, now), load_officer(officer_key)
    sealed_to = {} if recipients is None else load_recipients(recipients)
    leave_no_core()
    evidence = evidence_of(where, settings, folder, now)
    target = out.absolute()
    with Meter() as meter, Outbox(target, sealed_to) as outbox, Partitions(target.parent) as aside:
        reading = Reading(folder, wanted, officer, partial(meter.report, "reading"))
        listed = list_affected(reading, outbox, aside, partial(meter.report, "writing"))
    complete = listed.complete and evidence.whole
    if json:
        print_json({**msgspec.to_builtins(listed), "journal": msgspec.to_builtins(evidence), "complete": complete})
    else:
        _print(listed)
    return Exit.DONE if complete else Exit.REFUSED


def load_recipients(path: Path) -> dict[str, Recipient]:
    """Recipients by AMC, or `*`, from lines of two words; `#` begins a comment. Raises `OperatorError`, OSError."""
    found: dict[str, Recipient] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            amc, key = words
            name = amc if amc in ("*", "none") else parse_amc(amc)
            if name in found:
                raise OperatorError(f"{path}, line {number}: this AMC stands twice")
            found[name] = parse_recipient(key)
        except ValueError:
            raise OperatorError(f"{path}, line {number}: expected an AMC number and an age recipient") from None
        except (InvalidField, KeyRejected) as error:
            raise OperatorError(f"{path}, line {number}: {error.detail}") from error
    if not found:
        raise OperatorError(f"{path}: names no recipient")
    return found


def _print(listed: Listed) -> None:
    for amc, people in listed.people.items():
        print(f"{amc:<12}{people:>10} people")
    print(f"{listed.answers} answers; {listed.nothing} gave nothing away, {listed.fictitious} were about nobody")
    for kind, found in (("stayed sealed", listed.sealed), ("was not read whole", listed.broken_off)):
        for journal, why in found.items():
            print(f"relais: not complete: segment {journal} {kind}: {why}", file=sys.stderr)
    for journal in listed.pruned:
        print(f"relais: not complete: segment {journal} is pruned", file=sys.stderr)
