"""Exposure tells what was read, to the lookup: by several clients, at several workers, over midnight, in an outage."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stubs.connection import Signer
from tests.fleet import Installation, wait_until
from tests.scenarios.shifted_clock import SteppingClock

PARIS = ZoneInfo("Europe/Paris")
FIRST, SECOND, THIRD = "750012346", "330012342", "130012345"
DAY_SECONDS = 86_400
Figures = tuple[int, int, int]


def asked(site: Installation, client: str, queries: list[bytes], finess: str = "", shift: int = 0) -> int:
    """Ask all of it, by connections of their own; how many were answered about somebody known."""
    token = Signer(client, site.key(client)).mint(int(time.time()) + shift)
    known = 0
    for query in queries:
        body = {**json.loads(query), "finess": finess} if finess else query
        reply = site.ask(body, client, {"Authorization": f"Bearer {token}"})
        assert reply.status == 200, reply.body
        known += "beneficiary_unknown" not in reply.json()["answer"]["reasons"]
    return known


def exposure(site: Installation, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(site.relais("exposure", "--json", *words).stdout)
    return document


def settled(site: Installation) -> dict[str, dict[str, Any]]:
    """What is told of each client, once the workers have given back what they had in hand."""
    found: dict[str, dict[str, Any]] = {}

    def nothing_lent() -> bool:
        found.update({one["client"]: one for one in exposure(site)["clients"]})
        return not any(one["today"]["lent"] for one in found.values())

    wait_until(nothing_lent, 60, lambda: f"still lent: {found}")
    return found


def flags(exposed: dict[str, Any]) -> set[str]:
    """Without what the sentinel may have noted by now."""
    return set(exposed["flags"]) - {"noted"}


def _figures_only(exposed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in exposed.items() if name not in ("flags", "suspicion")}


def figures(read: dict[str, Any]) -> Figures:
    return read["lookups"], read["people_at_most"], read["ceiling"]


@pytest.fixture
def shops(site: Installation) -> Installation:
    """Two pharmacies and a hub, whose workers give back at once what they do not use."""
    site.register("busy", "pharmacy", FIRST, options=("--daily", "200", "--burst", "1000"))
    site.register("quiet", "pharmacy", SECOND)
    site.register("hub", "hub", FIRST, SECOND, THIRD, options=("--daily", "40", "--burst", "1000"))
    site.environment["RELAIS_BUDGETS_IDLE_SECONDS"] = "1"
    # They ask as fast as a thief would.
    site.environment["RELAIS_SENTINEL_MODE"] = "report"
    return site


def test_it_tells_what_each_client_read_and_the_route_tells_the_same(shops: Installation, queries: list[bytes]):
    shops.start("rights", workers=2)
    shops.start("admin", workers=1)
    busy, quiet = asked(shops, "busy", queries[:60]), asked(shops, "quiet", queries[-7:])
    first, second = asked(shops, "hub", queries[:5], FIRST), asked(shops, "hub", queries[5:25], SECOND)
    told = settled(shops)
    assert figures(told["busy"]["today"]) == (60, busy, 200)
    assert figures(told["quiet"]["today"]) == (7, quiet, 800)
    assert quiet < 7
    assert figures(told["hub"]["today"]) == (25, first + second, 60)
    assert told["hub"]["worst"]["finess"] == SECOND
    assert figures(told["hub"]["worst"]["today"]) == (20, second, 40)
    assert figures(told["demo-pharmacy"]["today"])[:2] == (0, 0)
    alone = exposure(shops, "--client", "hub")["finess"]
    assert [(one["finess"], figures(one["week"])) for one in alone] == [
        (SECOND, (20, second, 280)),
        (FIRST, (5, first, 280)),
    ]
    route = shops.admin("GET", "/admin/v1/exposure").json()
    assert {one["client"]: _figures_only(one) for one in route["clients"]} == {
        client: _figures_only(one) for client, one in told.items()
    }
    assert route["totals"]["lookups"] == 92
    assert "most exposed hub: 25 of 60 lookups today" in shops.relais("status").stdout
    shops.relais("client", "suspend", "busy", "--reason", "essai")
    assert flags(settled(shops)["busy"]) == {"suspended", "new"}
    assert flags(shops.admin("GET", "/admin/v1/exposure?client=busy").json()["client"]) == {"suspended", "new"}


def test_a_client_that_read_all_it_may_is_flagged_and_midnight_in_paris_begins_anew(
    shops: Installation, queries: list[bytes]
):
    clock = SteppingClock(shops.home.with_name("clock"))
    shops.environment |= clock.environment()
    # Of two, one may be refused what the other has in hand.
    shops.start("rights", workers=1)
    known = asked(shops, "busy", queries[:200])
    told = settled(shops)
    assert (figures(told["busy"]["today"]), flags(told["busy"])) == ((200, known, 200), {"used_up", "new"})
    refused = shops.ask(queries[0], "busy")
    assert (refused.status, refused.code) == (429, "budget_exhausted")

    yesterday = dt.datetime.now(PARIS).date()
    shift = _to_next_noon()
    clock.step(shift)
    again = asked(shops, "busy", queries[200:250], shift=shift)
    told = settled(shops)
    assert exposure(shops)["day"] == (yesterday + dt.timedelta(1)).isoformat()
    assert (figures(told["busy"]["today"]), flags(told["busy"])) == ((50, again, 200), set())
    assert figures(told["busy"]["week"]) == (250, known + again, 1400)
    assert (told["busy"]["usual"], told["busy"]["trend"]) == (200.0, 0.25)

    clock.step(shift + 7 * DAY_SECONDS)
    told = settled(shops)
    assert figures(told["busy"]["week"])[:2] == (0, 0)
    assert (told["busy"]["usual"], told["busy"]["trend"]) == (50.0, 0.0)


def _to_next_noon() -> int:
    """Seconds until noon of the next day in Paris."""
    now = dt.datetime.now(PARIS)
    noon = (now + dt.timedelta(1)).replace(hour=12, minute=0, second=0, microsecond=0)
    return int(noon.timestamp() - now.timestamp())


def test_what_was_read_without_the_store_is_told_once_it_is_back(shops: Installation, queries: list[bytes]):
    store = shops.home / "control" / "fleet.db"
    shops.start("rights", workers=2)
    before = asked(shops, "busy", queries[:10])
    settled(shops)
    away = store.rename(store.with_name("away.db"))
    assert "fleet.db" in shops.relais("exposure", status=3).stderr
    during = asked(shops, "busy", queries[10:18])
    away.rename(store)
    wait_until(lambda: settled(shops)["busy"]["outage"] == 8, 30, lambda: "the outage share is not told")
    shops.kill("rights")
    shops.start("rights", workers=2)
    after = asked(shops, "busy", queries[20:25])
    busy = settled(shops)["busy"]
    assert figures(busy["today"]) == (23, before + during + after, 200)
    assert (busy["outage"], busy["outage_ceiling"], flags(busy)) == (8, 40, {"outage", "new"})
    assert shops.stop("rights") == 0
    assert figures(settled(shops)["busy"]["today"]) == (23, before + during + after, 200)
