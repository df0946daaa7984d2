"""The sentinel's rules: what a sheet shows, judged by its own habit and by the fleet in the same hour. Pure.

Each rule gives an excess over what may be expected and the step that this excess is worth. What happens to everybody
(a bad snapshot, a wave of flu, the Monday rush) raises what is expected and makes nobody a suspect. Addresses are no
evidence: pharmacies share them.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

import msgspec

from service.access.counters import Fleet, Sheet, Sums


class Step(IntEnum):
    """What the sentinel does, each step harder than the one before."""

    NONE = 0
    NOTE = 1
    SLOW = 2
    SUSPEND = 3


class Rule(StrEnum):
    """What the sentinel looks at."""

    CANARY = "canary"
    UNKNOWN = "unknown"
    PACE = "pace"
    NEIGHBOURS = "neighbours"
    STRANGERS = "strangers"
    NIGHTS = "nights"


class Steps(msgspec.Struct, frozen=True):
    """The excess from which on a rule notes, slows and suspends."""

    note: float
    slow: float
    suspend: float

    def step(self, excess: float) -> Step:
        """The step an excess is worth."""
        if excess < self.note:
            return Step.NONE
        if excess < self.slow:
            return Step.NOTE
        return Step.SLOW if excess < self.suspend else Step.SUSPEND


class Thresholds(msgspec.Struct, frozen=True):
    """All numbers of the rules. Tuned on the simulated month of `benchmarks/sentinel.py`; no outside source."""

    #: Answers `beneficiary_unknown` in an hour, and in a day, beyond `unknown_factor` times the expected share.
    unknown_hour: Steps = Steps(15, 22, 30)
    unknown_day: Steps = Steps(30, 45, 60)
    unknown_factor: float = 2.0
    #: The lookups of an hour against `pace_floor`, or `pace_margin` and `pace_factor` times the expected, the larger.
    pace: Steps = Steps(1.0, 1.35, 1.7)
    pace_floor: float = 60.0
    pace_margin: float = 20.0
    pace_factor: float = 3.0
    #: The share of a usual day that a usual hour has: so much a pharmacy may ask on duty, though the fleet rests.
    usual_hour: float = 0.1
    #: Numbers of a block asked for already that day, beyond twice the fleet's share; at least `near_share` of all.
    neighbours: Steps = Steps(15, 22, 30)
    near_share: float = 0.12
    #: People never asked for before, beyond `1 + drift` times the expected, in usual days summed over days. While the
    #: fleet has not done `working_share` of a usual day, a day adds `day_most` at most: a Sunday on duty is two usual
    #: days. A usual day has `least_day` strangers at least.
    strangers: Steps = Steps(0.9, 1.35, 1.6)
    drift: float = 0.3
    day_most: float = 0.7
    working_share: float = 0.4
    least_day: float = 60.0
    #: Of what was in excess on the days before, so much still counts on the next.
    kept: float = 0.9
    #: The same of the nights, in people: beyond `nights_free` and `nights_factor` times the learnt, each night.
    nights: Steps = Steps(45, 65, 85)
    nights_free: float = 8.0
    nights_factor: float = 1.5
    #: Until a habit is learnt from so many days, a pharmacy may be so many times the fleet's mean.
    learning_days: int = 3
    unlearnt: float = 3.0
    unlearnt_unknown: float = 0.15


DEFAULT: Final = Thresholds()


class Finding(msgspec.Struct, frozen=True):
    """What one rule found: the figure, what was expected, and the excess by which it was judged."""

    rule: Rule
    step: Step
    found: float
    expected: float
    excess: float


def findings(sheet: Sheet, fleet: Fleet, limits: Thresholds = DEFAULT) -> list[Finding]:
    """What the sheet's present hour and day show: one finding for each rule that is worth a step."""
    found = (
        _canary(sheet),
        _unknown(sheet, fleet, limits),
        _pace(sheet, fleet, limits),
        _neighbours(sheet, fleet, limits),
        _strangers(sheet, fleet, limits),
        _nights(sheet, fleet, limits),
    )
    return [finding for finding in found if finding is not None]


def _canary(sheet: Sheet) -> Finding | None:
    """Nobody has a reason to ask for somebody who does not exist: one is enough."""
    asked = sheet.today.canaries
    return Finding(Rule.CANARY, Step.SUSPEND, asked, 0, asked) if asked else None


def _unknown(sheet: Sheet, fleet: Fleet, limits: Thresholds) -> Finding | None:
    usual = sheet.habit.unknown if sheet.habit.days >= limits.learning_days else limits.unlearnt_unknown
    found = None
    for own, all_, steps in (
        (sheet.this_hour, fleet.this_hour, limits.unknown_hour),
        (sheet.today, fleet.today, limits.unknown_day),
    ):
        if own.unknown < steps.note:
            continue
        expected = own.lookups * min(1.0, limits.unknown_factor * max(usual, _share_of_others(own, all_)))
        step = steps.step(own.unknown - expected)
        if step and (found is None or step > found.step):
            found = Finding(Rule.UNKNOWN, step, own.unknown, round(expected, 1), round(own.unknown - expected, 1))
    return found


def _share_of_others(own: Sums, all_: Sums) -> float:
    others = all_.lookups - own.lookups
    return (all_.unknown - own.unknown) / others if others >= 20 else 0.0


def _pace(sheet: Sheet, fleet: Fleet, limits: Thresholds) -> Finding | None:
    lookups = sheet.this_hour.lookups
    if lookups < limits.pace_floor:
        return None
    others = _mean_of_others(fleet.this_hour.lookups, lookups, fleet)
    usual = limits.usual_hour * fleet.usual_day().lookups
    expected = _multiple(sheet.habit.lookups, sheet, limits) * max(others, usual)
    most = max(limits.pace_floor, limits.pace_margin + limits.pace_factor * expected)
    step = limits.pace.step(lookups / most)
    return Finding(Rule.PACE, step, lookups, round(expected, 1), round(lookups / most, 2)) if step else None


def _neighbours(sheet: Sheet, fleet: Fleet, limits: Thresholds) -> Finding | None:
    own, all_ = sheet.today, fleet.today
    if own.near < max(limits.neighbours.note, limits.near_share * own.numbers):
        return None
    others = all_.numbers - own.numbers
    share = max(0.0, (all_.near - own.near) / others) if others >= 20 else 0.0
    expected = 2 * share * own.numbers
    step = limits.neighbours.step(own.near - expected)
    found, excess = round(own.near, 1), round(own.near - expected, 1)
    return Finding(Rule.NEIGHBOURS, step, found, round(expected, 1), excess) if step else None


def _strangers(sheet: Sheet, fleet: Fleet, limits: Thresholds) -> Finding | None:
    excess = sheet.habit.carried + day_of_strangers(sheet, fleet, limits)
    step = limits.strangers.step(excess)
    if not step:
        return None
    own = sheet.today.strangers
    expected = expected_strangers(sheet, _mean_of_others(fleet.today.strangers, own, fleet), limits)
    return Finding(Rule.STRANGERS, step, round(own, 1), round(expected, 1), round(excess, 2))


def _nights(sheet: Sheet, fleet: Fleet, limits: Thresholds) -> Finding | None:
    own = sheet.today.night
    expected = max(
        expected_nights(sheet, limits), limits.nights_factor * _mean_of_others(fleet.today.night, own, fleet)
    )
    excess = sheet.habit.carried_nights + own - expected
    step = limits.nights.step(excess)
    return Finding(Rule.NIGHTS, step, round(own, 1), round(expected, 1), round(excess, 1)) if step else None


def expected_nights(sheet: Sheet, limits: Thresholds) -> float:
    """How many people never asked for before a pharmacy may have in the night hours of a day."""
    return limits.nights_free + limits.nights_factor * sheet.habit.nights


def day_of_strangers(sheet: Sheet, fleet: Fleet, limits: Thresholds) -> float:
    """What today's strangers, so far, are beyond the expected ones, in usual days of this pharmacy."""
    own = sheet.today.strangers
    mean = _mean_of_others(fleet.today.strangers, own, fleet)
    return excess_of_day(sheet, own, mean, fleet.usual_day().strangers, limits)


def excess_of_day(sheet: Sheet, own: float, mean: float, usual_mean: float, limits: Thresholds) -> float:
    """The same for any day, from the fleet's mean on it and on a usual one."""
    usual = max(limits.least_day, expected_strangers(sheet, usual_mean, limits))
    over = own - (1 + limits.drift) * expected_strangers(sheet, mean, limits)
    resting = mean < limits.working_share * usual_mean
    return min(limits.day_most, over / usual) if resting else over / usual


def expected_strangers(sheet: Sheet, mean: float, limits: Thresholds) -> float:
    """How many people never asked for before this pharmacy may have where the fleet has `mean`."""
    return _multiple(sheet.habit.strangers, sheet, limits) * mean


def _multiple(learnt: float, sheet: Sheet, limits: Thresholds) -> float:
    return learnt if sheet.habit.days >= limits.learning_days else max(learnt, limits.unlearnt)


def _mean_of_others(total: float, own: float, fleet: Fleet) -> float:
    return max(0.0, total - own) / max(1, fleet.pharmacies - 1)
