"""`relais journal report`: how many people a client was told about, and what, for a notification (GDPR art. 33)."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.officer import (
    JournalOption,
    SinceOption,
    UntilOption,
    evidence_of,
    leave_no_core,
    load_officer,
    selection,
)
from service.cli.progress import Meter
from service.clock import SystemClock
from service.errors import OperatorError
from service.files import PRIVATE_MODE, write_durable
from service.journal.entries import instant
from service.journal.page import render_page
from service.journal.selection import Reading
from service.journal.summary import Report, summarise

_KEY_BYTES = 32


def report(  # noqa: PLR0913 - one parameter an option
    *,
    client: Annotated[str | None, Parameter(help="The client whose answers are counted.")] = None,
    everybody: Annotated[bool, Parameter(name="--all", negative="", help="Count every client's answers.")] = False,
    since: SinceOption = None,
    until: UntilOption = None,
    officer_key: Annotated[
        Path | None, Parameter(help="The officer's private key, a JWK: people are then counted exactly.")
    ] = None,
    page: Annotated[Path | None, Parameter(help="Write a French page, ready to attach to a notification.")] = None,
    journal: JournalOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Count what a client was told: distinct people, asked about and disclosed apart, data categories, first and last.

    Without --officer-key a person counts once in each segment and the categories are those an answer of its kind can
    hold, so all of these are upper bounds. Nobody is named. Works while the servers run.
    """
    if (client is None) is not everybody:
        raise OperatorError("say whose answers: --client ID, or --all")
    where, settings = open_home(home)
    now, folder = SystemClock().now(), where.journal if journal is None else journal.absolute()
    wanted = selection(client, since, until, now)
    officer = None if officer_key is None else load_officer(officer_key)
    leave_no_core()
    evidence = evidence_of(where, settings, folder, now)
    with Meter() as meter:
        reading = Reading(folder, wanted, officer, partial(meter.report, "reading"))
        made = summarise(
            reading,
            evidence,
            at=instant(now),
            since=wanted.since,
            until=wanted.until,
            key=os.urandom(_KEY_BYTES),
            report=meter.stage("counting"),
        )
    if page is not None:
        write_durable(page, render_page(made).encode("utf-8"), PRIVATE_MODE)
    if json:
        print_json(msgspec.to_builtins(made))
    else:
        _print(made)
    return Exit.DONE


def _print(made: Report) -> None:
    total = made.total
    bound = "" if made.exact else "at most "
    print(f"{total.answers} answers, first {total.first or 'none'}, last {total.last or 'none'}")
    print(f"{bound}{total.people.asked} people asked about, {bound}{total.people.disclosed} of them disclosed")
    for category, count in total.people.categories.items():
        print(f"  {category:<10}{count:>10}")
    for name, counts in (("snapshots", total.snapshots), ("modes", total.modes), ("statuses", total.statuses)):
        print(f"{name}: {', '.join(f'{key} ({count})' for key, count in counts.items()) or 'none'}")
    if len(made.clients) > 1:
        for one in made.clients:
            print(f"{one.client}: {bound}{one.people.asked} people, {one.answers} answers")
    if made.broken_off:
        print(f"{len(made.broken_off)} segments could not be read whole: --json names them")
    if made.pruned:
        print(f"{len(made.pruned)} segments of this period are pruned: they are in no count")
