from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.snapshot.life import UNKNOWN, Base, Standing, State, surplus


def test_states_follow_from_the_active_sequence_and_the_quarantine():
    standing = Standing(6, (range(7, 9), {2}))
    states = [standing.state_of(sequence) for sequence in (2, 5, 6, 7, 8, 9)]
    assert states == [
        State.QUARANTINED,
        State.SUPERSEDED,
        State.ACTIVE,
        State.QUARANTINED,
        State.QUARANTINED,
        State.VERIFIED,
    ]
    assert Standing().state_of(5) == State.VERIFIED


BASES: dict[int, Base] = dict.fromkeys(range(1, 9))


@pytest.mark.parametrize(
    ("held", "standing", "keep", "gone"),
    [
        (BASES, Standing(7), 3, (3, 2, 1)),
        (BASES, Standing(7), 0, (6, 5, 4, 3, 2, 1)),
        (BASES, Standing(), 0, ()),
        # Six nights of deltas over one base: it stays for what serves, and for what a pin could go back to.
        ({1: None, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1}, Standing(6), 2, (3, 2)),
        ({1: None, 2: 1, 3: None, 4: 3, 5: 3}, Standing(5), 1, (2, 1)),
        ({1: None, 2: 1, 3: None, 4: None, 5: 3}, Standing(4), 0, (2, 1)),
        # A pin went back to 4: what it left above stays, what lies below is counted from it.
        ({1: None, 2: None, 3: None, 4: 1, 5: 2, 6: None}, Standing(4, (range(5, 7),)), 0, (3,)),
        # What is in quarantine takes no room from what a pin could go back to, and goes with what lies around it.
        (BASES, Standing(8, (range(5, 8),)), 3, (1,)),
        (BASES, Standing(8, (range(4, 6),)), 1, (6, 5, 4, 3, 2, 1)),
        (BASES, Standing(8, (range(5, 8),)), 0, (7, 6, 5, 4, 3, 2, 1)),
        ({**BASES, 6: UNKNOWN}, Standing(8), 2, (6, 4, 3, 2, 1)),
        ({**BASES, 8: UNKNOWN}, Standing(8), 0, ()),
        ({**BASES, 8: UNKNOWN}, Standing(7), 0, ()),
    ],
)
def test_what_may_go(held: dict[int, Base], standing: Standing, keep: int, gone: tuple[int, ...]):
    assert surplus(held, standing, keep) == gone


SEQUENCES = st.integers(1, 12)
HELD = st.dictionaries(SEQUENCES, st.none() | st.just(UNKNOWN) | SEQUENCES, min_size=1)


@given(HELD, SEQUENCES, st.sets(SEQUENCES), st.integers(0, 5))
def test_nothing_goes_that_what_stays_needs(held: dict[int, Base], active: int, left: set[int], keep: int):
    gone = surplus(held, Standing(active, (left,)), keep)
    staying = held.keys() - set(gone)
    assert all(sequence < active for sequence in gone)
    assert all(held[sequence] not in gone for sequence in staying if sequence >= active)
    rollback = [one for one in sorted(held, reverse=True) if one < active and one not in left and held[one] != UNKNOWN]
    assert gone == () or (
        staying.issuperset(rollback[:keep]) and not {held[one] for one in rollback[:keep]} & set(gone)
    )
