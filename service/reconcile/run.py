"""One reconciliation from beginning to end: read twice, ask once, write the report. Resumable wherever it breaks off.

Questions and openings stay in memory. What reaches the disk are outcomes and counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from service.clock import Clock
from service.errors import OperatorError, UpstreamUnavailable
from service.files import PRIVATE_MODE, write_durable
from service.journal.damage import Evidence
from service.journal.entries import instant
from service.journal.officer import OfficerPrivateKey
from service.journal.selection import Reading, Selection
from service.locks import ALONE, locked
from service.reconcile.asking import Asking
from service.reconcile.journals import Journals
from service.reconcile.pace import Pace
from service.reconcile.page import render_page
from service.reconcile.progress import PROGRESS_FILE, About, Progress
from service.reconcile.recorded import Recorded
from service.reconcile.report import Report, make_report
from service.reconcile.survey import survey
from service.reconcile.tally import Tally
from service.rights.heard import Upstream

REPORT_FILE: Final = "report.json"
PAGE_FILE: Final = "report.html"
_LOCK_FILE: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: which journal, opened by whom, asked again where, and how fast (questions a second)."""

    journal: Path
    officer: OfficerPrivateKey
    about: About
    out: Path
    rate: float
    at_once: int


Meter = Callable[[str, int, int], None]


class Reconciliation:
    """A run into one directory. `sleep` is how it waits for its turn to ask."""

    def __init__(self, plan: Plan, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._plan = plan
        self._clock = clock
        self._sleep = sleep

    def run(self, upstream: Upstream, evidence: Callable[[], Evidence], meter: Meter) -> Report:
        """Do what is left to do, and write the report; `evidence` verifies the journal that is read.

        Raises `OperatorError` where the directory holds a report, another run, or one that goes on;
        `UpstreamUnavailable` where the upstream keeps failing, OSError: then the same call goes on later.
        """
        out = self._plan.out
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(out / _LOCK_FILE, ALONE, f"another reconciliation writes into {out}"):
            if (out / REPORT_FILE).exists():
                raise OperatorError(f"{out} holds a report: name another directory")
            with self._progress() as progress:
                report = self._report(upstream, evidence(), progress, meter)
            write_durable(out / PAGE_FILE, render_page(report).encode(), PRIVATE_MODE)
            # Last, because it says that nothing is left to do.
            write_durable(out / REPORT_FILE, _document(report), PRIVATE_MODE)
            (out / PROGRESS_FILE).unlink()
        return report

    def _progress(self) -> Progress:
        """The run that was broken off, else a new one. An end that was not named is that of the run's beginning."""
        about, out = self._plan.about, self._plan.out
        progress = Progress.resume(out)
        if progress is None:
            ends = about.until or instant(self._clock.now())
            return Progress.begin(out, msgspec.structs.replace(about, until=ends))
        begun = progress.about
        if (about.since, about.until or begun.until, about.upstream) != (begun.since, begun.until, begun.upstream):
            progress.close()
            raise OperatorError(
                f"{out} holds the progress of another run ({_words(begun)}): say the same, or name another directory"
            )
        return progress

    def _report(self, upstream: Upstream, evidence: Evidence, progress: Progress, meter: Meter) -> Report:
        plan, about = self._plan, progress.about
        period = Selection(since=about.since, until=about.until)
        read = survey(Journals(Reading(plan.journal, period, plan.officer, partial(meter, "reading"))))
        asking = Asking(upstream, Pace(plan.rate), progress, read.repeated, self._clock, self._sleep)
        answers = Journals(Reading(plan.journal, period, plan.officer)).recorded()
        try:
            tally = asyncio.run(_asked(asking, upstream, answers, plan.at_once, meter, read.answers))
        except UpstreamUnavailable as error:
            raise UpstreamUnavailable(
                f"the upstream keeps failing ({error.detail}): {progress.compared} of {read.answers} answers "
                "are compared; the same command goes on from there"
            ) from None
        at = instant(self._clock.now())
        return make_report(tally, read, evidence, at=at, since=about.since, until=about.until, upstream=about.upstream)


async def _asked(
    asking: Asking, upstream: Upstream, answers: Iterable[Recorded], at_once: int, meter: Meter, total: int
) -> Tally:
    try:
        return await asking.reconcile(answers, at_once, lambda done: meter("asking", done, total))
    finally:
        await upstream.close()


def _document(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def _words(about: About) -> str:
    since = f"since {about.since}" if about.since else "from the beginning"
    return f"{since}, until {about.until}, asking {about.upstream}"
