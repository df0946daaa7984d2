"""Budgets lent by the second store: exact whatever the order of draws, returns and crashes."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.control.fleet import FleetStore
from service.control.leases import Grant, Lease, SqliteLeaseStore, Want
from service.errors import StoreUnavailable

DAY = "2024-02-05"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    FleetStore.create(tmp_path / "fleet.db")
    return tmp_path / "fleet.db"


@pytest.fixture
def store(path: Path) -> SqliteLeaseStore:
    return SqliteLeaseStore(path)


def within(daily: int, wanted: int = 20) -> Grant:
    return lambda spent, _: min(wanted, daily - spent[0])


def draw(store: SqliteLeaseStore, grant: Grant, client: str = "p", finess: str = "1", holder: str = "n/0") -> Lease:
    return store.draw(DAY, client, finess, holder, grant)


def test_draws_stop_at_the_budget(store: SqliteLeaseStore):
    leases = [draw(store, within(50)) for _ in range(4)]
    assert [lease.granted for lease in leases] == [20, 20, 10, 0]
    assert [lease.of_pharmacy for lease in leases] == [(0, 0), (20, 20), (40, 40), (50, 50)]
    assert leases[-1].id == 0
    assert store.spent(DAY, "p", "1") == (50, 50)


def test_what_was_not_used_comes_back_once(store: SqliteLeaseStore):
    lease = draw(store, within(20))
    for _ in range(2):
        store.settle(lease, (5, 2))
    assert store.spent(DAY, "p", "1") == store.spent(DAY, "p") == (5, 2)
    assert draw(store, within(20)).granted == 15


def test_an_id_is_never_used_again(store: SqliteLeaseStore):
    first = draw(store, within(800))
    store.settle(first, (0, 0))
    second = draw(store, within(800))
    assert second.id > first.id
    store.settle(first, (20, 20))
    assert store.spent(DAY, "p", "1") == (20, 20)


def test_a_lease_of_somebody_else_is_not_settled(store: SqliteLeaseStore):
    lease = draw(store, within(800))
    store.settle(lease._replace(client="q"), (0, 0))
    store.settle(lease._replace(day="2024-02-06"), (0, 0))
    assert store.spent(DAY, "p", "1") == (20, 20)


@pytest.mark.parametrize("used", [(21, 0), (3, 4), (-1, -1)])
def test_a_lease_is_not_settled_with_more_than_it_lent(store: SqliteLeaseStore, used: tuple[int, int]):
    with pytest.raises(ValueError, match="within"):
        store.settle(draw(store, within(800)), used)


def test_clients_pharmacies_and_days_are_apart_and_a_hub_is_the_sum(store: SqliteLeaseStore):
    for finess in ("1", "2"):
        draw(store, within(800), "hub", finess)
    draw(store, within(800))
    other_day = store.draw("2024-02-06", "hub", "1", "n/0", within(800))
    assert store.spent(DAY, "hub") == (40, 40)
    assert store.spent(DAY, "hub", "2") == (20, 20)
    assert (other_day.of_pharmacy, other_day.of_client) == ((0, 0), (0, 0))
    assert draw(store, lambda _, of_client: 45 - of_client[0], "hub", "3").granted == 5


def test_open_leases_are_the_holders_own(store: SqliteLeaseStore):
    mine = [draw(store, within(800)) for _ in range(2)]
    draw(store, within(800), holder="n/1")
    store.settle(mine[0], (20, 0))
    assert [lease.id for lease in store.open_leases("n/0")] == [mine[1].id]


def test_a_home_of_before_there_were_leases_works(store: SqliteLeaseStore):
    assert store.open_leases("n/0") == []
    assert store.spent(DAY, "p", "1") == (0, 0)
    store.settle(Lease(7, DAY, "p", "1", "n/0", 20), (0, 0))
    store.forget(DAY)
    assert draw(store, within(800)).granted == 20


def test_earlier_days_are_forgotten(store: SqliteLeaseStore):
    store.draw("2024-01-01", "p", "1", "n/0", within(800))
    today = draw(store, within(800))
    store.forget(DAY)
    assert [lease.id for lease in store.open_leases("n/0")] == [today.id]
    assert store.spent("2024-01-01", "p") == (0, 0)


def test_nothing_is_lent_by_a_store_that_is_gone(path: Path, store: SqliteLeaseStore):
    lease = draw(store, within(800))
    path.unlink()
    with pytest.raises(StoreUnavailable):
        draw(store, within(800))
    with pytest.raises(StoreUnavailable):
        store.settle(lease, (0, 0))


def test_nothing_is_lent_where_the_rules_fail(path: Path, store: SqliteLeaseStore):
    draw(store, within(800))

    def broken(_: tuple[int, int], __: tuple[int, int]) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        draw(store, broken)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (1,)
    assert store.spent(DAY, "p", "1") == (20, 20)


def test_draws_at_once_never_lend_more_than_the_budget(path: Path):
    granted: list[int] = []

    def work(holder: str) -> None:
        store = SqliteLeaseStore(path)
        while lease := draw(store, within(100, 3), holder=holder).granted:
            granted.append(lease)

    workers = [threading.Thread(target=work, args=(f"n/{number}",)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(granted) == 100


_STEPS = st.lists(st.tuples(st.sampled_from(["draw", "settle"]), st.integers(0, 30), st.integers(0, 30)), max_size=25)


@given(_STEPS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spendings_are_the_sum_of_what_is_lent_and_what_was_used(path: Path, steps: list[tuple[str, int, int]]):
    store, day = SqliteLeaseStore(path), f"day-{len(list(path.parent.iterdir()))}"
    store.forget("zzz")
    lent: list[Lease] = []
    lookups = unknown = 0
    for step, one, other in steps:
        if step == "draw":
            lease = store.draw(day, "p", "1", "n/0", within(90, one))
            lent += [lease] if lease.granted else []
        elif lent:
            lease = lent.pop(one % len(lent))
            used = min(other, lease.granted)
            store.settle(lease, (used, used // 2))
            lookups, unknown = lookups + used, unknown + used // 2
        held = sum(lease.granted for lease in lent)
        assert store.spent(day, "p", "1") == store.spent(day, "p") == (lookups + held, unknown + held)
        assert lookups + held <= 90


def test_what_is_drawn_together_is_lent_as_if_one_by_one(store: SqliteLeaseStore, path: Path):
    wants = [Want(DAY, "hub", finess, within(30)) for finess in ("1", "2", "1", "1")]
    leases = store.draw_all("n/0", wants)
    assert [(lease.finess, lease.granted) for lease in leases] == [("1", 20), ("2", 20), ("1", 10), ("1", 0)]
    assert [lease.of_client for lease in leases] == [(0, 0), (20, 20), (40, 40), (50, 50)]
    store.settle_all([(lease, (1, 0)) for lease in leases if lease.granted])
    assert (store.spent(DAY, "hub", "1"), store.spent(DAY, "hub")) == ((2, 0), (3, 0))


def test_what_is_drawn_together_is_lent_in_one_transaction(store: SqliteLeaseStore):
    def broken(_: tuple[int, int], __: tuple[int, int]) -> int:
        raise ZeroDivisionError

    draw(store, within(1), "other")
    with pytest.raises(ZeroDivisionError):
        store.draw_all("n/0", [Want(DAY, "hub", "1", within(30)), Want(DAY, "hub", "2", broken)])
    assert store.spent(DAY, "hub") == (0, 0)
    assert [lease.client for lease in store.open_leases("n/0")] == ["other"]


def test_of_settlements_together_a_wrong_one_ends_all(store: SqliteLeaseStore):
    lease = draw(store, within(20))
    with pytest.raises(ValueError, match="within"):
        store.settle_all([(lease, (5, 0)), (lease, (21, 0))])
    assert store.spent(DAY, "p") == (20, 20)
