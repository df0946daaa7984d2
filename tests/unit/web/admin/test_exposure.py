"""Who reads how much of what they may, over HTTP; what stands behind it is the command's too."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from service.access.exposure import Sort
from service.control.leases import SqliteLeaseStore
from service.control.suspicions import SqliteSuspicions, Suspicion
from service.errors import InvalidField
from service.paris import paris_date
from service.web.admin.exposure import DEFAULT_TOP, MAX_TOP, Filters, parse_filters
from tests.unit.web.admin.conftest import Office, public

FINESS, SECOND, THIRD = "750012346", "330012342", "130012345"


def spend(office: Office, client: str, lookups: int, unknown: int = 0, finess: str = FINESS, days_ago: int = 0) -> None:
    """As if so many had been answered."""
    store, day = SqliteLeaseStore(office.home.fleet), paris_date(office.clock.now()) - dt.timedelta(days_ago)
    lease = store.draw(day.isoformat(), client, finess, "n/0", lambda *_: lookups)
    store.settle(lease, (lookups, unknown))
    store.close()


def suspect(office: Office, *clients: str, step: str = "note", held: str | None = None, minutes: int = 0) -> None:
    store, at = SqliteSuspicions(office.home.fleet), office.clock.now() + dt.timedelta(minutes=minutes)
    store.add([Suspicion(at, FINESS, clients, step, ("pace", "nights"), "pace 70 (expected 12)", held)])
    store.close()


async def register(office: Office, client: str, client_class: str, *finess: str, **members: Any) -> None:
    body = {
        "class": client_class,
        "finess": list(finess),
        "keys": [public(office.keys / "shop.jwk")],
        "reason": "essai",
    }
    assert (await office.write("PUT", f"clients/{client}", {**body, **members})).status == 200


async def told(office: Office, path: str = "exposure") -> dict[str, Any]:
    reply = await office.get(path, "aude")
    assert reply.status == 200, reply.json
    document: dict[str, Any] = reply.json
    return document


async def flags(office: Office, client: str = "shop") -> list[str]:
    found: list[str] = (await told(office, f"exposure?client={client}"))["client"]["flags"]
    return found


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"MARQUE": "1"}, ""),
        ({"sort": "MARQUE"}, "/sort"),
        ({"top": "0"}, "/top"),
        ({"top": str(MAX_TOP + 1)}, "/top"),
        ({"client": "MARQUE", "sort": "today"}, ""),
    ],
)
def test_a_bad_filter_is_pointed_at_and_not_repeated(query: dict[str, str], pointer: str):
    with pytest.raises(InvalidField) as caught:
        parse_filters(query)
    assert caught.value.pointer == pointer
    assert "MARQUE" not in caught.value.detail


def test_filters_are_read():
    assert parse_filters({}) == Filters(None, Sort.SHARE, DEFAULT_TOP)
    assert parse_filters({"sort": "trend", "top": "3"}) == Filters(None, Sort.TREND, 3)


async def test_every_reader_is_told_of_those_who_may_ask_and_nobody_else_is(office: Office):
    for who in ("anna", "olga", "aude"):
        document = (await office.get("exposure", who)).json
        assert [one["client"] for one in document["clients"]] == ["shop"]
    refused = await office.get("exposure", "shop")
    assert refused.status in (401, 403)
    assert document["totals"] == {"clients": 1, "asked": 0, "lookups": 0, "people_at_most": 0}
    assert document["day"] == paris_date(office.clock.now()).isoformat()


async def test_what_was_read_stands_against_what_may_be(office: Office):
    spend(office, "shop", 100, 20)
    spend(office, "shop", 60, 0, days_ago=6)
    spend(office, "shop", 40, 0, days_ago=7)
    spend(office, "shop", 500, 0, days_ago=8)
    document = await told(office)
    (one,) = document["clients"]
    assert one["today"] == {"lookups": 100, "people_at_most": 80, "lent": 0, "ceiling": 800, "share": 0.125}
    assert (one["week"]["lookups"], one["week"]["people_at_most"], one["week"]["ceiling"]) == (160, 140, 5600)
    assert (one["usual"], one["trend"], one["flags"], one["class"]) == (50.0, 2.0, [], "pharmacy")
    assert document["totals"] == {"clients": 1, "asked": 1, "lookups": 100, "people_at_most": 80}


async def test_a_hub_is_told_of_as_a_whole_with_its_worst_pharmacy_and_alone_with_each(office: Office):
    await register(office, "hub", "hub", FINESS, SECOND, THIRD, daily=100)
    spend(office, "hub", 30, 30)
    spend(office, "hub", 100, 0, SECOND)
    spend(office, "hub", 10, 0, FINESS, days_ago=2)
    (hub,) = (one for one in (await told(office))["clients"] if one["client"] == "hub")
    assert (hub["finess"], hub["today"]["lookups"], hub["today"]["people_at_most"]) == (3, 130, 100)
    assert (hub["today"]["ceiling"], hub["flags"]) == (150, ["used_up"])
    assert hub["worst"] == {
        "finess": SECOND,
        "today": {"lookups": 100, "people_at_most": 100, "lent": 0, "ceiling": 100, "share": 1.0},
        "used_up": True,
        "week": None,
    }
    alone = await told(office, "exposure?client=hub")
    assert alone["client"] == hub
    assert [(one["finess"], one["today"]["lookups"], one["week"]["lookups"]) for one in alone["finess"]] == [
        (SECOND, 100, 100),
        (FINESS, 30, 40),
    ]
    assert [one["used_up"] for one in alone["finess"]] == [True, False]


async def test_the_first_come_first_and_the_rest_is_counted(office: Office):
    for number, client in enumerate(("a", "b", "c"), 1):
        await register(office, client, "pharmacy", FINESS, daily=1000 * number)
        spend(office, client, 500 * number - number, days_ago=1)
        spend(office, client, 500 * number)
    by_today, by_share = await told(office, "exposure?sort=today&top=2"), await told(office, "exposure?top=2")
    assert [one["client"] for one in by_today["clients"]] == ["c", "b"]
    assert [one["client"] for one in by_share["clients"]] == ["c", "b"]
    assert [one["client"] for one in (await told(office, "exposure?sort=trend&top=1"))["clients"]] == ["c"]
    assert (by_today["left_out"], by_today["totals"]["lookups"], by_today["sort"]) == (2, 3000, "today")


async def test_what_orders_say_of_a_client_is_flagged(office: Office):
    jwk = {**public(office.keys / "shop.jwk"), "exp": int(office.clock.now().timestamp()) + 86_400}
    await register(office, "shop", "pharmacy", FINESS, keys=[jwk])
    await office.write("POST", "clients/shop/suspend", {"reason": "essai"}, seen="clients/shop")
    document = await told(office, "exposure?client=shop")
    assert document["client"]["flags"] == ["suspended", "key_ending"]
    assert dt.datetime.fromisoformat(document["client"]["key_ends"]).timestamp() == jwk["exp"]


async def test_a_hub_that_is_suspended_for_a_pharmacy_is_flagged(office: Office):
    await register(office, "hub", "hub", FINESS, SECOND)
    body = {"reason": "essai", "finess": SECOND}
    assert (await office.write("POST", "clients/hub/suspend", body, seen="clients/hub")).status == 200
    assert await flags(office, "hub") == ["partly_suspended"]


async def test_what_the_sentinel_said_today_is_told_the_hardest_and_latest_of_it(office: Office):
    assert await flags(office) == []
    suspect(office, "shop", step="suspend", held="report", minutes=-60 * 26)
    assert await flags(office) == []
    suspect(office, "shop", "stranger")
    assert await flags(office) == ["noted"]
    suspect(office, "shop", step="slow")
    suspect(office, "shop", step="note", minutes=1)
    assert await flags(office) == ["noted"]
    suspect(office, "shop", step="suspend", held="cap")
    document = await told(office, "exposure?client=shop")
    assert document["client"]["flags"] == ["noted"]
    suspicion = document["client"]["suspicion"]
    assert (suspicion["step"], suspicion["held"], suspicion["rules"]) == ("suspend", "cap", ["pace", "nights"])
    assert suspicion["finess"] == FINESS


async def test_a_step_that_names_nobody_means_all_who_may_ask_for_the_pharmacy(office: Office):
    await register(office, "hub", "hub", FINESS, SECOND)
    await register(office, "other", "pharmacy", SECOND)
    suspect(office, "*")
    assert [await flags(office, client) for client in ("shop", "hub", "other")] == [["noted"], ["noted"], []]


async def test_who_asked_and_is_registered_no_more_is_told_of(office: Office):
    spend(office, "ghost", 7)
    ghost = (await told(office, "exposure?client=ghost"))["client"]
    assert (ghost["class"], ghost["today"]["lookups"], ghost["today"]["share"]) == (None, 7, None)
    assert ghost["flags"] == ["new", "unreadable"]
    assert (await told(office))["totals"]["clients"] == 2


async def test_nobody_of_that_name_is_not_found(office: Office):
    reply = await office.get("exposure?client=nobody")
    assert (reply.status, reply.code) == (404, "not_found")


async def test_a_store_that_is_gone_leaves_no_figures_and_says_so(office: Office):
    away = office.home.fleet.rename(office.home.fleet.with_name("away.db"))
    for path in ("exposure", "exposure?client=shop"):
        reply = await office.get(path)
        assert (reply.status, reply.code) == (503, "spendings_unavailable")
        assert "Retry-After" in reply.headers
    away.rename(office.home.fleet)
    assert (await office.get("exposure")).status == 200


async def test_a_new_day_begins_with_nothing(office: Office):
    spend(office, "shop", 9)
    office.clock.ahead += 86_400
    (one,) = (await told(office))["clients"]
    assert (one["today"]["lookups"], one["week"]["lookups"], one["usual"]) == (0, 9, 9.0)
