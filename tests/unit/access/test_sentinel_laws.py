"""Whatever is asked in whatever order: the cap holds, steps only rise, and a report touches nobody."""

from hypothesis import given
from hypothesis import strategies as st

from service.access.marks import NUMBERS, PERSONS, Mark
from service.access.sentinel import Action, Policy, Sentinel
from service.access.suspicion import Step

HOUR = 738_914 * 24
NAMES = [f"99{number:07d}" for number in range(30)]
#: A pharmacy asks so many times in one way, then so many minutes pass.
MOVES = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["ordinary", "unknown", "canary", "neighbours"]),
        st.integers(1, 90),
        st.integers(0, 50),
    ),
    max_size=60,
)


def play(moves: list[tuple[str, str, int, int]], policy: Policy) -> tuple[Sentinel, list[Action]]:
    sentinel, minute, actions = Sentinel(HOUR, policy), 0, []
    for place, (finess, way, times, minutes) in enumerate(moves):
        for number in range(times):
            person = (place * 7_919 + number * 31) % PERSONS
            block = 5 if way == "neighbours" else (place * 613 + number * 17) % NUMBERS
            canary = way == "canary" and number == 0
            sentinel.count("c", finess, Mark(person, person % NUMBERS, block, way == "unknown", canary))
        actions += sentinel.judge(minute * 60)
        minute += minutes
        actions += sentinel.begin_hour(HOUR + minute // 60, minute * 60)
    return sentinel, actions


@given(MOVES)
def test_within_any_hour_no_more_than_the_cap_are_acted_against(moves: list[tuple[str, str, int, int]]):
    _, actions = play(moves, Policy())
    acted = [action for action in actions if action.held is None and action.step > Step.NOTE]
    for last in acted:
        within = {action.finess for action in acted if last.at - 3_600 < action.at <= last.at}
        assert len(within) <= 5


@given(MOVES)
def test_a_suspension_is_never_taken_back_by_the_sentinel(moves: list[tuple[str, str, int, int]]):
    sentinel, actions = play(moves, Policy())
    suspended = {action.finess for action in actions if action.held is None and action.step is Step.SUSPEND}
    assert {finess for finess in NAMES if sentinel.step(finess) is Step.SUSPEND} == suspended


@given(MOVES)
def test_in_report_nothing_is_acted_upon(moves: list[tuple[str, str, int, int]]):
    _, actions = play(moves, Policy(report=True))
    assert [action for action in actions if action.held is None and action.step > Step.NOTE] == []
