from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.paris import paris_date, paris_day


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2024-02-05T22:59:59+00:00", "2024-02-05"),
        ("2024-02-05T23:00:00+00:00", "2024-02-06"),
        ("2024-07-01T22:00:00+00:00", "2024-07-02"),
    ],
)
def test_the_day_is_that_of_paris(instant: str, day: str):
    assert paris_date(dt.datetime.fromisoformat(instant)).isoformat() == day


@pytest.mark.parametrize(
    ("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25), ("2024-02-29", 24), ("2024-12-31", 24)]
)
def test_a_paris_day_is_as_long_as_its_summer_time_makes_it(day: str, hours: int):
    begin, end = paris_day(dt.datetime.fromisoformat(f"{day}T12:00:00+00:00"))
    assert (end - begin) == dt.timedelta(hours=hours)


@given(st.integers(946684800, 4102444800))
def test_an_instant_lies_in_its_day(seconds: int):
    now = dt.datetime.fromtimestamp(seconds, dt.UTC)
    begin, end = paris_day(now)
    assert begin <= now < end
    assert paris_day(end)[0] == end
