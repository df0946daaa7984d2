from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any

import pytest

from service.rights.decide import decide
from service.rights.model import (
    Absence,
    Amc,
    Contract,
    Knowledge,
    Mode,
    OnUnknown,
    Query,
    SourceKind,
    Stance,
    StandIn,
    Suspension,
)
from service.rights.reasons import Reason, in_order
from service.rights.render import render
from stubs import truth
from stubs.insurers import INSURERS
from stubs.population import Population, Row

TODAY = dt.date(2024, 2, 5)
#: An extract of that very day, trusted for ever, of an AMC that grants no grace: nothing is left to presume.
TRUSTED = StandIn(True, 0, 99_999, 99_999, OnUnknown.CHECK_CARD, 99_999)
OPEN_ROW: Row = {
    "nir": "185057511600159", "birth_date": "1985-05-12", "birth_rank": 1, "amc": "0990000011", "member": "EX000001",
    "csr": "EXA100", "convention": "RO", "payer_rank": 1, "valid_from": "2023-01-01", "valid_to": "2024-12-31",
    "card_valid_to": None, "closed_on": None, "suspended": [], "responsible": True, "domains": [],
    "rates": {"PH7": 100, "PH4": 70}, "rate_base": "TR",
}  # fmt: skip


def find(*rows: Row, day: str = "2024-02-05", amc: str | None = None, benefits: tuple[str, ...] = ()) -> truth.Finding:
    return truth.find(rows, day, "PHAR", amc, benefits)


def contract(row: Row) -> Contract:
    days = {
        name: None if row[name] is None else dt.date.fromisoformat(row[name])
        for name in ("valid_from", "valid_to", "card_valid_to", "closed_on")
    }
    gaps = tuple(
        Suspension(dt.date.fromisoformat(since), None if until is None else dt.date.fromisoformat(until))
        for since, until in row["suspended"]
    )
    same = {name: row[name] for name in ("amc", "member", "csr", "convention", "payer_rank", "responsible", "rates")}
    return Contract(**same, **days, suspended=gaps, domains=tuple(row["domains"]), rate_base=row["rate_base"])  # type: ignore[arg-type]


def knowledge(day: dt.date) -> Knowledge:
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    amcs = {insurer.number: Amc(insurer.number, insurer.name, noon, day, TRUSTED) for insurer in INSURERS}
    return Knowledge(SourceKind.UPSTREAM, 1, noon, noon + dt.timedelta(days=1), amcs, frozenset())


def without(contracts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    added = ("amc_name", "extracted_at", "freshness")
    return [{name: value for name, value in one.items() if name not in added} for one in contracts]


@pytest.mark.parametrize("offset", [-40, -1, 0, 1, 30])
@pytest.mark.parametrize("benefits", [(), ("HD1", "PH7")])
def test_it_is_what_the_service_decides_on_data_of_the_day_where_nothing_is_presumed(
    offset: int, benefits: tuple[str, ...]
):
    day = TODAY + dt.timedelta(offset)
    people: dict[str, list[Row]] = defaultdict(list)
    for row in Population(1500, 7, TODAY).rows():
        people[row["nir"] + row["birth_date"] + str(row["birth_rank"])].append(row)
    known = knowledge(day)
    compared = set()
    for number, rows in enumerate(people.values()):
        amc = (None, rows[0]["amc"], "0990000022")[number % 3]
        query = Query(rows[0]["birth_date"], 1, "750012346", day, "PHAR", benefits, nir=rows[0]["nir"][:13], amc=amc)
        if len({(row["amc"], row["member"], row["payer_rank"]) for row in rows}) < len(rows):
            continue  # perhaps two people: the service then calls both unknown
        decision = decide(tuple(map(contract, rows)), query, known, Stance(Mode.LIVE), known.signed_at)
        found = truth.find(rows, day.isoformat(), "PHAR", amc, benefits)
        told = render(decision, known)
        assert (found.status, found.advice, found.reasons) == (told["status"], told["advice"], told["reasons"])
        assert found.contracts == without(told["contracts"])
        assert found.counter_text == decision.counter_text
        compared |= {found.status, *found.reasons}
    assert compared >= {"open", "closed", "unknown", "terminated", "rights_suspended", "lapsed", "domain_not_listed"}


def test_a_number_that_stands_for_nobody_is_told_as_the_service_tells_it():
    query = Query("2000-01-01", 1, "750012346", TODAY, "PHAR", (), nir="2555555123030")
    told = decide(Absence.NOT_SEARCHABLE, query, knowledge(TODAY), Stance(Mode.LIVE), knowledge(TODAY).signed_at)
    found = truth.nobody()
    assert (found.status, found.advice, tuple(found.reasons)) == (told.status, told.advice, told.reasons)
    assert found.counter_text == told.counter_text


def test_reasons_stand_in_the_order_of_the_closed_list():
    assert tuple(map(Reason, truth.REASONS)) == in_order(tuple(map(Reason, truth.REASONS)))


def test_two_people_behind_one_key_are_both_shown_as_they_are():
    found = find(OPEN_ROW, {**OPEN_ROW, "closed_on": "2024-01-01"})
    assert [one["status"] for one in found.contracts] == ["open", "closed"]
    assert found.status == "open"


def test_a_suspension_goes_on_until_somebody_ends_it():
    assert find({**OPEN_ROW, "suspended": [["2024-01-01", None]]}, amc="0990000011").reasons == ["rights_suspended"]
    assert find({**OPEN_ROW, "suspended": [["2024-01-01", "2024-02-04"]]}).status == "open"


def test_a_contract_past_its_end_is_over_the_next_day():
    found = find(OPEN_ROW, day="2025-01-01", amc="0990000011")
    assert (found.status, found.contracts[0]["closed_on"]) == ("closed", "2025-01-01")
    assert find(OPEN_ROW, day="2024-12-31").status == "open"
