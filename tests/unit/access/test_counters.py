import datetime as dt
import random
from zoneinfo import ZoneInfo

import msgspec
import pytest

from service.access.counters import MAX_CLIENTS, OTHERS, Fleet, Sheet, local_hour
from service.access.marks import NUMBERS, PERSONS, Mark

HOUR = 738_914 * 24 + 9


def mark(person: int, number: int | None = None, block: int | None = None, *, unknown: bool = False) -> Mark:
    number = person % NUMBERS if number is None else number
    return Mark(person % PERSONS, number, number if block is None else block, unknown, canary=False)


def test_what_was_asked_is_counted_by_hour_and_day_and_in_the_fleet():
    sheet, fleet = Sheet(HOUR), Fleet(HOUR)
    for number in range(3):
        sheet.count("a", mark(number, unknown=number == 0), fleet.this_hour, fleet.today)
    sheet.begin_hour(HOUR + 1)
    sheet.count("a", mark(9), fleet.this_hour, fleet.today)
    assert (sheet.this_hour.lookups, sheet.this_hour.unknown) == (1, 0)
    assert (sheet.today.lookups, sheet.today.unknown) == (4, 1)
    assert fleet.today == sheet.today


def test_who_was_asked_for_before_is_no_stranger_on_another_day_either():
    sheet = Sheet(HOUR)
    sheet.count("a", mark(1))
    sheet.count("a", mark(1))
    assert sheet.today.strangers == 1
    sheet.begin_day(HOUR + 24)
    sheet.count("a", mark(1))
    assert sheet.today.strangers == 0
    sheet.forget_people()
    sheet.count("a", mark(1))
    assert sheet.today.strangers == 1


@pytest.mark.parametrize("people", [50, 800, 8_000])
def test_strangers_are_estimated_without_bias_however_full_the_sheet(people: int):
    chance, sheet = random.Random(people), Sheet(HOUR)  # noqa: S311 - reproducible
    for _ in range(people):
        sheet.count("a", mark(chance.randrange(PERSONS), chance.randrange(NUMBERS)))
    assert sheet.today.strangers == pytest.approx(people, rel=0.03)


def test_unrelated_numbers_make_no_neighbours_however_many_collide():
    chance, sheet = random.Random(5), Sheet(HOUR)  # noqa: S311 - reproducible
    for _ in range(800):
        sheet.count("a", mark(0, chance.randrange(NUMBERS), chance.randrange(NUMBERS)))
    assert abs(sheet.today.near) < 30
    assert sheet.today.numbers == pytest.approx(730, abs=30)


def test_numbers_of_one_block_are_neighbours_and_a_household_is_not():
    sheet = Sheet(HOUR)
    for number in range(10):
        sheet.count("a", mark(number, number, block=7))
    assert sheet.today.near == pytest.approx(9, abs=0.1)
    for person in range(10, 20):
        sheet.count("a", mark(person, 3, block=7))
    assert sheet.today.near == pytest.approx(9, abs=0.1)


def test_a_sheet_does_not_grow_with_what_is_asked():
    chance, sheet = random.Random(1), Sheet(HOUR)  # noqa: S311 - reproducible
    for number in range(2_000):
        client = f"client-{number % 40}"
        sheet.count(client, mark(chance.randrange(PERSONS), chance.randrange(NUMBERS), chance.randrange(NUMBERS)))
    assert len(sheet.clients) == MAX_CLIENTS + 1
    assert sheet.clients[OTHERS] == 2_000 - MAX_CLIENTS * 50
    assert len(msgspec.msgpack.encode(sheet)) < 5_000


def test_a_sheet_comes_back_from_bytes():
    sheet = Sheet(HOUR)
    sheet.count("a", mark(1))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(sheet), type=Sheet)
    again.count("a", mark(1))
    assert again.today.lookups == 2
    assert again.today.strangers == 1


def test_the_fleet_remembers_the_means_of_its_days():
    fleet = Fleet(HOUR)
    fleet.pharmacies = 2
    for number in range(10):
        Sheet(HOUR).count("a", mark(number), fleet.this_hour, fleet.today)
    assert fleet.usual_day().lookups == 5
    fleet.advance(HOUR + 24)
    assert fleet.days[HOUR // 24].lookups == 5
    assert fleet.today.lookups == 0
    assert fleet.usual_day().lookups == 5


def test_a_late_hour_changes_nothing():
    fleet = Fleet(HOUR)
    Sheet(HOUR).count("a", mark(1), fleet.this_hour, fleet.today)
    fleet.advance(HOUR - 1)
    assert (fleet.hour, fleet.this_hour.lookups) == (HOUR, 1)


def test_the_hour_that_summer_time_repeats_is_one_hour():
    paris = ZoneInfo("Europe/Paris")
    first = dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC).astimezone(paris)
    second = dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.UTC).astimezone(paris)
    assert local_hour(first) == local_hour(second)
    assert local_hour(second + dt.timedelta(hours=1)) == local_hour(second) + 1
