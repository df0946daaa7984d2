"""What the upstream says stands, but for what is ours alone to say."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from service.rights.decide import Decision
from service.rights.heard import Heard, Told
from service.rights.live import decide_heard
from service.rights.model import (
    Absence,
    Advice,
    Contract,
    Freshness,
    Knowledge,
    Mode,
    OnUnknown,
    Query,
    SourceKind,
    Stance,
    Status,
)
from service.rights.reasons import Reason
from service.rights.render import render
from service.upstream.wire import parse_answer
from tests.unit.rights.rights_cases import ONE, OTHER, TWO, amc, at, contract, day, knowing, query, verdict
from tests.unit.upstream.answers import AMC, OF_AMC, QUERY, answer

OPEN, UNKNOWN, CLOSED = Status.OPEN, Status.UNKNOWN, Status.CLOSED
LIVE = Stance(Mode.LIVE, mode_order=3)
RATES = {"PH7": 100, "PH4": 70}
NOW = at(1.2)


def told(number: str = ONE, status: Status = OPEN, *reasons: Reason, **changes: Any) -> Told:
    """One contract as the upstream tells it, an hour ago."""
    known = {"extracted_at": NOW - dt.timedelta(hours=1), "rates": RATES if status is OPEN else None, **changes}
    of_contract = {
        name: known.pop(name) for name in list(known) if name in Contract.__struct_fields__ and name != "rates"
    }
    return Told(contract(number, **of_contract), f"Mutuelle {number[-1]}", status, reasons, **known)


def hear(
    *contracts: Told,
    kind: SourceKind = SourceKind.UPSTREAM,
    record: tuple[Contract, ...] | Absence = Absence.NO_RECORD,
    query: Query = query(),  # noqa: B008  # immutable
    knowledge: Knowledge = knowing(amc(ONE), amc(TWO)),  # noqa: B008
    stance: Stance = LIVE,
    reasons: tuple[Reason, ...] = (),
) -> Decision:
    status = contracts[0].status if contracts else UNKNOWN
    return decide_heard(Heard(status, reasons, contracts), kind, record, query, knowledge, stance, NOW)


def test_an_open_contract_is_applied_and_needs_no_reason():
    decision = hear(told())
    assert (decision.status, decision.advice, decision.reasons) == (OPEN, Advice.APPLY, ())
    assert decision.contracts[0].rates == RATES
    assert decision.contracts[0].freshness is Freshness.FRESH


def test_what_the_stand_in_table_would_say_does_not_matter():
    never = knowing(amc(ONE, allowed=False, max_age_days=0))
    ended = told(valid_to=day(-300), extracted_at=at(-100))
    assert hear(ended, knowledge=never, record=(contract(),)).status is OPEN


def test_a_kept_answer_says_that_it_was_kept_and_is_not_guaranteed():
    decision = hear(told(), kind=SourceKind.CACHE)
    assert (decision.advice, decision.reasons) == (Advice.APPLY_UNGUARANTEED, (Reason.UPSTREAM_ANSWER_KEPT,))


def test_nobody_known_is_what_the_upstream_says_it_is():
    assert hear(reasons=(Reason.BENEFICIARY_UNKNOWN,)).reasons == (Reason.BENEFICIARY_UNKNOWN,)
    assert hear().reasons == (Reason.BENEFICIARY_UNKNOWN,)
    assert hear(reasons=(Reason.AMC_OUT_OF_SCOPE,), query=query(amc=OTHER)).reasons == (Reason.AMC_OUT_OF_SCOPE,)


def test_only_the_amc_asked_for_is_shown():
    decision = hear(told(TWO), query=query(amc=ONE))
    assert (decision.status, decision.contracts) == (UNKNOWN, ())
    assert decision.reasons == (Reason.BENEFICIARY_UNKNOWN, Reason.OTHER_AMC_OPEN)


def test_a_closed_contract_closes_only_the_amc_asked_for():
    closed = told(ONE, CLOSED, Reason.TERMINATED, closed_on=day(0))
    assert hear(closed, query=query(amc=ONE)).status is CLOSED
    assert hear(closed).reasons == (Reason.OTHER_COVER_POSSIBLE, Reason.TERMINATED)


def test_an_excluded_amc_is_excluded_whatever_the_upstream_says():
    stance = msgspec.structs.replace(LIVE, excluded=frozenset({ONE}))
    decision = hear(told(ONE), told(TWO), stance=stance)
    assert [(one.contract.amc, one.status, one.reasons) for one in decision.contracts] == [
        (TWO, OPEN, ()),
        (ONE, UNKNOWN, (Reason.AMC_EXCLUDED,)),
    ]
    shown = render(decision, knowing(kind=SourceKind.UPSTREAM))["contracts"][1]
    assert set(shown) == {"amc", "amc_name", "status", "reasons"}


@pytest.mark.parametrize("reason", [Reason.AMC_NOT_COVERED, Reason.RECORD_UNREADABLE, Reason.AMC_EXCLUDED])
def test_what_was_told_without_its_card_is_shown_without_one(reason: Reason):
    shown = {"amc": ONE, "status": "unknown", "reasons": [reason.value]}
    heard = parse_answer(answer(QUERY, shown, status="unknown"), QUERY)
    known = knowing(amc(ONE), kind=SourceKind.UPSTREAM)
    decision = decide_heard(heard, SourceKind.UPSTREAM, Absence.NO_RECORD, QUERY, known, LIVE, NOW)
    assert render(decision, known)["contracts"] == [{**shown, "amc_name": ""}]


@pytest.mark.parametrize("reason", [Reason.TERMINATED, Reason.LAPSED])
def test_the_first_day_without_rights_is_the_one_that_was_told(reason: Reason):
    shown = {"amc": AMC, "amc_name": "M", "status": "closed", "reasons": [reason.value], "closed_on": "2024-01-31"}
    heard = parse_answer(answer(OF_AMC, shown, status="closed"), OF_AMC)
    known = knowing(amc(AMC), kind=SourceKind.UPSTREAM)
    decision = decide_heard(heard, SourceKind.UPSTREAM, Absence.NO_RECORD, OF_AMC, known, LIVE, NOW)
    assert render(decision, known)["contracts"] == [shown]


def test_a_clock_in_doubt_closes_nothing():
    stance = msgspec.structs.replace(LIVE, clock_suspect=True)
    decision = hear(told(ONE, CLOSED, Reason.TERMINATED, closed_on=day(0)), query=query(amc=ONE), stance=stance)
    assert verdict(decision) == (UNKNOWN, (Reason.CLOCK_SUSPECT,))


@pytest.mark.parametrize(
    ("extracted_at", "record", "contradicted"),
    [
        (at(-1), (contract(closed_on=day(0)),), True),
        (at(-1), (contract(closed_on=day(0), member="999"),), False),  # another contract of the same AMC
        (at(-1), (contract(TWO, closed_on=day(0)),), False),
        (at(-1), (contract(),), False),
        # An earlier period of the same member, and the one that runs: open, or not to be judged.
        (at(-1), (contract(valid_to=day(-20), closed_on=day(-19)), contract(valid_from=day(-19))), False),
        (at(-1), (contract(closed_on=day(0), valid_to=day(-1)), contract(valid_from=day(0), domains=("LABO",))), False),
        (at(-1), (contract(closed_on=day(-19)), contract(valid_from=day(-19), closed_on=day(0))), True),
        (at(-1), Absence.UNREADABLE, False),
        (at(0.5), (contract(closed_on=day(0)),), False),  # the upstream knows better
        (None, (contract(closed_on=day(0)),), False),  # what has no date is of this instant
    ],
)
def test_a_fresher_closure_is_told_and_the_card_decides(
    extracted_at: dt.datetime | None, record: Any, *, contradicted: bool
):
    decision = hear(told(extracted_at=extracted_at), record=record)
    assert decision.status is OPEN
    assert (decision.advice is Advice.CHECK_CARD) is contradicted
    assert (decision.reasons == (Reason.CLOSURE_CONTRADICTED,)) is contradicted


def test_an_unknown_contract_is_treated_as_its_amc_wishes():
    wishes = knowing(amc(ONE, on_unknown=OnUnknown.PATIENT_PAYS))
    unknown = told(ONE, UNKNOWN, Reason.DOMAIN_NOT_LISTED)
    assert hear(unknown, knowledge=wishes).advice is Advice.PATIENT_PAYS
    assert hear(told(OTHER, UNKNOWN), knowledge=wishes).advice is Advice.CHECK_CARD


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("reason", Reason)
def test_whatever_reason_the_upstream_gives_there_are_words_for_the_counter(status: Status, reason: Reason):
    assert hear(told(ONE, status, reason)).counter_text
    assert hear(reasons=(reason,)).counter_text


def test_an_answer_of_the_upstream_is_dated_by_its_own_extract():
    source = render(hear(told()), knowing(kind=SourceKind.UPSTREAM))["source"]
    assert (source["kind"], source["extracted_at"], source["freshness"]) == (
        "upstream",
        "2024-02-02T06:48:00Z",
        "fresh",
    )
