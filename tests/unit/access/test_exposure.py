from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.budget import Limits, limits_of
from service.access.clients import client_body, parse_client, parse_terms
from service.access.exposure import (
    Exposed,
    Flag,
    Sort,
    Spendings,
    Standing,
    Suspicion,
    closest,
    expose,
    most_exposed,
    periods,
    place,
    ranked,
)
from service.control.spendings import Spending
from tests.unit.access.forge import Bench

BODY = {"class": "pharmacy", "finess": ["750012346"], "keys": [dict(Bench().owner.public.jwk)]}
PHARMACY = parse_terms("p", BODY)
HUB = parse_terms("h", {**BODY, "class": "hub", "finess": ["750012346", "330012342"], "daily": 100})
NOTHING = Spending()
SOON = dt.datetime(2024, 2, 7, tzinfo=dt.UTC)


def standing(terms: Any = PHARMACY, **members: Any) -> Standing:
    return Standing(terms, limits_of(terms, 50), **members)


def seen(
    today: Spending = NOTHING, recent: Spending = NOTHING, earlier: Spending = NOTHING, of: Standing | None = None
) -> Exposed:
    return expose("p", standing() if of is None else of, Spendings(today, recent, earlier))


def test_a_registration_without_its_keys_is_the_same_but_for_them():
    client = parse_client("p", {**BODY, "daily": 5000})
    terms = parse_terms("p", {**BODY, "daily": 5000})
    assert {**client_body(terms), "keys": 0} == {**client_body(client), "keys": 0}
    assert (terms.keys, terms.id, terms.unknown) == ({}, "p", 1500)


def test_a_week_ends_today_and_one_day_more_makes_a_week_before():
    days = periods(dt.date(2024, 3, 2))
    assert days.today == ("2024-03-02", "2024-03-02")
    assert days.recent == ("2024-02-25", "2024-03-01")
    assert days.earlier == ("2024-02-24", "2024-02-24")


def test_people_are_the_lookups_that_were_not_about_nobody_known():
    one = seen(Spending(lookups=100, unknown=30), Spending(lookups=800, unknown=70, days=6))
    assert (one.today.lookups, one.today.people_at_most, one.today.share) == (100, 70, 0.125)
    assert (one.week.lookups, one.week.people_at_most, one.week.ceiling) == (900, 800, 5600)


def test_what_is_lent_may_be_people_all_of_it():
    # 80 were answered, 30 of them about nobody known; 20 are lent, and count as both until they are back.
    one = seen(Spending(lookups=100, unknown=50, lent=20))
    assert (one.today.lookups, one.today.people_at_most, one.today.lent) == (100, 70, 20)


def test_the_outage_share_comes_on_top():
    one = seen(Spending(lookups=100, unknown=10, outage=40, outage_unknown=15), of=standing())
    assert (one.today.lookups, one.today.people_at_most) == (140, 115)
    assert (one.outage, one.outage_ceiling) == (40, 160)
    assert Flag.OUTAGE in one.flags


@given(st.tuples(*(st.integers(0, 300) for _ in range(6))))
def test_people_are_never_fewer_than_were_answered_about_somebody(numbers: tuple[int, ...]):
    answered, nobody, lent, used, outage, others = numbers
    nobody, used, others = min(nobody, answered), min(used, lent), min(others, outage)
    spent = Spending(answered + lent, nobody + lent, lent, outage, others)
    really = answered - nobody + used + outage - others
    read = seen(spent).today
    assert really <= read.people_at_most <= read.lookups
    assert read.people_at_most - really <= lent


def test_the_trend_is_against_the_days_on_which_it_asked():
    one = seen(Spending(lookups=300), Spending(lookups=520, outage=30, days=5), Spending(lookups=50, days=1))
    assert (one.usual, one.trend) == (100.0, 3.0)
    fresh = seen(Spending(lookups=3))
    assert (fresh.usual, fresh.trend, fresh.flags) == (0.0, None, (Flag.NEW,))
    assert seen().flags == ()


@pytest.mark.parametrize("spent", [Spending(lookups=800), Spending(lookups=300, unknown=300)])
def test_a_budget_is_used_up_by_lookups_or_by_answers_about_nobody_known(spent: Spending):
    usual = Spending(lookups=1, days=1)
    assert seen(spent, earlier=usual).flags == (Flag.USED_UP,)
    assert seen(spent._replace(lookups=spent.lookups - 1, unknown=0), earlier=usual).flags == ()


def test_the_outage_share_uses_up_nothing_of_the_budget():
    assert Flag.USED_UP not in seen(Spending(lookups=700, outage=160)).flags


def test_a_hub_is_bound_by_its_ceiling_and_by_its_worst_pharmacy():
    hub = standing(HUB)
    assert hub.limits == Limits(100, 300, 100)
    worst = closest(hub.limits, {"1": Spending(lookups=20), "2": Spending(lookups=50, outage=10), "3": NOTHING})
    assert worst == place("2", hub.limits, Spending(lookups=50, outage=10))
    spent = Spendings(Spending(lookups=80, unknown=80), NOTHING, Spending(lookups=1, days=1))
    one = expose("h", hub, spent, worst)
    assert (one.today.ceiling, one.today.share, one.worst, one.flags) == (100, 0.8, worst, ())
    whole = expose("h", hub, spent._replace(today=Spending(lookups=100)), worst)
    assert whole.flags == (Flag.USED_UP,)
    drained = place("2", hub.limits, Spending(lookups=100))
    assert drained.used_up
    assert expose("h", hub, spent, drained).flags == (Flag.USED_UP,)
    assert expose("h", hub, spent, drained).share == 1.0
    assert closest(hub.limits, {"1": NOTHING}) is closest(hub.limits, {}) is None


def test_a_pharmacy_that_asked_for_nobody_known_is_used_up_within_a_hubs_ceiling():
    assert place("1", Limits(800, 300, 10_000), Spending(lookups=300, unknown=300)).used_up


def test_every_flag_says_what_it_says():
    told = Suspicion(SOON, "750012346", "slow", ("pace",), None)
    flags = {
        Flag.SUSPENDED: standing(suspended=True),
        Flag.LIMITED: standing(limited_until=SOON),
        Flag.KEY_ENDING: standing(key_ends=SOON),
        Flag.UNREADABLE: Standing(),
        Flag.PARTLY_SUSPENDED: standing(HUB, suspended_finess=frozenset({"750012346"})),
        Flag.SLOWED: standing(slowed=True),
        Flag.NOTED: standing(suspicion=told),
    }
    for flag, of in flags.items():
        assert seen(of=of).flags == (flag,)
    unreadable = seen(Spending(lookups=5), of=Standing())
    assert (unreadable.client_class, unreadable.today.ceiling, unreadable.today.share) == (None, None, None)


def test_a_budget_of_nothing_is_read_whole_or_not_at_all():
    nothing = standing(parse_terms("p", {**BODY, "daily": 0}))
    assert (seen(of=nothing).today.share, seen(Spending(lookups=1), of=nothing).today.share) == (0.0, 1.0)


def test_clients_come_in_the_order_that_is_asked_for():
    small = standing(parse_terms("p", {**BODY, "daily": 10}))
    clients = {
        "most": expose("most", standing(), Spendings(Spending(lookups=300), NOTHING, Spending(lookups=290, days=1))),
        "closest": expose("closest", small, Spendings(Spending(lookups=9), NOTHING, Spending(lookups=9, days=1))),
        "unlike": expose("unlike", standing(), Spendings(Spending(lookups=200), NOTHING, Spending(lookups=10, days=1))),
        "tiny": expose("tiny", standing(), Spendings(Spending(lookups=5), NOTHING, Spending(lookups=1, days=5))),
        "b": seen(),
        "a": expose("a", standing(), Spendings(NOTHING, NOTHING, NOTHING)),
    }
    first = {sort: ranked(clients.values(), sort)[0].client for sort in Sort}
    assert first == {Sort.TODAY: "most", Sort.SHARE: "closest", Sort.TREND: "unlike"}
    assert [one.client for one in ranked(clients.values(), Sort.TODAY)[-2:]] == ["a", "p"]
    most = most_exposed(clients.values())
    assert most is not None
    assert most.client == "closest"
    assert most_exposed([seen()]) is None
