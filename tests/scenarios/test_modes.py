"""Modes under real workers: an order is followed by every one of them before its command returns."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.fleet import Installation, wait_until
from tests.scenarios.callers import lines
from tests.scenarios.evidence import verify_journal


def everywhere(site: Installation, expected: int) -> None:
    """Twenty newcomers get the same status."""
    assert {site.ask(site.example("open")).status for _ in range(20)} == {expected}


@pytest.fixture
def served(site: Installation) -> Installation:
    site.start("rights", workers=2)
    return site


def test_suspended_is_503_from_every_worker_until_it_ends(served: Installation):
    with lines(served) as workers:
        served.set_mode("suspended", reason="doubt about our own data")
        for line in workers:
            refused = served.ask(served.example("open"), connection=line)
            assert (refused.status, refused.code) == (503, "service_suspended")
            assert refused.headers["Relais-Mode"] == "suspended"
            assert 30 <= int(refused.headers["Retry-After"]) <= 90
            assert refused.json()["action"] == "check_card"
            for path in ("/readyz", "/v1/status", "/livez"):
                assert served.request("GET", path, connection=line).status == 200
        everywhere(served, 503)
        served.set_mode("degraded", reason="no doubt any more")
        for line in workers:
            assert served.ask(served.example("open"), connection=line).status == 200
        everywhere(served, 200)
    assert served.stop("rights") == 0
    verify_journal(served)


def test_a_suspended_amc_is_excluded_and_never_a_503(served: Installation):
    query = served.example("open")
    contract = served.ask(query).json()["answer"]["contracts"][0]
    other = _open_with_another(served, contract["amc"])
    with lines(served) as workers:
        served.set_mode("suspended", scope=contract["amc"], reason="this AMC asked for it")
        for line in workers:
            for asked in (query, {**query, "amc": contract["amc"]}):
                answer = served.ask(asked, connection=line).json()["answer"]
                assert answer["status"] == "unknown"
                assert "amc_excluded" in answer["reasons"]
                assert set(answer["contracts"][0]) == {"amc", "amc_name", "status", "reasons"}
            assert served.ask(other, connection=line).json()["answer"]["status"] == "open"
        said = served.relais("mode", "set", "degraded", "--reason", "all clear").stdout
        assert f"still differs: {contract['amc']} suspended" in said
        served.relais("mode", "set", "degraded", "--all", "--reason", "all clear")
        for line in workers:
            assert served.ask(query, connection=line).json()["answer"]["status"] == "open"


def _open_with_another(site: Installation, amc: str) -> dict[str, Any]:
    """A question about somebody whose rights another AMC keeps open."""
    for row in site.rows():
        if row["amc"] != amc:
            person = {name: row[name] for name in ("nir", "birth_date", "birth_rank")}
            query = {"beneficiary": person, "amc": row["amc"]}
            if site.ask(query).json()["answer"]["status"] == "open":
                return query
    raise AssertionError("everybody's rights are of one AMC")


def test_a_suspension_ends_by_itself_in_every_worker(served: Installation):
    with lines(served) as workers:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=6)
        served.relais("mode", "set", "suspended", "--reason", "for a moment", "--until", until.isoformat())
        assert [served.ask(served.example("open"), connection=line).status for line in workers] == [503, 503]
        for line in workers:
            wait_until(
                lambda line=line: served.ask(served.example("open"), connection=line).status == 200,
                15,
                lambda: "a suspension outlives its end",
            )
        assert dt.datetime.now(dt.UTC) >= until
        answer = served.ask(served.example("open")).json()["answer"]
        assert answer["mode"] == "degraded"


def test_a_mode_that_cannot_be_is_refused_and_changes_nothing(served: Installation):
    refused = served.relais("mode", "set", "live", "--reason", "they say it is back", status=1)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert refused.stderr.startswith("relais: ")
    everywhere(served, 200)
