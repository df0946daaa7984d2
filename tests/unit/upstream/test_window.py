from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.upstream.window import SLICES, Window

CALLS = st.lists(st.tuples(st.floats(0, 30), st.booleans(), st.booleans()), max_size=60)


@given(CALLS, st.floats(0, 60), st.sampled_from([1, 7, 10]))
def test_counts_what_ended_in_the_window_and_nothing_older(
    calls: list[tuple[float, bool, bool]], later: float, seconds: int
):
    window = Window(seconds)
    calls = sorted(calls)
    for at, failed, slow in calls:
        window.add(at, failed=failed, slow=slow)
    now = (calls[-1][0] if calls else 0) + later
    tally = window.tally(now)
    # The slices decide about what lies between nine tenths of the window and all of it.
    margin = seconds / SLICES + 1e-9
    surely = [call for call in calls if call[0] > now - seconds + margin]
    perhaps = [call for call in calls if call[0] > now - seconds - 1e-9]
    assert len(surely) <= tally.calls <= len(perhaps)
    assert sum(call[1] for call in surely) <= tally.failed <= sum(call[1] for call in perhaps)
    assert sum(call[2] for call in surely) <= tally.slow <= sum(call[2] for call in perhaps)


def test_memory_does_not_grow_with_the_calls():
    window = Window(10)
    for call in range(10_000):
        window.add(call / 100, failed=False, slow=False)
    assert len(window._slices) <= SLICES
    assert 900 <= window.tally(99.99).calls <= 1000


def test_time_that_goes_back_is_counted_once_and_expires():
    window = Window(10)
    window.add(100, failed=True, slow=False)
    window.add(50, failed=True, slow=False)
    assert window.tally(100).failed == 2
    assert window.tally(111).calls == 0


def test_cleared():
    window = Window(10)
    window.add(1, failed=True, slow=True)
    window.clear()
    assert (window.tally(1).calls, window.tally(1).failed, window.tally(1).slow) == (0, 0, 0)
