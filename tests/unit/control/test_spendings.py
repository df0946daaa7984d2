"""What the second store says was spent: leases in hand, what came of them, and the outage share told afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.control.fleet import FleetStore
from service.control.leases import Lease, SqliteLeaseStore
from service.control.outages import Share, SqliteOutages
from service.control.spendings import Spending, SpendingStore
from service.errors import StoreUnavailable

DAY, YESTERDAY, LONG_AGO = "2024-02-05", "2024-02-04", "2024-01-01"
TODAY, BEFORE, THEN, WEEK = (DAY, DAY), (YESTERDAY, YESTERDAY), (LONG_AGO, LONG_AGO), ("2024-01-30", DAY)
ONE, OTHER = Share("n", 0, 2), Share("n", 1, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    FleetStore.create(tmp_path / "fleet.db")
    return tmp_path / "fleet.db"


@pytest.fixture
def store(path: Path) -> SpendingStore:
    return SpendingStore(path)


@pytest.fixture
def leases(path: Path) -> SqliteLeaseStore:
    return SqliteLeaseStore(path)


@pytest.fixture
def outages(path: Path) -> SqliteOutages:
    return SqliteOutages(path)


def lend(leases: SqliteLeaseStore, client: str = "p", finess: str = "1", day: str = DAY, lookups: int = 20) -> Lease:
    return leases.draw(day, client, finess, "n/0", lambda *_: lookups)


def test_a_store_in_which_nothing_was_spent_has_nothing(store: SpendingStore):
    assert store.by_client(TODAY, BEFORE) == [{}, {}]
    assert store.by_finess("p", TODAY) == [{}]


def test_what_is_lent_is_told_apart_until_it_is_back(store: SpendingStore, leases: SqliteLeaseStore):
    used, held = lend(leases), lend(leases, lookups=5)
    leases.settle(used, (12, 3))
    assert store.by_client(TODAY) == [{"p": Spending(lookups=17, unknown=8, lent=5, days=1)}]
    leases.settle(held, (0, 0))
    assert store.by_client(TODAY) == [{"p": Spending(lookups=12, unknown=3, days=1)}]


def test_a_client_is_the_sum_of_its_pharmacies_and_a_period_of_its_days(store: SpendingStore, leases: SqliteLeaseStore):
    leases.settle(lend(leases, "hub", "1"), (10, 1))
    leases.settle(lend(leases, "hub", "2"), (5, 0))
    leases.settle(lend(leases, "hub", "1", YESTERDAY), (7, 7))
    leases.settle(lend(leases, "hub", "1", LONG_AGO), (20, 0))
    leases.settle(lend(leases, "p"), (1, 0))
    today, week = store.by_client(TODAY, WEEK)
    assert today == {"hub": Spending(15, 1, days=1), "p": Spending(1, 0, days=1)}
    assert week == {"hub": Spending(22, 8, days=2), "p": Spending(1, 0, days=1)}
    assert store.by_finess("hub", TODAY, WEEK) == [
        {"1": Spending(10, 1, days=1), "2": Spending(5, 0, days=1)},
        {"1": Spending(17, 8, days=2), "2": Spending(5, 0, days=1)},
    ]


def test_a_day_on_which_everything_was_given_back_is_none_of_them(store: SpendingStore, leases: SqliteLeaseStore):
    leases.settle(lend(leases), (0, 0))
    assert store.by_client(TODAY, WEEK) == [{}, {}]


def test_shares_add_up_and_a_report_told_again_counts_once(store: SpendingStore, outages: SqliteOutages):
    for _ in range(2):
        outages.tell(ONE, DAY, {("p", "1"): (4, 1), ("hub", "2"): (3, 0)}, LONG_AGO)
    outages.tell(OTHER, DAY, {("p", "1"): (5, 0)}, LONG_AGO)
    outages.tell(Share("m", 0, 1), DAY, {("p", "1"): (1, 1)}, LONG_AGO)
    assert store.by_client(TODAY) == [
        {"p": Spending(outage=10, outage_unknown=2, days=1), "hub": Spending(outage=3, days=1)}
    ]
    assert store.by_finess("hub", TODAY) == [{"2": Spending(outage=3, days=1)}]


def test_an_earlier_report_takes_nothing_back(store: SpendingStore, outages: SqliteOutages):
    outages.tell(ONE, DAY, {("p", "1"): (9, 2)}, LONG_AGO)
    outages.tell(ONE, DAY, {("p", "1"): (4, 1)}, LONG_AGO)
    assert store.by_client(TODAY)[0]["p"] == Spending(outage=9, outage_unknown=2, days=1)


def test_shares_split_anew_do_not_count_twice(store: SpendingStore, outages: SqliteOutages):
    outages.tell(ONE, DAY, {("p", "1"): (4, 0)}, LONG_AGO)
    outages.tell(OTHER, DAY, {("p", "1"): (5, 0)}, LONG_AGO)
    # Servers started anew with three workers have counted the same journals, and given two more since.
    for share, spent in enumerate([(6, 0), (5, 0), (0, 0)]):
        outages.tell(Share("n", share, 3), DAY, {("p", "1"): spent}, LONG_AGO)
    assert store.by_client(TODAY)[0]["p"].outage == 11


def test_reports_of_earlier_days_are_forgotten(store: SpendingStore, outages: SqliteOutages):
    outages.tell(ONE, LONG_AGO, {("p", "1"): (4, 0)}, LONG_AGO)
    outages.tell(ONE, DAY, {("p", "1"): (1, 0)}, YESTERDAY)
    assert store.by_client(THEN, TODAY) == [{}, {"p": Spending(outage=1, days=1)}]


def test_days_of_the_outage_alone_are_days_too(store: SpendingStore, outages: SqliteOutages, leases: SqliteLeaseStore):
    leases.settle(lend(leases), (3, 0))
    outages.tell(ONE, DAY, {("p", "1"): (1, 0)}, LONG_AGO)
    assert store.by_client(TODAY)[0]["p"].days == 1
    for client in ("p", "q"):
        outages.tell(ONE, YESTERDAY, {(client, "1"): (1, 0)}, LONG_AGO)
    assert store.by_client(WEEK)[0]["p"].days == 2
    assert store.by_client(WEEK)[0]["q"].days == 1


def test_a_lost_store_is_said_to_be_lost(path: Path, store: SpendingStore, outages: SqliteOutages):
    store.by_client(TODAY)
    path.unlink()
    for use in (
        lambda: store.by_client(TODAY),
        lambda: store.by_finess("p", TODAY),
        lambda: outages.tell(ONE, DAY, {}, LONG_AGO),
    ):
        with pytest.raises(StoreUnavailable):
            use()
