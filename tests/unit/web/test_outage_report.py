"""What was answered without the store is known to it once it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.control.outages import Share, SqliteOutages
from service.control.spendings import Spending, SpendingStore
from service.web.outage_report import OutageReport
from tests.unit.web.budgets import DAY, FINESS, Fleet, Worker, pharmacy, turns

NEXT_DAY = "2024-02-06"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "fleet.db")


def report(fleet: Fleet, worker: Worker) -> OutageReport:
    return OutageReport(worker.charging, SqliteOutages(fleet.path), Share("n", worker.slot, fleet.slots))


def told(fleet: Fleet, day: str = DAY) -> Spending:
    (spendings,) = SpendingStore(fleet.path).by_client((day, day))
    return spendings.get("p", Spending())


def away(fleet: Fleet) -> Path:
    return fleet.path.rename(fleet.path.with_name("away.db"))


async def test_it_is_told_once_the_store_is_back_and_each_answer_once(fleet: Fleet):
    worker = await fleet.worker()
    reporting, gone = report(fleet, worker), away(fleet)
    assert await worker.answer_all(pharmacy(100), most=3) == 3
    assert await worker.answer_all(pharmacy(100), most=2, unknown=True) == 2
    await reporting.tell()
    gone.rename(fleet.path)
    for _ in range(2):
        await reporting.tell()
    assert told(fleet) == Spending(outage=5, outage_unknown=2, days=1)


async def test_what_is_in_hand_is_not_answered(fleet: Fleet):
    worker = await fleet.worker()
    reporting, gone = report(fleet, worker), away(fleet)
    charge = await worker.take(pharmacy(100))
    assert worker.charging.outage_answered() == (DAY, {("p", FINESS): (1, 0)})
    charge.release()
    gone.rename(fleet.path)
    await reporting.tell()
    assert told(fleet) == Spending()


async def test_with_the_store_there_is_nothing_to_tell(fleet: Fleet):
    worker = await fleet.worker()
    await worker.answer_all(pharmacy(100), most=5)
    await report(fleet, worker).tell()
    assert (told(fleet).outage, worker.charging.outage_answered()) == (0, (DAY, {}))


async def test_a_successor_tells_what_its_predecessor_could_not(fleet: Fleet):
    worker, gone = await fleet.worker(), away(fleet)
    assert await worker.answer_all(pharmacy(100), most=4) == 4
    worker.die()
    gone.rename(fleet.path)
    successor = await fleet.worker()
    await turns()
    await report(fleet, successor).tell()
    assert told(fleet).outage == 4


async def test_what_was_answered_before_midnight_is_told_after_it(fleet: Fleet):
    worker = await fleet.worker()
    reporting, gone = report(fleet, worker), away(fleet)
    await worker.answer_all(pharmacy(100), most=4)
    await reporting.tell()
    fleet.clock.seconds += 86_400
    await worker.answer_all(pharmacy(100), most=1)
    await reporting.tell()
    gone.rename(fleet.path)
    await reporting.tell()
    assert (told(fleet).outage, told(fleet, NEXT_DAY).outage) == (4, 1)


async def test_the_last_answers_are_told_at_the_end(fleet: Fleet):
    worker = await fleet.worker()
    reporting, gone = report(fleet, worker), away(fleet)
    await reporting.start()
    await worker.answer_all(pharmacy(100), most=4)
    gone.rename(fleet.path)
    await worker.charging.close()
    await reporting.close()
    assert told(fleet).outage == 4
