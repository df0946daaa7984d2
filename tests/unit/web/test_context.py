"""What the handlers share does not grow with what callers send."""

from __future__ import annotations

import datetime as dt
from typing import Any

from service.control.state import Activation, ModeState, Notice, State
from service.web.context import Context

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
EXCLUDED, NOTED, OTHER = "0990000011", "0990000022", "0990000033"


def context() -> Context:
    unused: Any = None
    notice = Notice("maintenance", NOTED, "info", "Extrait en retard.", 2, NOW, None)
    state = State(version=2, modes={EXCLUDED: (ModeState("suspended", 1),)}, notices={"maintenance": notice})
    made = Context(
        settings=unused,
        clock=unused,
        registry=unused,
        gate=unused,
        receipt_keys={},
        view=State().view(NOW),
        spread=lambda low, _: low,
        ledger_status=unused,
    )
    made.follow(state.view(NOW), None, None, clock_suspect=False)
    return made


def test_an_amc_that_an_order_names_has_a_stance_of_its_own():
    made = context()
    assert made.stance(EXCLUDED)[0].mode_order == 1
    assert [notice["id"] for notice in made.stance(NOTED)[1]["notices"]] == ["maintenance"]
    assert made.stance(OTHER)[1] == {"mode": "degraded", "mode_order": None, "notices": []}
    assert made.stance(None)[0].excluded == {EXCLUDED}


def test_a_rights_worker_names_no_snapshot_before_it_has_opened_one():
    made, ordered = context(), State(activation=Activation(2, "digest", 1, NOW)).view(NOW)
    made.follow(ordered, None, None, clock_suspect=False)
    assert made.headers["Relais-Snapshot"] == "2"  # the admin server opens none
    journal: Any = object()
    made.journal = journal
    made.follow(ordered, None, None, clock_suspect=False)
    assert made.headers["Relais-Snapshot"] == "none"


def test_callers_who_name_ever_other_amcs_fill_no_memory():
    made = context()
    for number in range(1000):
        made.stance(f"{number:010d}")
    assert len(made._stances) <= 3
