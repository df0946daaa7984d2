from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
import pytest
from hypothesis import given

from service.rights.decide import decide
from service.rights.model import Contract, Knowledge, Mode, SourceKind, Stance
from service.rights.render import instant, render
from tests.unit.rights.rights_cases import (
    GUARANTEE,
    ONE,
    OTHER,
    TWO,
    amc,
    ask,
    at,
    contract,
    day,
    knowing,
    query,
    suspended,
)
from tests.unit.rights.test_decide_laws import World, worlds

HEAD = {"amc", "amc_name", "status", "reasons"}
CARD = HEAD | {
    "convention", "csr", "member", "payer_rank", "responsible", "valid_from", "valid_to", "card_valid_to", "domains",
    "extracted_at", "freshness",
}  # fmt: skip


def shown(*record: Contract, knowledge: Knowledge = knowing(), **changes: Any):  # noqa: B008  # immutable
    return render(ask(*record, knowledge=knowledge, **changes), knowledge)


def test_an_open_answer_field_by_field():
    known = knowing(amc(guarantee=GUARANTEE))
    assert shown(contract(card_valid_to=day(150)), knowledge=known, query=query(benefits=("PH2", "PH7"))) == {
        "status": "open",
        "advice": "apply",
        "degraded": True,
        "reasons": ["upstream_disabled", "benefit_not_listed"],
        "source": {
            "kind": "snapshot", "snapshot": 42, "extracted_at": "2024-02-01T03:00:00Z",
            "signed_at": "2024-02-01T15:00:00Z", "valid_until": "2024-02-08T15:00:00Z", "freshness": "aging",
        },
        "contracts": [
            {
                "amc": ONE, "amc_name": "Mutuelle 3", "convention": "RO", "csr": "CSR1", "member": "123",
                "payer_rank": 1, "responsible": True, "status": "open", "reasons": ["benefit_not_listed"],
                "valid_from": "2023-02-01", "valid_to": "2024-07-30", "card_valid_to": "2024-06-30",
                "domains": ["PHAR"], "extracted_at": "2024-02-01T03:00:00Z", "freshness": "aging", "rate_base": "TR",
                "rates": {"PH2": None, "PH7": 100},
                "guarantee": {"basis": "article 7", "until": "2024-03-31", "ceiling_cents": 20000},
            }
        ],
    }  # fmt: skip


def test_without_a_guarantee_the_field_is_left_out():
    (open_,) = shown(contract(valid_to=None))["contracts"]
    assert set(open_) == CARD | {"rate_base", "rates"}
    assert open_["valid_to"] is None
    assert open_["rates"] == {"PH7": 100, "PH4": 70}


def test_an_unknown_contract_shows_its_card_and_no_rates():
    (unknown,) = shown(contract(domains=("HOSP",)), knowledge=knowing(amc(guarantee=GUARANTEE)))["contracts"]
    assert set(unknown) == CARD


def test_an_excluded_amc_does_not_give_the_card_away():
    (excluded,) = shown(contract(), knowledge=knowing(amc(allowed=False)))["contracts"]
    assert excluded == {"amc": ONE, "amc_name": "Mutuelle 3", "status": "unknown", "reasons": ["amc_excluded"]}


def test_an_amc_the_source_does_not_know_has_no_name():
    answer = shown(contract(OTHER))
    assert answer["contracts"] == [{"amc": OTHER, "status": "unknown", "reasons": ["amc_not_covered"]}]
    assert answer["source"]["extracted_at"] is None
    assert answer["source"]["freshness"] is None


@pytest.mark.parametrize(
    ("changes", "closed_on"),
    [
        ({"closed_on": day(-3)}, "2024-01-29"),
        ({"valid_to": day(-40)}, "2023-12-24"),
        ({"suspended": (suspended(-3, 3),)}, None),
        ({"valid_from": day(30)}, None),
        ({"valid_from": day(30), "closed_on": day(40)}, None),
    ],
)
def test_a_closed_contract_shows_when_it_ended_and_no_card(changes: dict[str, Any], closed_on: str | None):
    (closed,) = shown(contract(**changes))["contracts"]
    assert set(closed) == HEAD | {"closed_on"}
    assert (closed["status"], closed["closed_on"]) == ("closed", closed_on)


def test_the_source_is_dated_by_the_oldest_extract_shown():
    known = knowing(amc(ONE, extracted=-10), amc(TWO, extracted=-1))
    record = [contract(TWO), contract(ONE, payer_rank=2)]
    assert shown(*record, knowledge=known)["source"]["extracted_at"] == "2024-01-22T03:00:00Z"
    only_two = shown(*record, knowledge=known, query=query(amc=TWO))["source"]
    assert (only_two["extracted_at"], only_two["freshness"]) == ("2024-01-31T03:00:00Z", "aging")
    expired = shown(*record, knowledge=known, now=at(8))["source"]
    assert (expired["extracted_at"], expired["freshness"]) == (None, None)


@pytest.mark.parametrize(("kind", "degraded"), [("upstream", False), ("cache", True), ("snapshot", True)])
def test_only_the_upstream_is_not_degraded(kind: str, *, degraded: bool):
    answer = shown(contract(), knowledge=knowing(kind=SourceKind(kind)), stance=Stance(Mode.LIVE))
    assert (answer["degraded"], answer["source"]["kind"]) == (degraded, kind)


def test_instants_are_utc_with_seconds():
    paris = dt.timezone(dt.timedelta(hours=2))
    assert instant(dt.datetime(2024, 7, 1, 1, 30, 0, 999999, tzinfo=paris)) == "2024-06-30T23:30:00Z"


def plain(value: object):
    """Nothing but JSON's own types, so that any encoder gives the same bytes."""
    if type(value) is dict:
        return all(type(key) is str and plain(inner) for key, inner in value.items())
    if type(value) is list:
        return all(map(plain, value))
    return value is None or type(value) in {str, int, bool}


@given(worlds)
def test_an_answer_is_plain_json_and_shows_no_more_than_its_status_allows(world: World):
    known = world[2]
    answer = render(decide(*world), known)
    assert plain(answer)
    assert orjson.loads(orjson.dumps(answer)) == answer
    for one in answer["contracts"]:
        assert ("rates" in one) == ("rate_base" in one) == (one["status"] == "open")
        assert ("member" in one) <= (one["status"] != "closed")
        assert ("closed_on" in one) == (one["status"] == "closed")
