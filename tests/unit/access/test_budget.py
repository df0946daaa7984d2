from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.budget import Limits, Shares, grantable, left_of, limits_of, outage_limits
from service.access.clients import CLASS_BUDGETS, ClientClass, parse_client
from tests.unit.access.forge import Bench

KEYS = [dict(Bench().owner.public.jwk)]
COUNTS = st.integers(0, 5000)


def test_a_pharmacy_has_no_ceiling_beyond_its_budget():
    client = parse_client("p", {"class": "pharmacy", "finess": ["750012346"], "keys": KEYS})
    assert limits_of(client, 50) == Limits(800, 300, None)


@pytest.mark.parametrize(("pharmacies", "ceiling"), [(1, 800), (3, 1200), (2000, 800_000)])
def test_a_hub_has_a_ceiling_that_is_a_share_and_at_least_one_budget(pharmacies: int, ceiling: int):
    known = parse_client("h", {"class": "hub", "finess": ["750012346"], "keys": KEYS})
    client = msgspec.structs.replace(known, finess=tuple(map(str, range(pharmacies))))
    assert limits_of(client, 50) == Limits(800, 300, ceiling)


@pytest.mark.parametrize(("daily", "unknown"), [(800, 300), (1000, 300), (2000, 600), (10, 300)])
def test_unknown_answers_are_a_part_of_a_large_budget(daily: int, unknown: int):
    client = parse_client("p", {"class": "pharmacy", "finess": ["750012346"], "keys": KEYS, "daily": daily})
    assert client.unknown == unknown


def test_what_an_order_says_of_unknown_answers_holds():
    body = {"class": "pharmacy", "finess": ["750012346"], "keys": KEYS, "daily": 2000, "unknown": 10}
    assert parse_client("p", body).unknown == 10
    assert CLASS_BUDGETS[ClientClass.PHARMACY].unknown == 300


@given(st.builds(Limits, COUNTS, COUNTS, COUNTS | st.none()), COUNTS, *[st.tuples(COUNTS, COUNTS)] * 2)
def test_what_is_lent_fits_every_limit(limits: Limits, wanted: int, spent: tuple[int, int], client: tuple[int, int]):
    granted = grantable(limits, wanted, spent, client)
    assert 0 <= granted <= max(wanted, 0)
    assert granted == 0 or spent[0] + granted <= limits.daily
    assert granted == 0 or spent[1] + granted <= limits.unknown
    assert granted == 0 or limits.ceiling is None or client[0] + granted <= limits.ceiling
    assert granted > 0 or wanted == 0 or left_of(limits, spent, client) == 0


@given(st.builds(Limits, COUNTS, COUNTS, COUNTS | st.none()), st.integers(1, 16))
def test_outage_shares_of_all_workers_are_a_fifth_at_most(limits: Limits, slots: int):
    share = outage_limits(limits, slots)
    assert share.daily * slots * 5 <= limits.daily
    assert share.unknown * slots * 5 <= limits.unknown
    assert limits.ceiling is None or (share.ceiling is not None and share.ceiling * slots * 5 <= limits.ceiling)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))))
def test_shares_never_give_more_than_the_share(draws: list[tuple[str, int, int, int]]):
    shares, limits = Shares(), Limits(50, 40, 70)
    answered = dict.fromkeys("ab", 0)
    for finess, wanted, used, unknown in draws:
        granted = shares.draw("hub", finess, limits, wanted)
        answers = min(used, granted)
        answered[finess] += answers
        shares.settle("hub", finess, granted, (answers, min(unknown, answers)))
    assert max(answered.values()) <= limits.daily
    assert sum(answered.values()) <= 70


def test_what_was_spent_before_a_restart_is_not_lent_again():
    shares = Shares()
    shares.add("p", "1", (48, 0))
    assert [shares.draw("p", "1", Limits(50, 50), 20) for _ in range(3)] == [1, 1, 0]
