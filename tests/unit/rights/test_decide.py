from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from service.rights.decide import Decision, is_expired
from service.rights.model import Absence, Advice, Mode, OnUnknown, SourceKind, Stance, Status
from service.rights.reasons import Reason
from tests.unit.rights.rights_cases import (
    GUARANTEE,
    ONE,
    OTHER,
    STANCE,
    TWO,
    amc,
    ask,
    at,
    contract,
    day,
    knowing,
    query,
    verdict,
)

OPEN, UNKNOWN, CLOSED = Status.OPEN, Status.UNKNOWN, Status.CLOSED
BOTH = knowing(amc(ONE), amc(TWO))
PATIENT_PAYS = {"on_unknown": OnUnknown.PATIENT_PAYS}
ENDED = {"closed_on": day(-3)}
ENDING = {"valid_to": day(0)}  # presumed renewed on the day after the extract
DISABLED = Reason.UPSTREAM_DISABLED


def of(decision: Decision):
    """Status and reasons of each contract shown."""
    return [(judged.contract.amc, judged.status, judged.reasons) for judged in decision.contracts]


# Row 1 and other obstacles to any judgement


@pytest.mark.parametrize(("now", "expired"), [(at(7.5), False), (at(7.5001), True)])
def test_an_expired_snapshot_answers_unknown_and_shows_no_contract(now: dt.datetime, *, expired: bool):
    decision = ask(contract(), query=query(7), now=now)
    assert is_expired(knowing(), now) is expired
    assert (decision.status is UNKNOWN) is expired
    assert (decision.contracts == ()) is expired
    assert (Reason.SNAPSHOT_EXPIRED in decision.reasons) is expired


def test_expiry_goes_before_what_the_snapshot_says_of_the_amc():
    decision = ask(absence=Absence.NO_RECORD, query=query(amc=OTHER), now=at(8))
    assert decision.reasons == (DISABLED, Reason.SNAPSHOT_EXPIRED)


def test_a_fictitious_number_follows_no_amcs_wish():
    known = knowing(amc(**PATIENT_PAYS))
    decision = ask(absence=Absence.NOT_SEARCHABLE, query=query(amc=ONE), knowledge=known)
    assert (decision.status, decision.advice) == (UNKNOWN, Advice.CHECK_CARD)
    assert decision.reasons == (DISABLED, Reason.IDENTITY_NOT_SEARCHABLE)
    assert ask(absence=Absence.NOT_SEARCHABLE, now=at(8)).reasons == (DISABLED, Reason.IDENTITY_NOT_SEARCHABLE)


@pytest.mark.parametrize("record", [(), (contract(),)])
@pytest.mark.parametrize(
    ("number", "reason"), [("0088888888", Reason.AMC_OUT_OF_SCOPE), (OTHER, Reason.AMC_NOT_COVERED)]
)
def test_an_amc_we_know_nothing_of_is_no_reason_to_doubt_the_person(record: Any, number: str | None, reason: Reason):
    decision = ask(*record, query=query(amc=number))
    assert (decision.status, decision.advice, decision.contracts) == (UNKNOWN, Advice.CHECK_CARD, ())
    assert decision.reasons == (DISABLED, reason)


def test_a_record_that_cannot_be_opened_is_unknown():
    decision = ask(absence=Absence.UNREADABLE)
    assert (decision.status, decision.advice) == (UNKNOWN, Advice.CHECK_CARD)
    assert decision.reasons == (DISABLED, Reason.RECORD_UNREADABLE)


@pytest.mark.parametrize("number", [None, ONE])
def test_absence_is_never_a_no(number: str | None):
    for decision in (ask(absence=Absence.NO_RECORD, query=query(amc=number)), ask(query=query(amc=number))):
        assert decision.status is UNKNOWN
        assert decision.reasons == (DISABLED, Reason.BENEFICIARY_UNKNOWN)
        assert "date de naissance" in decision.counter_text


def test_nothing_at_the_amc_asked_for_but_something_elsewhere():
    decision = ask(contract(TWO), query=query(amc=ONE), knowledge=BOTH)
    assert (decision.status, decision.contracts) == (UNKNOWN, ())
    assert decision.reasons == (DISABLED, Reason.BENEFICIARY_UNKNOWN, Reason.OTHER_AMC_OPEN)
    closed = ask(contract(TWO, **ENDED), query=query(amc=ONE), knowledge=BOTH)
    assert closed.reasons == (DISABLED, Reason.BENEFICIARY_UNKNOWN)


def test_a_contract_of_an_amc_the_source_does_not_know_is_unknown():
    decision = ask(contract(OTHER, **ENDED))
    assert of(decision) == [(OTHER, UNKNOWN, (Reason.AMC_NOT_COVERED,))]
    assert decision.advice is Advice.CHECK_CARD


# Rules across the contracts of a record


def test_no_renewal_is_presumed_after_a_change_of_insurer():
    decision = ask(contract(**ENDING), contract(TWO, valid_from=day(1)), knowledge=BOTH)
    assert of(decision) == [(TWO, OPEN, ()), (ONE, UNKNOWN, (Reason.RENEWAL_UNKNOWN,))]


@pytest.mark.parametrize("changes", [{"valid_from": day(0)}, {"valid_from": day(1), **ENDED}, {"valid_from": day(2)}])
def test_a_renewal_stays_presumed_beside_a_contract_that_is_no_successor(changes: dict[str, Any]):
    decision = ask(contract(**ENDING), contract(TWO, **changes), knowledge=BOTH)
    assert (ONE, OPEN, (Reason.PRESUMED_RENEWED,)) in of(decision)


def test_a_renewal_presumed_itself_is_no_successor():
    younger = contract(TWO, valid_from=day(1), valid_to=day(1))
    decision = ask(contract(**ENDING), younger, query=query(2), knowledge=BOTH)
    assert [judged.reasons for judged in decision.contracts] == [(Reason.PRESUMED_RENEWED,)] * 2


def test_a_change_of_insurer_is_seen_although_the_other_amc_was_not_asked_for():
    decision = ask(contract(**ENDING), contract(TWO, valid_from=day(1)), query=query(amc=ONE), knowledge=BOTH)
    assert of(decision) == [(ONE, UNKNOWN, (Reason.RENEWAL_UNKNOWN,))]


def test_twins_the_key_cannot_tell_apart_are_both_unknown():
    decision = ask(contract(), contract(**ENDED), query=query(amc=ONE))
    assert of(decision) == [(ONE, UNKNOWN, (Reason.IDENTITY_AMBIGUOUS,))] * 2
    assert decision.status is UNKNOWN


def test_all_pairs_of_twins_are_judged_at_once():
    third = contract(domains=("HOSP",), csr="CSR3")  # unknown, like the others only after they were judged
    decision = ask(contract(), contract(**ENDED), third)
    assert [judged.reasons for judged in decision.contracts] == [(Reason.IDENTITY_AMBIGUOUS,)] * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"payer_rank": 2},
        {"member": "124"},
        {"valid_to": day(-4), "closed_on": day(-4)},  # ended the day before the other began
        {"valid_from": day(-2)},  # closed before it began: no period at all
    ],
)
def test_contracts_that_can_be_told_apart_keep_their_status(changes: dict[str, Any]):
    decision = ask(contract(valid_from=day(-4)), contract(**{**ENDED, **changes}), query=query(amc=ONE))
    assert sorted(judged.status for judged in decision.contracts) == [CLOSED, OPEN]


def test_twins_meet_on_one_common_day():
    decision = ask(contract(valid_from=day(-4)), contract(**ENDED), query=query(amc=ONE))
    assert of(decision) == [(ONE, UNKNOWN, (Reason.IDENTITY_AMBIGUOUS,))] * 2


def test_the_same_status_is_no_ambiguity():
    assert ask(contract(), contract(csr="CSR2")).status is OPEN


def test_twins_are_judged_after_the_change_of_insurer():
    # The presumed renewal has become unknown, like its twin: nothing to tell apart any more.
    twin = contract(**ENDING, domains=("HOSP",))
    decision = ask(contract(**ENDING), twin, contract(TWO, valid_from=day(1)), knowledge=BOTH)
    assert {judged.reasons for judged in decision.contracts} == {
        (), (Reason.RENEWAL_UNKNOWN,), (Reason.DOMAIN_NOT_LISTED,)
    }  # fmt: skip


def test_a_suspect_clock_never_closes():
    stance = msgspec.structs.replace(STANCE, clock_suspect=True)
    decision = ask(contract(**ENDED), query=query(amc=ONE), stance=stance)
    assert verdict(decision) == (UNKNOWN, (Reason.CLOCK_SUSPECT,))
    assert decision.reasons == (DISABLED, Reason.CLOCK_SUSPECT)
    assert ask(contract(), stance=stance).status is OPEN


# The whole answer


def test_closed_only_for_the_amc_asked_for():
    assert ask(contract(**ENDED), query=query(amc=ONE)).status is CLOSED
    decision = ask(contract(**ENDED))
    assert (decision.status, verdict(decision)[0]) == (UNKNOWN, CLOSED)
    assert decision.reasons == (DISABLED, Reason.OTHER_COVER_POSSIBLE, Reason.TERMINATED)


def test_any_unknown_contract_keeps_the_answer_from_closed():
    decision = ask(contract(**ENDED), contract(domains=("HOSP",), payer_rank=2), query=query(amc=ONE))
    assert decision.status is UNKNOWN
    assert [judged.status for judged in decision.contracts] == [UNKNOWN, CLOSED]


def test_first_payer_not_open():
    second = contract(TWO, payer_rank=2)
    decision = ask(contract(**ENDED), second, knowledge=BOTH)
    assert (decision.status, decision.advice) == (OPEN, Advice.CHECK_CARD)
    assert Reason.FIRST_PAYER_NOT_OPEN in decision.reasons
    assert Reason.FIRST_PAYER_NOT_OPEN not in ask(contract(), second, knowledge=BOTH).reasons
    # Only the contracts of the AMC asked for are there to pay.
    assert (
        Reason.FIRST_PAYER_NOT_OPEN not in ask(contract(**ENDED), second, query=query(amc=TWO), knowledge=BOTH).reasons
    )


def test_contracts_are_sorted_by_status_payer_amc_and_member():
    record = [
        contract(**ENDED), contract(TWO, payer_rank=2, member="B"), contract(TWO, payer_rank=2, member="A"),
        contract(payer_rank=2), contract(domains=("HOSP",), payer_rank=3),
    ]  # fmt: skip
    decision = ask(*record, knowledge=BOTH)
    seen = [(j.status, j.contract.payer_rank, j.contract.amc, j.contract.member) for j in decision.contracts]
    assert seen == [
        (OPEN, 2, TWO, "A"), (OPEN, 2, TWO, "B"), (OPEN, 2, ONE, "123"),
        (UNKNOWN, 3, ONE, "123"), (CLOSED, 1, ONE, "123"),
    ]  # fmt: skip


# Advice


def test_advice_on_open():
    assert ask(contract()).advice is Advice.APPLY_UNGUARANTEED
    assert ask(contract(), knowledge=knowing(amc(guarantee=GUARANTEE))).advice is Advice.APPLY
    assert ask(contract(), knowledge=knowing(kind=SourceKind.UPSTREAM)).advice is Advice.APPLY
    assert ask(contract(), knowledge=knowing(kind=SourceKind.CACHE)).advice is Advice.APPLY_UNGUARANTEED


def test_a_guarantee_of_one_payer_does_not_cover_the_other():
    known = knowing(amc(ONE, guarantee=GUARANTEE), amc(TWO))
    assert ask(contract(), contract(TWO, payer_rank=2), knowledge=known).advice is Advice.APPLY_UNGUARANTEED
    assert ask(contract(), contract(TWO, payer_rank=2, **ENDED), knowledge=known).advice is Advice.APPLY


@pytest.mark.parametrize(("offset", "granted"), [(59, True), (60, False)])
def test_a_guarantee_covers_service_dates_to_its_last_day(offset: int, *, granted: bool):
    known = knowing(amc(guarantee=GUARANTEE, max_age_days=90), valid_until=at(100))
    decision = ask(contract(), query=query(offset), knowledge=known, now=at(offset))
    assert (decision.contracts[0].guarantee == GUARANTEE) is granted
    assert (decision.advice is Advice.APPLY) is granted


def test_advice_on_closed():
    assert ask(contract(**ENDED), query=query(amc=ONE)).advice is Advice.DO_NOT_APPLY


@pytest.mark.parametrize(
    ("wish", "advice"), [(OnUnknown.CHECK_CARD, Advice.CHECK_CARD), (OnUnknown.PATIENT_PAYS, Advice.PATIENT_PAYS)]
)
def test_advice_on_unknown_is_the_amcs(wish: OnUnknown, advice: Advice):
    known = knowing(amc(on_unknown=wish))
    assert ask(contract(domains=("HOSP",)), knowledge=known).advice is advice
    assert (
        ask(
            contract(domains=("HOSP",)), contract(TWO, **ENDED), knowledge=knowing(amc(on_unknown=wish), amc(TWO))
        ).advice
        is advice
    )


@pytest.mark.parametrize("number", [None, ONE])
def test_without_an_unknown_contract_nobody_is_told_to_pay(number: str | None):
    known = knowing(amc(**PATIENT_PAYS))
    assert ask(query=query(amc=number), knowledge=known).advice is Advice.CHECK_CARD
    assert ask(absence=Absence.UNREADABLE, query=query(amc=number), knowledge=known).advice is Advice.CHECK_CARD
    assert ask(contract(), query=query(amc=number), knowledge=known, now=at(8)).advice is Advice.CHECK_CARD
    assert ask(contract(**ENDED), knowledge=known).advice is Advice.CHECK_CARD


def test_advice_on_unknown_where_no_amc_or_no_one_wish_is_known():
    alike = knowing(amc(ONE, **PATIENT_PAYS), amc(TWO, **PATIENT_PAYS))
    differing = knowing(amc(ONE, **PATIENT_PAYS), amc(TWO))
    record = [contract(domains=("HOSP",)), contract(TWO, domains=("HOSP",))]
    assert ask(knowledge=alike).advice is Advice.CHECK_CARD
    assert ask(*record, knowledge=alike).advice is Advice.PATIENT_PAYS
    assert ask(*record, knowledge=differing).advice is Advice.CHECK_CARD


# Reasons of mode and source


@pytest.mark.parametrize(
    ("stance", "reasons"),
    [
        (Stance(Mode.DEGRADED), (Reason.UPSTREAM_DISABLED,)),
        (Stance(Mode.SUSPENDED, upstream_failed=True), ()),
        (Stance(Mode.LIVE, upstream_failed=True), (Reason.UPSTREAM_UNAVAILABLE,)),
        (Stance(Mode.LIVE), ()),
        (Stance(Mode.DEGRADED, pinned=True), (Reason.UPSTREAM_DISABLED, Reason.SNAPSHOT_PINNED)),
        (Stance(Mode.DEGRADED, clock_suspect=True), (Reason.UPSTREAM_DISABLED, Reason.CLOCK_SUSPECT)),
    ],
)
def test_an_answer_says_why_it_is_not_the_upstreams(stance: Stance, reasons: tuple[Reason, ...]):
    assert ask(contract(), stance=stance).reasons == reasons


def test_an_answer_of_the_upstream_owes_no_excuse():
    upstream = knowing(kind=SourceKind.UPSTREAM)
    assert ask(contract(), knowledge=upstream, stance=Stance(Mode.LIVE, pinned=True)).reasons == ()


def test_reasons_of_contracts_are_said_once():
    decision = ask(contract(domains=("HOSP",)), contract(domains=("HOSP",), csr="CSR2"))
    assert decision.reasons == (DISABLED, Reason.DOMAIN_NOT_LISTED)


# Benefits


def test_only_the_benefits_asked_for_are_shown():
    (judged,) = ask(contract(), query=query(benefits=("PH2", "PH7"))).contracts
    assert judged.rates == {"PH2": None, "PH7": 100}
    assert judged.reasons == (Reason.BENEFIT_NOT_LISTED,)
    (judged,) = ask(contract()).contracts
    assert judged.rates == {"PH7": 100, "PH4": 70}


def test_a_missing_benefit_leaves_the_rights_open():
    decision = ask(contract(**ENDING), query=query(benefits=("PH2",)))
    assert decision.status is OPEN
    assert verdict(decision)[1] == (Reason.PRESUMED_RENEWED, Reason.BENEFIT_NOT_LISTED)
    assert decision.counter_text.startswith("Droits complémentaires présumés renouvelés.")
    assert ask(contract(), query=query(benefits=("PH2",))).counter_text.startswith("Droits complémentaires ouverts.")


def test_benefits_are_no_matter_where_no_rates_are_shown():
    assert verdict(ask(contract(**ENDED), query=query(benefits=("PH2",)))) == (CLOSED, (Reason.TERMINATED,))
