"""The report of a run, as a document (docs/reconcile.md). Pure: it names AMCs and answers, never people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import structs

from service.journal.damage import Evidence
from service.reconcile.compare import NO_AMC, Verdict
from service.reconcile.journals import Left
from service.reconcile.recorded import Place
from service.reconcile.survey import Survey
from service.reconcile.tally import Tally

FORMAT: Final = "relais-reconcile/1"


class Amc(msgspec.Struct, frozen=True):
    """One row: an AMC's number (`none` where there is none), its name where an answer told it, its counts."""

    amc: str
    name: str | None
    verdicts: Mapping[Verdict, int]
    other_rates: int


class Day(msgspec.Struct, frozen=True):
    """What was answered on one Europe/Paris day."""

    day: str
    verdicts: Mapping[Verdict, int]


class Age(msgspec.Struct, frozen=True):
    """What rested on extracts of one age, in whole days of 24 hours."""

    age_days: int
    verdicts: Mapping[Verdict, int]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a report says. Verdicts count contracts, and always name all eight."""

    format: str = FORMAT
    at: str
    since: str | None
    until: str | None
    upstream: str
    journal: Evidence
    sealed_to_others: Sequence[str]
    broken_off: Mapping[str, str]
    answers: int
    questions: int
    left: Mapping[Left, int]
    verdicts: Mapping[Verdict, int]
    other_rates: int
    amcs: Sequence[Amc]
    days: Sequence[Day]
    ages: Sequence[Age]
    wrongly_open: Sequence[Mapping[str, Any]]
    wrongly_closed: Sequence[Mapping[str, Any]]
    unanswered: Sequence[Mapping[str, Any]]


def make_report(
    tally: Tally, read: Survey, evidence: Evidence, *, at: str, since: str, until: str, upstream: str
) -> Report:
    """The report of what was found, of what was read, at an instant."""
    journals = read.journals
    return Report(
        at=at,
        since=since or None,
        until=until or None,
        upstream=upstream,
        journal=evidence,
        sealed_to_others=journals.sealed_to_others,
        broken_off=journals.broken_off,
        answers=tally.answers,
        questions=read.questions,
        left={reason: journals.left[reason] for reason in Left},
        verdicts=_all(tally.verdicts),
        other_rates=tally.other_rates.total(),
        amcs=[_amc(amc, tally) for amc in sorted(tally.amcs, key=lambda amc: (amc == NO_AMC, amc))],
        days=[Day(day, _all(counts)) for day, counts in sorted(tally.days.items())],
        ages=[Age(age, _all(counts)) for age, counts in sorted(tally.ages.items())],
        wrongly_open=_listed(tally, Verdict.WRONGLY_OPEN),
        wrongly_closed=_listed(tally, Verdict.WRONGLY_CLOSED),
        unanswered=[{**structs.asdict(place), "code": code} for place, code in _sorted(tally.unanswered)],
    )


def _all(counts: Mapping[Verdict, int]) -> dict[Verdict, int]:
    return {verdict: counts.get(verdict, 0) for verdict in Verdict}


def _amc(amc: str, tally: Tally) -> Amc:
    return Amc(amc, tally.names.get(amc), _all(tally.amcs[amc]), tally.other_rates[amc])


def _listed(tally: Tally, verdict: Verdict) -> list[dict[str, Any]]:
    return [{**structs.asdict(place), "amc": amc} for place, amc in _sorted(tally.listed[verdict])]


def _sorted(found: Iterable[tuple[Place, str]]) -> list[tuple[Place, str]]:
    """In the order of the journal."""
    return sorted(found, key=lambda one: (one[0].journal, one[0].n, one[1]))
