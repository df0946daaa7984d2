"""No ordinary pharmacy ever meets a limit: months of them against the default budgets, over changes of summer time."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from service.access.clients import Client, parse_client
from service.errors import BudgetExhausted
from service.settings import BudgetSettings
from stubs.month import DAY, Month, Pharmacy
from tests.unit.access.forge import Bench
from tests.unit.web.budgets import NOW, Fleet, Worker

PARIS = ZoneInfo("Europe/Paris")
JWK = dict(Bench().owner.public.jwk)
#: Mondays whose month holds a day of 23 hours, and one of 25.
SPRING, AUTUMN = dt.date(2026, 3, 9), dt.date(2026, 10, 12)
HOUR = 3600


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "fleet.db", slots=4, lease=BudgetSettings().lease_lookups)


def usual(client_id: str, finess: str) -> Client:
    """As it is registered when nobody says anything of budgets."""
    return parse_client(client_id, {"class": "pharmacy", "finess": [finess], "keys": [JWK]})


def midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), PARIS).astimezone(dt.UTC)


def hardest(month: Month) -> list[Pharmacy]:
    """Of all pharmacies of a month the busiest, those with most unknown people, and the one that never closes."""
    by_lookups = sorted(month.pharmacies, key=lambda one: -one.daily)[:4]
    by_unknown = sorted(month.pharmacies, key=lambda one: -one.daily * one.unknown)[:2]
    awake = [one for one in month.pharmacies if one.never_closes][:1]
    return list({one.number: one for one in (*by_lookups, *by_unknown, *awake)}.values())


@pytest.mark.parametrize("monday", [SPRING, AUTUMN], ids=["23 hours", "25 hours"])
async def test_a_month_with_rush_duty_nights_and_a_bad_snapshot_meets_no_limit(fleet: Fleet, monday: dt.date):
    month = Month(500, days=26)
    month.pharmacies = hardest(month)
    clients = {one.finess: usual(one.client, one.finess) for one in month.pharmacies}
    workers = [await fleet.worker(slot) for slot in range(2)]
    read: Counter[tuple[str, str]] = Counter()
    held_over = []
    for number in range(month.days):
        begins, ends = (midnight(monday + dt.timedelta(number + more)) for more in (0, 1))
        asks = [(begins + dt.timedelta(seconds=ask.second - number * DAY), ask) for ask in month.asks(number)]
        # What the night brings after midnight is the next day's.
        held_over, today = [], sorted([*held_over, *asks], key=lambda each: each[0])
        for at, ask in today:
            if at >= ends:
                held_over.append((at, ask))
                continue
            await _move(fleet, workers, at)
            # Raises where a limit is met.
            worker = workers[ask.second % 2]
            await worker.answer(clients[ask.finess], ask.finess, unknown=ask.unknown)
            read[ask.finess, str(at.astimezone(PARIS).date())] += 1
    assert max(read.values()) > 400, "nobody was busy: this month proves nothing"
    assert sum(map(len, fleet.journal.values())) == read.total()


async def _move(fleet: Fleet, workers: list[Worker], at: dt.datetime) -> None:
    """Let the time come; now and then what lies idle is given back as a worker does by itself."""
    watch = fleet.clock.seconds // (6 * HOUR)
    fleet.clock.seconds = (at - NOW).total_seconds()
    if fleet.clock.seconds // (6 * HOUR) != watch:
        for worker in workers:
            worker.charging.give_back_idle()
            await worker.charging._lender.settle()


async def test_four_tills_with_one_key_in_a_monday_rush_meet_no_limit(fleet: Fleet):
    """On one worker, which is the hardest for the burst: twelve people at each till at once, then a steady queue."""
    worker, client = await fleet.worker(), usual("tills", "750012346")
    for _ in range(4 * 12):
        await worker.answer(client)
    for tenth in range(5 * 60 * 10):
        fleet.clock.seconds += 0.1
        if tenth % 20 in (0, 5, 10, 15):  # each till, every two seconds
            await worker.answer(client)
    assert sum(map(len, fleet.journal.values())) == 48 + 600


@pytest.mark.parametrize(
    ("day", "hours"),
    [(dt.date(2026, 3, 29), 23), (dt.date(2026, 10, 25), 25), (dt.date(2026, 11, 24), 24)],
    ids=["spring", "autumn", "usual"],
)
async def test_a_day_ends_at_midnight_in_paris_however_long_it_is(fleet: Fleet, day: dt.date, hours: int):
    worker, client = await fleet.worker(), usual("p", "750012346")
    begins, ends = midnight(day), midnight(day + dt.timedelta(days=1))
    assert (ends - begins) == dt.timedelta(hours=hours)
    for at in (begins - dt.timedelta(seconds=1), begins, ends - dt.timedelta(seconds=1), ends):
        fleet.clock.seconds = (at - NOW).total_seconds()
        if at in (begins, ends):
            assert await _in_pieces(fleet, worker, client, 800) == 800
        else:
            # The day of this instant began, and was read to its end, when it did.
            expected = 800 if at < begins else 0
            assert await _in_pieces(fleet, worker, client, 801) == expected
    assert [fleet.store.spent(str(day + dt.timedelta(n)), "p", "750012346")[0] >= 800 for n in (-1, 0, 1)] == [True] * 3


async def test_until_midnight_is_told_in_real_hours(fleet: Fleet):
    worker, client = await fleet.worker(), usual("p", "750012346")
    for day, hours in ((dt.date(2026, 3, 29), 23), (dt.date(2026, 10, 25), 25)):
        fleet.clock.seconds = (midnight(day) - NOW).total_seconds()
        with pytest.raises(BudgetExhausted) as refused:
            await _all(fleet, worker, client)
        assert abs(refused.value.seconds - hours * HOUR) < 1


async def _in_pieces(fleet: Fleet, worker: Worker, client: Client, most: int) -> int:
    """How many are answered when nobody is faster than the burst allows; the wall clock stands."""
    answered = 0
    for _ in range(most):
        _rest(fleet, client)
        if not await worker.answer_all(client, most=1):
            break
        answered += 1
    return answered


async def _all(fleet: Fleet, worker: Worker, client: Client) -> None:
    for _ in range(801):
        _rest(fleet, client)
        await worker.answer(client)


def _rest(fleet: Fleet, client: Client) -> None:
    """The burst is refilled, by a monotonic clock that is not the wall's."""
    fleet.clock.monotonic_more += client.burst
