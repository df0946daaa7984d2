"""Counting outcomes: by AMC, by the day of the answer, by the age of what it rested on. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from service.reconcile.compare import Outcome, Verdict
from service.reconcile.recorded import Place, Recorded

#: Listed answer by answer: what somebody must now talk about.
LISTED: Final = (Verdict.WRONGLY_OPEN, Verdict.WRONGLY_CLOSED)


class Listed(NamedTuple):
    """An answer whose outcome is listed: where it stands, and for which AMC."""

    place: Place
    amc: str


class Unanswered(NamedTuple):
    """An answer about which the upstream would say nothing, and the code of its last failure."""

    place: Place
    code: str


@dataclass(slots=True)
class Tally:
    """What a run found. Verdicts count contracts: an answer that shows two counts twice."""

    answers: int = 0
    amcs: defaultdict[str, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    days: defaultdict[str, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    ages: defaultdict[int, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    other_rates: Counter[str] = field(default_factory=Counter)
    names: dict[str, str] = field(default_factory=dict)
    listed: dict[Verdict, list[Listed]] = field(default_factory=lambda: {verdict: [] for verdict in LISTED})
    unanswered: list[Unanswered] = field(default_factory=list)

    def add(self, recorded: Recorded, outcomes: tuple[Outcome, ...]) -> None:
        """An answer was compared."""
        self.answers += 1
        self.names.update(recorded.names)
        for amc, verdict, other_rates in outcomes:
            self.amcs[amc][verdict] += 1
            self.days[recorded.day][verdict] += 1
            self.other_rates[amc] += other_rates
            if recorded.age_days is not None:
                self.ages[recorded.age_days][verdict] += 1
            if verdict in self.listed:
                self.listed[verdict].append(Listed(recorded.place, amc))

    def miss(self, recorded: Recorded, code: str) -> None:
        """The upstream gave no answer that counts, however often it was asked."""
        self.unanswered.append(Unanswered(recorded.place, code))

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """All AMCs together."""
        return sum(self.amcs.values(), Counter[Verdict]())
