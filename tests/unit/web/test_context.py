"""What the handlers share does not grow with what callers send."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from service.control.state import Activation, ModeState, Notice, State
from service.journal.writer import JournalWriter
from service.rights.model import Amc, Knowledge, SourceKind
from service.settings import Settings
from service.snapshot.lookout import Lookout
from service.snapshot.supply import Code, Look, Served, TrustState
from service.web.context import Context
from tests.unit.snapshot.snapshot_maker import POLICY

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
SERVED = Served(NOW, NOW + dt.timedelta(days=7), ())
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
        lookout=unused,
    )
    made.follow(state.view(NOW), None, None, clock_suspect=False)
    return made


class FakeLookout(Lookout):
    """A node whose files say that `served` is held, and nothing else."""

    def __init__(self, served: Served | None) -> None:
        self._what = served

    def served(self, sequence: int, digest: str) -> Served | None:
        return self._what if (sequence, digest) == (2, "digest") else None

    def looks(self) -> tuple[Look, ...]:
        return ()

    def trust(self) -> TrustState:
        return TrustState(NOW + dt.timedelta(days=300))


def test_the_supply_is_told_of_what_a_worker_answers_from_and_on_admin_of_what_is_ordered():
    made, ordered = context(), State(activation=Activation(2, "digest", 1, NOW)).view(NOW)
    made.settings, made.lookout = Settings(), FakeLookout(SERVED)
    made.follow(ordered, None, None, clock_suspect=False)
    assert (made.supply(NOW).expires, made.supply(NOW).activated) == (SERVED.valid_until, NOW)
    made.journal = cast("JournalWriter", object())
    made.follow(ordered, None, None, clock_suspect=False)
    assert made.supply(NOW).expires is None  # named by an order, but not opened here: nobody is answered from it
    amc = Amc(OTHER, "Mutuelle", NOW, NOW.date(), POLICY)
    known = Knowledge(SourceKind.SNAPSHOT, 1, NOW, NOW + dt.timedelta(hours=1), {OTHER: amc}, frozenset())
    made.follow(ordered, None, known, clock_suspect=False)
    told = made.supply(NOW)
    assert (told.expires, told.time_left_seconds) == (known.valid_until, 3600)
    assert [warning.code for warning in told.warnings] == [Code.SNAPSHOT_EXPIRING]


def test_an_amc_that_an_order_names_has_a_stance_of_its_own():
    made = context()
    assert made.stance(EXCLUDED)[0].mode_order == 1
    assert [notice["id"] for notice in made.stance(NOTED)[1]["notices"]] == ["maintenance"]
    assert made.stance(OTHER)[1] == {"mode": "degraded", "mode_order": None, "notices": []}
    assert made.stance(None)[0].excluded == {EXCLUDED}


def test_a_rights_worker_names_no_snapshot_before_it_has_opened_one():
    made, ordered = context(), State(activation=Activation(2, "digest", 1, NOW)).view(NOW)
    made.lookout = FakeLookout(SERVED)
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
