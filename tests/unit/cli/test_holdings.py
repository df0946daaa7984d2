from __future__ import annotations

import datetime as dt

from service.cli.holdings import quarantined
from service.control.state import Activation, Floor, State

NOW = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)


def state(active: int, highest: int) -> State:
    return State(activation=Activation(active, "d", 1, NOW), floor=Floor(highest, "e", {}))


def test_a_pin_puts_every_later_snapshot_in_quarantine():
    assert list(quarantined(state(active=3, highest=5))) == [4, 5]


def test_without_a_pin_nothing_is_in_quarantine():
    assert not quarantined(state(active=5, highest=5))
    assert not quarantined(State())
