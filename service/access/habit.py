"""How a pharmacy's habit is learnt from a day that is over. Pure.

A thief wants to become a habit: so a day is learnt as little more than what was expected, and a day on which the
sentinel saw anything is not learnt at all. Only days on which most of the fleet works teach anything.
"""

from __future__ import annotations

from typing import Final

from service.access.counters import Fleet, FleetDay, Sheet
from service.access.suspicion import Thresholds, excess_of_day, expected_nights

#: The newest day weighs a tenth: a habit follows the seasons, not the days.
MEMORY_DAYS: Final = 10
_MOST_LEARNT: Final = 1.15


def close_day(sheet: Sheet, fleet: Fleet, limits: Thresholds, *, learn: bool) -> None:
    """Carry the sheet's day over into its habit; the fleet must have come to a later day."""
    means = fleet.days.get(sheet.day)
    if means is None:
        return
    usual = fleet.usual_day()
    habit, today = sheet.habit, sheet.today
    excess = excess_of_day(sheet, today.strangers, means.strangers, usual.strangers, limits)
    habit.carried = limits.kept * max(0.0, habit.carried + excess)
    over = today.night - expected_nights(sheet, limits)
    habit.carried_nights = limits.kept * max(0.0, habit.carried_nights + over)
    if learn and today.lookups and means.lookups >= limits.working_share * usual.lookups:
        _learn(sheet, means, limits)


def _learn(sheet: Sheet, means: FleetDay, limits: Thresholds) -> None:
    habit, today = sheet.habit, sheet.today
    weight = 1 / min(habit.days + 1, MEMORY_DAYS)
    known = habit.days >= limits.learning_days
    for name, own, mean in (
        ("lookups", today.lookups, means.lookups),
        ("strangers", today.strangers, means.strangers),
    ):
        before: float = getattr(habit, name)
        multiple = own / max(1.0, mean)
        multiple = min(multiple, _MOST_LEARNT * before) if known else min(multiple, limits.unlearnt)
        setattr(habit, name, before + weight * (multiple - before))
    most_nights = limits.nights_free + _MOST_LEARNT * habit.nights
    habit.nights += weight * (min(today.night, most_nights if known else limits.nights.note) - habit.nights)
    share = today.unknown / today.lookups
    most = limits.unknown_factor * habit.unknown if known else limits.unlearnt_unknown
    habit.unknown += weight * (min(share, max(most, 0.05)) - habit.unknown)
    habit.days += 1
