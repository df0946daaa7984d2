from __future__ import annotations

import datetime as dt

import pytest

from service.rights.freshness import age_days, freshness
from service.rights.model import Freshness

EXTRACTED = dt.datetime(2024, 3, 30, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(("hours", "days"), [(-1, -1), (0, 0), (23.9, 0), (24, 1), (47.9, 1), (48, 2), (24 * 400, 400)])
def test_age_counts_whole_days_of_24_hours(hours: float, days: int):
    assert age_days(EXTRACTED, EXTRACTED + dt.timedelta(hours=hours)) == days


def test_daylight_saving_does_not_shorten_a_day():
    paris = dt.timezone(dt.timedelta(hours=2))  # from 31 March on
    assert age_days(EXTRACTED, dt.datetime(2024, 3, 31, 13, 59, tzinfo=paris)) == 0
    assert age_days(EXTRACTED, dt.datetime(2024, 3, 31, 14, 0, tzinfo=paris)) == 1


@pytest.mark.parametrize(
    ("hours", "label"),
    [
        (-1, Freshness.FRESH), (24, Freshness.FRESH), (24.1, Freshness.AGING), (72, Freshness.AGING),
        (72.1, Freshness.STALE), (10 * 24 + 23.9, Freshness.STALE), (11 * 24, Freshness.EXPIRED),
    ],
)  # fmt: skip
def test_labels_and_their_edges(hours: float, label: Freshness):
    assert freshness(EXTRACTED, EXTRACTED + dt.timedelta(hours=hours), max_age_days=10) is label
