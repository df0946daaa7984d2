import random

import pytest

from service.access.marks import NUMBERS, PERSONS, Mark
from service.access.sentinel import Action, Held, Policy, Sentinel
from service.access.suspicion import Rule, Step

HOUR = 738_914 * 24
THIEF = "990000000"


class Town:
    """Ordinary pharmacies around the one that is looked at, asking as much as it is told."""

    def __init__(self, pharmacies: int = 40, policy: Policy | None = None) -> None:
        self.sentinel = Sentinel(HOUR, policy)
        self.chance = random.Random(1)  # noqa: S311 - the same people in every run
        self.names = [f"99{number:07d}" for number in range(pharmacies)]
        self.now = 0.0
        self.hour = HOUR

    def mark(self, *, unknown: bool = False, canary: bool = False, block: int | None = None) -> Mark:
        pick = self.chance.randrange
        return Mark(pick(PERSONS), pick(NUMBERS), pick(NUMBERS) if block is None else block, unknown, canary)

    def ask(self, finess: str, times: int, unknown: int = 0, client: str = "", block: int | None = None) -> None:
        for number in range(times):
            self.sentinel.count(client or f"c-{finess}", finess, self.mark(unknown=number < unknown, block=block))

    def pass_hour(self, hours: int = 1) -> list[Action]:
        self.hour += hours
        self.now += 3_600 * hours
        return self.sentinel.begin_hour(self.hour, self.now)

    def judge(self, watch_reports: frozenset[str] = frozenset()) -> list[Action]:
        self.now += 10
        return self.sentinel.judge(self.now, watch_reports)

    def ordinary_day(self, asked: int = 80, unknown: int = 6) -> list[Action]:
        """Eight hours of everybody, then the night."""
        actions: list[Action] = []
        self.pass_hour(9)
        for _ in range(8):
            for finess in self.names:
                self.ask(finess, asked // 8, unknown=self.chance.random() < unknown / 8)
            actions += self.pass_hour()
        return actions + self.pass_hour(7)


def settled(pharmacies: int = 40, policy: Policy | None = None) -> Town:
    town = Town(pharmacies, policy)
    for _ in range(4):
        assert town.ordinary_day() == []
    town.pass_hour(9)
    for finess in town.names:
        town.ask(finess, 10, unknown=1)
    assert town.judge() == []
    return town


@pytest.mark.parametrize("policy", [Policy(report=True), Policy(report_rules=frozenset(Rule))], ids=["all", "rules"])
def test_where_the_sentinel_only_reports_a_canary_is_told_and_nobody_suspended(policy: Policy):
    town = settled(policy=policy)
    town.sentinel.count("c", THIEF, town.mark(canary=True))
    (action,) = town.judge()
    assert (action.step, action.held) == (Step.SUSPEND, Held.REPORT)
    assert town.sentinel.step(THIEF) is Step.NONE


def test_a_rule_that_is_only_reported_lends_no_weight_to_another():
    town = settled(policy=Policy(report_rules=frozenset({Rule.PACE, Rule.STRANGERS})))
    town.ask(THIEF, 130, unknown=45)
    (action,) = town.judge()
    assert (action.step, action.held) == (Step.NOTE, None)
    assert {finding.rule for finding in action.findings} == {Rule.UNKNOWN}


def test_what_is_told_late_counts_in_the_day_and_hurries_no_hour():
    town = settled()
    for _ in range(130):
        town.sentinel.count("c", THIEF, town.mark(), town.hour - 1)
    sheet = town.sentinel.sheet(THIEF)
    assert sheet is not None
    assert (sheet.this_hour.lookups, sheet.today.lookups) == (10, 140)
    assert Rule.PACE not in {finding.rule for action in town.judge() for finding in action.findings}


def test_of_a_day_before_only_a_canary_counts():
    town = settled()
    town.sentinel.count("c", THIEF, town.mark(), town.hour - 24)
    sheet = town.sentinel.sheet(THIEF)
    assert sheet is not None
    assert sheet.today.lookups == 10
    town.sentinel.count("c", THIEF, town.mark(canary=True), town.hour - 24)
    assert [action.step for action in town.judge()] == [Step.SUSPEND]


def test_without_a_fleet_to_compare_with_only_a_canary_is_acted_upon():
    town = settled(10)
    town.ask(THIEF, 130)
    (action,) = town.judge()
    assert (action.step, action.held) == (Step.SUSPEND, Held.FLEET)
    town.sentinel.count("c", town.names[1], town.mark(canary=True))
    assert [(action.finess, action.held) for action in town.judge()] == [(town.names[1], None)]


def test_a_canary_suspends_at_once():
    town = settled()
    town.sentinel.count("c", THIEF, town.mark(canary=True))
    (action,) = town.judge()
    assert (action.step, action.held) == (Step.SUSPEND, None)
    assert [finding.rule for finding in action.findings] == [Rule.CANARY]
    assert town.sentinel.step(THIEF) is Step.SUSPEND


def test_the_steps_follow_each_other_and_each_is_told_once():
    town = settled()
    steps = []
    for _ in range(60):
        town.ask(THIEF, 2, unknown=2)
        steps += [action.step for action in town.judge()]
    assert steps == [Step.NOTE, Step.SLOW, Step.SUSPEND]


def test_an_hour_far_beyond_the_expected_is_suspended_for_its_pace():
    town = settled()
    town.ask(THIEF, 130)
    (action,) = town.judge()
    assert action.step is Step.SUSPEND
    assert Rule.PACE in {finding.rule for finding in action.findings}
    assert action.findings[0].expected < 30


def test_an_hour_that_is_busy_for_everybody_makes_no_suspect():
    town = settled()
    for finess in town.names:
        town.ask(finess, 130)
    assert town.judge() == []


def test_a_bad_snapshot_makes_everybody_unknown_and_nobody_a_suspect():
    town = settled()
    for finess in town.names:
        town.ask(finess, 50, unknown=40)
    assert [action for action in town.judge() if action.step > Step.NOTE] == []


def test_neighbouring_numbers_are_found():
    town = settled()
    town.ask(THIEF, 45, block=17)
    (action,) = town.judge()
    assert (action.step, action.findings[0].rule) == (Step.SUSPEND, Rule.NEIGHBOURS)


def test_a_little_more_each_day_is_found_over_days_without_any_busy_hour():
    town = settled()
    actions: list[Action] = []
    for _ in range(8):
        town.pass_hour(24 - town.hour % 24 + 8)
        for _ in range(8):
            town.pass_hour()
            for finess in town.names:
                town.ask(finess, 10)
            town.ask(THIEF, 9)
            actions += town.judge()
    assert {action.finess for action in actions} == {THIEF}
    assert actions[-1].step is Step.SUSPEND
    assert [finding.rule for finding in actions[-1].findings] == [Rule.STRANGERS]


def test_one_day_of_duty_while_the_others_rest_is_not_acted_upon():
    town = settled()
    town.pass_hour(24 - town.hour % 24 + 8)
    actions = []
    for _ in range(10):
        town.pass_hour()
        town.ask(THIEF, 16)
        actions += town.judge()
    assert [action for action in actions if action.step > Step.NOTE] == []


def test_a_large_pharmacy_on_duty_is_not_slowed_though_the_fleet_rests():
    town = Town(40)
    for day in range(5):
        town.pass_hour(24 * (day + 1) + 9 - (town.hour - HOUR))
        for _ in range(8):
            for finess in town.names:
                town.ask(finess, 13)
            town.ask(THIEF, 26)
            town.pass_hour()
    town.pass_hour(24 - town.hour % 24 + 17)
    town.ask(THIEF, 90)
    assert [action for action in town.judge() if action.step > Step.NOTE] == []


def test_identities_of_one_pharmacy_are_counted_together_and_all_meant():
    town = settled()
    for client in ("key", "till", "hub-1", "hub-2"):
        town.ask(THIEF, 33, client=client)
    (action,) = town.judge()
    assert action.step is Step.SUSPEND
    assert set(action.clients) >= {"key", "till", "hub-1", "hub-2"}


def test_a_client_that_asked_little_is_not_meant():
    town = settled()
    town.ask(THIEF, 1, client="hub-1")
    town.ask(THIEF, 130, client="thief")
    (action,) = town.judge()
    assert action.clients == ("thief",)


def test_a_pharmacy_that_moves_from_a_hub_to_its_own_key_is_not_new():
    town = settled()
    sheet = town.sentinel.sheet(THIEF)
    assert sheet is not None
    town.ask(THIEF, 20, client="own-key")
    assert town.judge() == []
    assert town.sentinel.sheet(THIEF) is sheet
    assert sheet.habit.days == 4


def test_no_more_than_the_cap_are_suspended_within_an_hour_and_the_rest_is_told_once():
    town = settled()
    for finess in town.names[:8]:
        town.sentinel.count("c", finess, town.mark(canary=True))
    actions = town.judge()
    assert [action.held for action in actions].count(None) == 5
    assert [action.held for action in actions].count(Held.CAP) == 3
    held = [action.finess for action in actions if action.held is Held.CAP]
    for finess in held:
        town.ask(finess, 1)
    assert town.judge() == []


def test_who_was_spared_by_the_cap_is_suspended_in_the_next_hour():
    town = settled()
    for finess in town.names[:8]:
        town.sentinel.count("c", finess, town.mark(canary=True))
    held = [action.finess for action in town.judge() if action.held is Held.CAP]
    town.pass_hour()
    for finess in held:
        town.ask(finess, 1)
    assert {action.finess for action in town.judge() if action.held is None} == set(held)


def test_the_cap_grows_with_the_fleet():
    assert Town().sentinel.most_an_hour == 5
    town = Town(2_000)
    for finess in town.names:
        town.ask(finess, 1)
    assert town.sentinel.most_an_hour == 10


def test_a_rule_that_finds_more_than_the_cap_at_once_only_tells():
    town = Town(300)
    for finess in town.names:
        town.ask(finess, 10)
    for finess in town.names[:12]:
        town.ask(finess, 70, block=17)
    actions = town.judge()
    assert [(action.step, action.held) for action in actions] == [(Step.SUSPEND, Held.WAVE)] * 12
    assert all(town.sentinel.step(finess) is Step.NONE for finess in town.names)


def test_report_says_what_it_would_have_done_and_does_nothing():
    town = settled(policy=Policy(report=True))
    town.ask(THIEF, 130)
    (action,) = town.judge()
    assert (action.step, action.held) == (Step.SUSPEND, Held.REPORT)
    assert town.sentinel.step(THIEF) is Step.NONE
    town.ask(THIEF, 1)
    assert town.judge() == []


def test_one_rule_or_one_client_may_be_reported_only():
    town = settled(policy=Policy(report_rules=frozenset({Rule.PACE, Rule.STRANGERS})))
    town.ask(THIEF, 130)
    assert [action.held for action in town.judge()] == [Held.REPORT]
    town = settled()
    town.ask(THIEF, 130)
    assert [action.held for action in town.judge(frozenset({f"c-{THIEF}"}))] == [Held.REPORT]


def test_a_suspension_outlasts_the_day_and_ends_when_forgiven():
    town = settled()
    town.ask(THIEF, 130)
    town.judge()
    town.pass_hour(24)
    town.ask(THIEF, 1)
    assert town.judge() == []
    assert town.sentinel.step(THIEF) is Step.SUSPEND
    town.sentinel.forgive(THIEF)
    town.ask(THIEF, 1)
    assert town.judge() == []
    assert town.sentinel.step(THIEF) is Step.NONE


def test_a_day_that_made_a_suspect_does_not_become_a_habit():
    town = settled()
    sheet = town.sentinel.sheet(THIEF)
    assert sheet is not None
    before = sheet.habit.lookups
    town.ask(THIEF, 130)
    town.judge()
    town.pass_hour(24)
    town.ask(THIEF, 1)
    assert sheet.habit.lookups == before


def test_the_same_marks_give_the_same_actions():
    first, second = settled(), settled()
    for town in (first, second):
        town.ask(THIEF, 90, unknown=40)
    assert first.judge() == second.judge() != []


def test_when_the_period_ends_everybody_is_new_and_nobody_a_suspect():
    town = settled()
    town.sentinel.begin_period()
    for finess in town.names:
        town.ask(finess, 20)
    assert town.judge() == []


def test_what_was_asked_in_the_last_seconds_of_a_day_is_judged():
    town = settled()
    town.sentinel.count("c", THIEF, town.mark(canary=True))
    (action,) = town.pass_hour(24)
    assert action.step is Step.SUSPEND


def test_an_hour_that_is_over_is_not_held_against_a_fleet_that_has_not_asked_yet():
    town = settled()
    for finess in town.names:
        town.ask(finess, 55, unknown=14)
    assert town.judge() == []
    town.ask(THIEF, 5)
    assert town.pass_hour() == []
    assert town.judge() == []
    assert town.pass_hour() == []
