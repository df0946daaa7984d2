"""`relais reconcile`: once the upstream is back, what was said in its place, compared with what it says."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.officer import evidence_of, leave_no_core, load_officer
from service.cli.ordering import parse_since
from service.cli.progress import Meter
from service.clock import SystemClock
from service.errors import OperatorError
from service.journal.entries import instant
from service.reconcile.compare import Verdict
from service.reconcile.progress import About
from service.reconcile.report import Report
from service.reconcile.run import PAGE_FILE, Plan, Reconciliation
from service.upstream.client import Client
from service.upstream_token import upstream_token

app = App(name="reconcile")

DEFAULT_RATE: Final = 20.0
_WHEN: Final = "RFC 3339, or 30m, 2h, 7d ago"


@app.default
def reconcile(
    *,
    officer_key: Annotated[Path, Parameter(help="The officer's private key, a JWK: it opens the journal.")],
    out: Annotated[Path, Parameter(help="Directory for report.json and report.html, new or of a run to go on with.")],
    since: Annotated[str | None, Parameter(help=f"Answers recorded then or later: {_WHEN}.")] = None,
    until: Annotated[str | None, Parameter(help=f"Answers recorded before: {_WHEN}; by default now.")] = None,
    rate: Annotated[float, Parameter(help="Questions a second, at most.")] = DEFAULT_RATE,
    journal: Annotated[Path | None, Parameter(help="Directory of the journal, by default the home's.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Open the journal, ask the upstream again what was answered in its place, and report every difference by AMC.

    Run it where the officer's key is, with the home's settings: [upstream] says whom to ask. Questions in clear stay in
    memory. Broken off, it goes on when it is run again with the same --out. Exit status 3 if the upstream keeps
    failing.
    """
    where, settings = open_home(home)
    if not settings.upstream.url:
        raise OperatorError("no upstream to ask: set upstream.url")
    if not 0 < rate <= 10_000:
        raise OperatorError("--rate takes more than 0 and at most 10000 questions a second")
    clock, folder = SystemClock(), where.journal if journal is None else journal.absolute()
    plan = Plan(
        journal=folder,
        officer=load_officer(officer_key),
        about=_about(since, until, settings.upstream.url, clock.now()),
        out=out.absolute(),
        rate=rate,
        at_once=settings.upstream.in_flight,
    )
    client = Client(settings.upstream, upstream_token(where, settings, clock))
    leave_no_core()
    with Meter() as meter:
        report = Reconciliation(plan, clock).run(
            client, lambda: evidence_of(where, settings, folder, clock.now()), meter.report
        )
    if json:
        print_json(msgspec.to_builtins(report))
    else:
        _print(report, plan.out)
    return Exit.DONE


def _about(since: str | None, until: str | None, upstream: str, now: dt.datetime) -> About:
    begin = "" if since is None else instant(parse_since(since, now))
    end = "" if until is None else instant(parse_since(until, now, "--until"))
    return About(begin, end, upstream)


def _print(report: Report, out: Path) -> None:
    for verdict in Verdict:
        print(f"{verdict.value:<20}{report.verdicts[verdict]:>10}")
    print(f"{report.answers} stand-in answers to {report.questions} questions; by AMC: {out / PAGE_FILE}")
    if report.unanswered:
        print(f"relais: the upstream would say nothing about {len(report.unanswered)} answers", file=sys.stderr)
    if report.sealed_to_others or report.broken_off:
        count = len(report.sealed_to_others) + len(report.broken_off)
        print(f"relais: {count} segments were not read, or not all of it: report.json names them", file=sys.stderr)
