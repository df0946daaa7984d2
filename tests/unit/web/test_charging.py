"""What a credential can read in a day is its budget, over all workers, whatever becomes of them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.errors import BudgetExhausted, TooFast
from tests.unit.web.budgets import DAY, FINESS, Fleet, hub, pharmacy, turns


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "fleet.db")


async def test_workers_together_answer_exactly_the_budget(fleet: Fleet):
    workers, client = [await fleet.worker(slot) for slot in range(4)], pharmacy(137)
    answered = await asyncio.gather(*[worker.answer_all(client) for worker in workers])
    assert sum(answered) == 137
    assert fleet.store.spent(DAY, "p", FINESS)[0] == 137
    for worker in workers:
        await worker.charging.close()
    assert fleet.store.spent(DAY, "p", FINESS) == (137, 0)


async def test_what_was_not_used_comes_back_with_the_end_of_a_worker(fleet: Fleet):
    one, client = await fleet.worker(0), pharmacy(100)
    assert await one.answer_all(client, most=3) == 3
    await one.charging.close()
    assert fleet.store.spent(DAY, "p", FINESS) == (3, 0)
    assert await (await fleet.worker(1)).answer_all(client) == 97


async def test_a_killed_workers_leases_come_back_by_counting(fleet: Fleet):
    dead, client = await fleet.worker(0), pharmacy(100)
    assert await dead.answer_all(client, most=7, unknown=True) == 7
    await turns()  # a draw under way ends with the process
    dead.die()
    assert fleet.store.spent(DAY, "p", FINESS)[0] > 7
    successor = await fleet.worker(0)
    await turns()
    assert fleet.store.spent(DAY, "p", FINESS) == (7, 7)
    assert await successor.answer_all(client) == 93


async def test_another_slot_does_not_settle_what_is_not_its_own(fleet: Fleet):
    living = await fleet.worker(0)
    await living.answer_all(pharmacy(100), most=2)
    held = fleet.store.spent(DAY, "p", FINESS)
    await fleet.worker(1)
    await turns()
    assert fleet.store.spent(DAY, "p", FINESS) == held


async def test_a_worker_does_not_take_its_own_leases_for_a_predecessors(fleet: Fleet):
    worker, client = await fleet.worker(0), pharmacy(100)
    await worker.take(client)
    await worker.charging._inherit()
    assert fleet.store.spent(DAY, "p", FINESS)[0] >= 12
    assert fleet.store.open_leases("n/0")


async def test_what_lies_idle_is_for_other_workers(fleet: Fleet):
    idle, busy, client = await fleet.worker(0), await fleet.worker(1), pharmacy(100)
    await idle.answer_all(client, most=1)
    assert await busy.answer_all(client) < 99
    fleet.clock.seconds += 61
    idle.charging.give_back_idle()
    await idle.charging._lender.settle()
    assert await busy.answer_all(client) > 0
    assert fleet.store.spent(DAY, "p", FINESS) == (100, 0)


async def test_answers_about_nobody_known_end_the_day_for_a_client(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(100, unknown=10)
    assert await worker.answer_all(client, unknown=True) == 10
    assert await worker.answer_all(client) == 0


async def test_a_client_whose_people_are_known_reads_its_whole_budget(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(100, unknown=10)
    assert await worker.answer_all(client) == 100


async def test_no_answer_is_no_charge(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(10)
    for _ in range(30):
        (await worker.take(client)).release()
    assert await worker.answer_all(client) == 10


async def test_a_hub_has_a_budget_for_each_pharmacy_and_a_ceiling(fleet: Fleet):
    worker, client = await fleet.worker(), hub(20, 5)
    assert [await worker.answer_all(client, str(number)) for number in range(5)] == [20, 20, 10, 0, 0]


async def test_refused_says_until_when_and_how_the_limits_stand(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(5)
    await worker.answer_all(client)
    with pytest.raises(BudgetExhausted) as refused:
        await worker.take(client)
    to_midnight = 13.5 * 3600  # 09:30 in UTC to midnight in Paris
    assert refused.value.seconds == to_midnight
    assert refused.value.limits[0] == ("daily", 5, 86_400, 0, to_midnight)


async def test_too_fast_costs_no_lookup(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(100, burst=3)
    for _ in range(3):
        await worker.answer(client)
    with pytest.raises(TooFast) as refused:
        await worker.answer(client)
    assert [(limit.name, limit.quota, limit.remaining) for limit in refused.value.limits] == [
        ("daily", 100, 97),
        ("burst", 3, 0),
    ]
    fleet.clock.seconds += 1
    await worker.answer(client)


async def test_another_day_is_another_budget_and_yesterdays_leases_pay_for_nothing(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(30)
    before = await worker.take(client)
    assert await worker.answer_all(client) == 29
    fleet.clock.seconds = 14 * 3600
    assert await worker.answer_all(client) == 30
    before.release()
    assert await worker.answer_all(client) == 0
    worker.charging.give_back_idle()
    await worker.charging._lender.settle()
    assert fleet.store.spent(DAY, "p", FINESS) == (29, 0)
    assert fleet.store.spent("2024-02-06", "p", FINESS) == (30, 0)


async def test_a_changed_limit_holds_at_the_next_draw(fleet: Fleet):
    worker = await fleet.worker()
    assert await worker.answer_all(pharmacy(10)) == 10
    assert await worker.answer_all(pharmacy(25)) == 15
    assert await worker.answer_all(pharmacy(5)) == 0


async def test_without_the_store_a_worker_has_what_it_holds_and_its_share(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(1000)
    await worker.answer_all(client, most=1)
    await turns()
    held = fleet.store.spent(DAY, "p", FINESS)[0]
    gone = fleet.path.rename(fleet.path.with_name("away.db"))
    assert await worker.answer_all(client) == held - 1 + 1000 // 5 // 2
    assert worker.charging.status.down_since is not None
    assert worker.charging.status.outage_lookups == 100
    gone.rename(fleet.path)
    fleet.clock.seconds += 6
    assert await worker.answer_all(client) == 1000 - held
    assert worker.charging.status.down_since is None


async def test_the_share_is_counted_again_after_a_restart(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(1000)
    fleet.path.rename(fleet.path.with_name("away.db"))
    assert await worker.answer_all(client, most=60) == 60
    worker.die()
    assert {lease for lease, _ in fleet.journal[0]} == {0}
    successor = await fleet.worker(0)
    assert await successor.answer_all(client) == 40


async def test_all_workers_without_the_store_answer_a_fifth_at_most(fleet: Fleet):
    fleet.slots = 3
    fleet.path.unlink()
    answered = [await (await fleet.worker(slot)).answer_all(pharmacy(1000)) for slot in range(3)]
    assert answered == [66, 66, 66]


async def test_a_draw_that_comes_too_late_is_given_back(fleet: Fleet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.web.lending.STALL_SECONDS", 0.01)
    worker, client = await fleet.worker(), pharmacy(1000)
    await turns()
    hanging, thread = asyncio.Event(), worker.charging._lender._thread
    loop = asyncio.get_running_loop()
    thread.submit(lambda: asyncio.run_coroutine_threadsafe(hanging.wait(), loop).result())
    charge = await worker.take(client)
    assert charge.lease == 0
    hanging.set()
    await turns()
    await worker.charging._lender.settle()
    await turns()
    assert fleet.store.spent(DAY, "p", FINESS) == (0, 0)


async def test_a_journal_that_cannot_be_counted_keeps_the_share_shut(fleet: Fleet, monkeypatch: pytest.MonkeyPatch):
    def unreadable(_: int) -> None:
        raise OSError

    monkeypatch.setattr("service.web.charging.STALL_SECONDS", 0.01)
    monkeypatch.setattr(fleet, "counted", unreadable)
    worker = await fleet.worker()
    fleet.path.unlink()
    assert await worker.answer_all(pharmacy(1000)) == 0


async def test_an_account_at_rest_is_forgotten(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(100, burst=60)
    await worker.answer_all(client, most=1)
    await turns()
    fleet.clock.seconds += 61
    worker.charging.give_back_idle()
    assert worker.charging._accounts == {}
    assert msgspec.to_builtins(worker.charging.status)["outage_lookups"] == 0


async def test_the_leases_of_a_batch_are_drawn_in_one_transaction(fleet: Fleet, monkeypatch: pytest.MonkeyPatch):
    worker, drawn = await fleet.worker(), []
    draw_all = fleet.store.draw_all
    monkeypatch.setattr(
        fleet.store, "draw_all", lambda holder, wants: drawn.append(len(wants)) or draw_all(holder, wants)
    )
    client = hub(daily=100, pharmacies=40)
    charges = await asyncio.gather(*(worker.take(client, finess) for finess in client.finess))
    assert drawn == [40]
    assert len({charge.lease for charge in charges}) == 40
    await worker.charging.close()
    assert fleet.store.spent(DAY, "hub")[0] == 40 * 12  # under way to the end: an eighth of each budget


async def test_leases_drawn_together_too_late_are_all_given_back(fleet: Fleet, monkeypatch: pytest.MonkeyPatch):
    worker = await fleet.worker()
    draw_all, may = fleet.store.draw_all, threading.Event()

    def late(holder: str, wants: Any) -> Any:
        may.wait(10)
        return draw_all(holder, wants)

    monkeypatch.setattr(fleet.store, "draw_all", late)
    monkeypatch.setattr("service.web.lending.STALL_SECONDS", 0.05)
    client = hub(daily=100, pharmacies=10)
    await asyncio.gather(*(worker.take(client, finess) for finess in client.finess))
    may.set()
    await turns(40)
    monkeypatch.setattr("service.web.lending.STALL_SECONDS", 5)
    await worker.charging.close()
    assert fleet.store.spent(DAY, "hub") == (0, 0)


async def test_what_waits_at_once_is_drawn_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch):
    worker, granted = await fleet.worker(), []
    draw_all = fleet.store.draw_all

    def seen(holder: str, wants: Any) -> Any:
        leases = draw_all(holder, wants)
        granted.extend(lease.granted for lease in leases)
        return leases

    monkeypatch.setattr(fleet.store, "draw_all", seen)
    client = pharmacy(10_000, unknown=10_000)
    charges = await asyncio.gather(*(worker.take(client) for _ in range(200)))
    assert granted[0] == 20 + 2 * 200
    assert len({charge.lease for charge in charges}) == 1


async def test_a_small_budget_is_lent_in_small_leases_whatever_waits(fleet: Fleet):
    worker, client = await fleet.worker(), pharmacy(80)
    await asyncio.gather(*(worker.take(client) for _ in range(10)))
    assert fleet.store.spent(DAY, "p", FINESS)[0] <= 20
