from __future__ import annotations

import datetime as dt

from service.admission import standing_of
from service.control.state import Activation, State
from service.snapshot.life import State as Life

NOW = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)


def test_what_orders_say_is_where_snapshots_stand():
    standing = standing_of(State(activation=Activation(3, "d", 1, NOW), quarantine=(range(4, 6),)))
    states = [standing.state_of(sequence) for sequence in (2, 3, 4, 5, 6)]
    assert states == [Life.SUPERSEDED, Life.ACTIVE, Life.QUARANTINED, Life.QUARANTINED, Life.VERIFIED]


def test_without_orders_nothing_serves_and_all_could():
    assert standing_of(State()).state_of(1) == Life.VERIFIED
