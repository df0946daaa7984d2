"""The sentinel: from what is counted to a step against those who ask. Pure.

It notes, slows, suspends. It never acts against more than `most_an_hour` of the clients in an hour, nor by a rule that
finds as many suspects at once: then something else is wrong, and it says so. Every action is a value for an order
whose actor is `sentinel`; nothing here carries it out. What is suspended stays so until `forgive`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from service.access.counters import Fleet, FleetDay, Sheet, Sums
from service.access.habit import close_day
from service.access.marks import Mark
from service.access.suspicion import DEFAULT, Finding, Rule, Step, Thresholds, findings

#: What a slowed client may still ask; a pharmacy at its counter hardly notices.
SLOW_LOOKUPS_AN_HOUR: Final = 60
_HOUR_SECONDS: Final = 3600.0
#: Whoever asked a tenth of a pharmacy's lookups of the day is meant by a step against it.
_SHARE_MEANT: Final = 0.1


class Held(StrEnum):
    """Why an action is only reported."""

    REPORT = "report"
    FLEET = "fleet"
    CAP = "cap"
    WAVE = "wave"


class Action(msgspec.Struct, frozen=True):
    """A step against the clients that ask for one FINESS, and what it rests on; `held` says why it is only told.

    `clients` names `*` where so many asked that they are not told apart: then it means all that may ask for it.
    """

    at: float
    finess: str
    clients: tuple[str, ...]
    step: Step
    findings: tuple[Finding, ...]
    held: Held | None = None


class Policy(msgspec.Struct, frozen=True):
    """What the sentinel may do. With `report` it only tells; so it does of what a rule in `report_rules` found."""

    thresholds: Thresholds = DEFAULT
    report: bool = False
    report_rules: frozenset[Rule] = frozenset()
    #: With fewer pharmacies there is no fleet to compare with: only a canary is acted upon.
    least_fleet: int = 20
    least_cap: int = 5
    cap_share: float = 0.005


class Case(msgspec.Struct, gc=False):
    """Where a pharmacy stands: the step taken, what was told in this hour, and whether this day had a step."""

    step: Step = Step.NONE
    told: Step = Step.NONE
    told_hour: int = 0
    day: int = 0


class Standing(msgspec.Struct):
    """All that a sentinel knows but its sheets, to be kept over a restart."""

    hour: int
    this_hour: Sums
    today: Sums
    pharmacies: int
    days: dict[int, FleetDay]
    cases: dict[str, Case]
    acted: list[tuple[float, str]]
    suspects: dict[Rule, list[str]]


class Sentinel:
    """Counts marks and judges those who asked since it judged last. `now` is seconds, never before an earlier one."""

    def __init__(self, hour: int, policy: Policy | None = None) -> None:
        self.policy = Policy() if policy is None else policy
        self.fleet = Fleet(hour)
        self._sheets: dict[str, Sheet] = {}
        self._cases: dict[str, Case] = {}
        self._asked: set[str] = set()
        self._acted: deque[tuple[float, str]] = deque()
        self._suspects: dict[Rule, set[str]] = {rule: set() for rule in Rule}

    def standing(self) -> Standing:
        """What `recalled` goes on from, together with the sheets. The sums are those in use, not copies."""
        fleet, suspects = self.fleet, {rule: sorted(names) for rule, names in self._suspects.items()}
        sums = fleet.hour, fleet.this_hour, fleet.today, fleet.pharmacies, fleet.days
        return Standing(*sums, self._cases, list(self._acted), suspects)

    @classmethod
    def recalled(cls, standing: Standing, sheets: dict[str, Sheet], policy: Policy) -> Sentinel:
        """One that goes on where another stood."""
        sentinel = cls(standing.hour, policy)
        sentinel.fleet.recall(standing.this_hour, standing.today, standing.pharmacies, standing.days)
        sentinel._sheets, sentinel._cases = sheets, standing.cases
        sentinel._acted.extend(standing.acted)
        sentinel._suspects |= {rule: set(names) for rule, names in standing.suspects.items()}
        return sentinel

    def sheet(self, finess: str) -> Sheet | None:
        """The counters of a pharmacy that has asked."""
        return self._sheets.get(finess)

    def pharmacies(self) -> set[str]:
        """All that have asked."""
        return set(self._sheets)

    def step(self, finess: str) -> Step:
        """The step that is taken against a pharmacy."""
        case = self._cases.get(finess)
        return Step.NONE if case is None else case.step

    def begin_hour(self, hour: int, now: float, watch_reports: frozenset[str] = frozenset()) -> list[Action]:
        """Judge what is left of the hour before and come to `hour` (`counters.local_hour`); the steps that are due."""
        if hour <= self.fleet.hour:
            return []
        actions = self.judge(now, watch_reports)
        self.fleet.advance(hour)
        self._suspects = {rule: set() for rule in Rule}
        return actions

    def begin_period(self) -> None:
        """The marks' period key has changed."""
        self.fleet.forget_people()
        for sheet in self._sheets.values():
            sheet.forget_people()

    def count(self, client: str, finess: str, mark: Mark, hour: int | None = None) -> None:
        """One answer of `hour`, by default of the present one.

        One that is told of late counts in the day and not in the hour, which would look hurried; of a day before, whose
        key was another, only a canary counts.
        """
        fleet = self.fleet
        late = hour is not None and hour < fleet.hour
        if hour is not None and hour // 24 < fleet.hour // 24 and not mark.canary:
            return
        sheet = self._current(finess)
        sheet.count(client, mark, *((fleet.today,) if late else (fleet.this_hour, fleet.today)), late=late)
        self._asked.add(finess)

    def judge(self, now: float, watch_reports: frozenset[str] = frozenset()) -> list[Action]:
        """The steps that are due; of clients in `watch_reports` only told."""
        while self._acted and self._acted[0][0] <= now - _HOUR_SECONDS:
            self._acted.popleft()
        suspects = [(finess, found) for finess in sorted(self._asked) if (found := self._look(finess))]
        self._asked.clear()
        actions = (self._decide(finess, found, now, watch_reports) for finess, found in suspects)
        return [action for action in actions if action is not None]

    def forgive(self, finess: str) -> None:
        """An admin has lifted the step, with a reason: what it rested on is forgotten, the habit stays."""
        self._cases.pop(finess, None)
        sheet = self._sheets.get(finess)
        if sheet is not None:
            sheet.habit.carried = sheet.habit.carried_nights = 0.0
            sheet.begin_day(sheet.hour)

    def _current(self, finess: str) -> Sheet:
        """The pharmacy's sheet, brought to the present hour."""
        hour = self.fleet.hour
        sheet = self._sheets.get(finess)
        if sheet is None:
            sheet = self._sheets[finess] = Sheet(hour)
            self.fleet.pharmacies += 1
        elif sheet.day != hour // 24:
            case = self._cases.get(finess)
            learn = case is None or case.day != sheet.day
            close_day(sheet, self.fleet, self.policy.thresholds, learn=learn)
            sheet.begin_day(hour)
            self._relent(finess)
        elif sheet.hour != hour:
            sheet.begin_hour(hour)
        return sheet

    def _relent(self, finess: str) -> None:
        """A new day ends what was less than a suspension."""
        case = self._cases.get(finess)
        if case is not None and case.step < Step.SUSPEND:
            case.step = Step.NONE

    def _look(self, finess: str) -> list[Finding]:
        sheet = self._sheets[finess]
        found = findings(sheet, self.fleet, self.policy.thresholds)
        for finding in found:
            self._suspects[finding.rule].add(finess)
        return found

    def _decide(self, finess: str, found: list[Finding], now: float, watch_reports: frozenset[str]) -> Action | None:
        case = self._cases.setdefault(finess, Case())
        case.day = self._sheets[finess].day
        enforced = [finding for finding in found if finding.rule not in self.policy.report_rules]
        # A rule that is only reported lends no weight to one that is not.
        meant = enforced if enforced and _combined(enforced) > case.step else found
        wanted = _combined(meant)
        if wanted <= case.step:
            return None
        held = self._held(finess, meant, wanted, watch_reports)
        if held is None:
            case.step = wanted
            if wanted > Step.NOTE:
                self._acted.append((now, finess))
        elif case.told_hour == self.fleet.hour and case.told >= wanted:
            return None
        case.told, case.told_hour = wanted, self.fleet.hour
        return Action(now, finess, self._meant(finess), wanted, tuple(meant), held)

    def _held(self, finess: str, found: Iterable[Finding], wanted: Step, watch_reports: frozenset[str]) -> Held | None:
        rules = {finding.rule for finding in found}
        if wanted is Step.NOTE:
            return None
        reported = self.policy.report or rules <= self.policy.report_rules
        if reported or watch_reports.issuperset(self._meant(finess)):
            return Held.REPORT
        if Rule.CANARY not in rules:
            if self.fleet.pharmacies < self.policy.least_fleet:
                return Held.FLEET
            if all(len(self._suspects[rule]) > self.most_an_hour for rule in rules):
                return Held.WAVE
        acted = {name for _, name in self._acted}
        return Held.CAP if finess not in acted and len(acted) >= self.most_an_hour else None

    @property
    def most_an_hour(self) -> int:
        """How many pharmacies it may act against within an hour."""
        return max(self.policy.least_cap, int(self.policy.cap_share * self.fleet.pharmacies))

    def _meant(self, finess: str) -> tuple[str, ...]:
        clients: Mapping[str, int] = self._sheets[finess].clients
        least = _SHARE_MEANT * sum(clients.values())
        return tuple(sorted(name for name, lookups in clients.items() if lookups >= least))


def _combined(found: Iterable[Finding]) -> Step:
    """The hardest step of any rule, and one more where two rules agree."""
    steps = [finding.step for finding in found]
    agree = len(steps) > 1
    return Step(min(Step.SUSPEND, max(steps) + agree))
