import random
from collections import Counter

import pytest

from service.identifiers import is_fictitious, parse_birth_date, parse_nir
from stubs.month import BAD_DAY, DAY, Month, on_duty, poisson, somebody, wrong_date

HOUR = 3_600
MONTH = Month(60, seed=3)


def test_the_same_seed_gives_the_same_month_and_another_another():
    assert MONTH.asks(2) == Month(60, seed=3).asks(2)
    assert MONTH.asks(2) != Month(60, seed=4).asks(2)


def test_a_day_comes_in_order_and_begins_in_its_own():
    asks = MONTH.asks(2)
    assert asks == sorted(asks)
    assert asks[0].second >= 2 * DAY
    assert asks[-1].second < 3 * DAY + 9 * HOUR


@pytest.mark.parametrize("home", [None, (75, 101)])
def test_everybody_has_numbers_of_the_right_shape_and_nobody_a_secret_one(home: tuple[int, int] | None):
    for person in range(2_000):
        nir, birth_date = somebody(person, home)
        assert parse_nir(nir) == nir
        assert parse_birth_date(birth_date) == birth_date
        assert not is_fictitious(nir)


def test_a_mistyped_date_is_another_date():
    chance = random.Random(1)  # noqa: S311 - reproducible
    assert all(
        wrong_date(f"1980-02-{day:02d}", chance) != f"1980-02-{day:02d}" for day in range(1, 29) for _ in range(9)
    )


@pytest.mark.parametrize("mean", [0.5, 12.0, 150.0])
def test_arrivals_have_their_mean(mean: float):
    chance = random.Random(1)  # noqa: S311 - reproducible
    numbers = [poisson(chance, mean) for _ in range(4_000)]
    assert sum(numbers) / len(numbers) == pytest.approx(mean, rel=0.05)
    assert min(numbers) >= 0


def test_monday_is_a_rush_and_on_sunday_only_who_is_on_duty_asks():
    monday, tuesday, sunday = MONTH.asks(7), MONTH.asks(8), MONTH.asks(6)
    assert len(monday) > 1.2 * len(tuesday)
    duty = {pharmacy.finess for pharmacy in MONTH.pharmacies if on_duty(pharmacy, 6) or pharmacy.never_closes}
    assert {ask.finess for ask in sunday} == duty
    assert Counter(ask.finess for ask in sunday).most_common(1)[0][1] > 60


def test_at_night_few_ask():
    hours = Counter(ask.second // HOUR % 24 for ask in MONTH.asks(8))
    assert 0 < sum(hours[hour] for hour in range(6)) < 0.02 * hours.total()


def test_the_bad_snapshot_makes_many_unknown():
    def share(day: int) -> float:
        asks = [ask for ask in MONTH.asks(day) if 10 <= ask.second // HOUR % 24 < 16]
        return sum(ask.unknown for ask in asks) / len(asks)

    assert share(BAD_DAY) > 3 * share(BAD_DAY - 1)


def test_some_close_join_and_move():
    asked = [{(ask.finess, ask.client) for ask in MONTH.asks(day)} for day in (8, 15)]
    clients = [dict(pairs) for pairs in asked]
    moved = [name for name in clients[0] if clients[0][name] == "hub-0" and clients[1].get(name) != "hub-0"]
    assert moved
    assert clients[1].keys() - clients[0].keys()


def test_customers_come_back():
    seen = {(ask.finess, ask.nir, ask.birth_date) for day in range(5) for ask in MONTH.asks(day) if not ask.unknown}
    later = [(ask.finess, ask.nir, ask.birth_date) for ask in MONTH.asks(5) if not ask.unknown]
    assert 0.1 < sum(person in seen for person in later) / len(later) < 0.6
