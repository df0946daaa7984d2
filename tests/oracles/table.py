"""The decision table (docs/degraded_modes.md) read a second time: plain, slow, one function a row.

It takes and gives what travels as JSON: contracts as in a source row, dates as ISO texts, instants as RFC 3339
texts. It shares no line and no type with service.rights, so that a slip has to be made twice to pass.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Json = dict[str, Any]
PARIS = ZoneInfo("Europe/Paris")
ENDED_CONTRACTS_KEPT_DAYS = 60


class Judged(NamedTuple):
    """A contract, the row of the table that decided on it, and what came out."""

    contract: Json
    row: str
    status: str
    reasons: list[str]


class Case(NamedTuple):
    """One contract before the table: d = service date, e = date of the extract, a = age in whole days."""

    contract: Json
    d: dt.date
    e: dt.date
    a: int
    policy: Json
    domain: str
    excluded: bool


Outcome = tuple[str, str, list[str]] | None


def date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def paris_date(text: str) -> dt.date:
    return instant(text).astimezone(PARIS).date()


def days(count: int) -> dt.timedelta:
    return dt.timedelta(days=count)


def whole_days(extracted_at: str, now: str) -> int:
    return (instant(now) - instant(extracted_at)) // days(1)


# --- the table, one contract ---------------------------------------------------------------------------------------


def closed_if_trusted(case: Case, row: str, reason: str, kept_days: int) -> Outcome:
    """A closed needs a day the extract still speaks about, and an extract young enough for days after it."""
    if case.d < case.e - days(kept_days):
        return row, "unknown", ["history_not_kept"]
    if case.d > case.e and case.a > case.policy["closed_trust_days"]:
        return row, "unknown", ["closed_untrusted"]
    return row, "closed", [reason]


def row_2(case: Case) -> Outcome:
    if not case.policy["allowed"] or case.excluded:
        return "2", "unknown", ["amc_excluded"]
    return None


def row_3(case: Case) -> Outcome:
    if case.a > case.policy["max_age_days"]:
        return "3", "unknown", ["too_old"]
    return None


def row_4(case: Case) -> Outcome:
    closed_on = case.contract["closed_on"]
    if closed_on is not None and date(closed_on) <= case.d:
        return closed_if_trusted(case, "4", "terminated", ENDED_CONTRACTS_KEPT_DAYS)
    return None


def suspensions_around(case: Case) -> list[list[str | None]]:
    around = []
    for since, until in case.contract["suspended"]:
        if date(since) <= case.d and (until is None or case.d <= date(until)):
            around.append([since, until])
    return around


def row_5a(case: Case) -> Outcome:
    for _, until in suspensions_around(case):
        if until is None and case.d > case.e:
            return "5a", "unknown", ["suspension_may_have_ended"]
    return None


def row_5b(case: Case) -> Outcome:
    if suspensions_around(case):
        return closed_if_trusted(case, "5b", "rights_suspended", ENDED_CONTRACTS_KEPT_DAYS)
    return None


def row_6(case: Case) -> Outcome:
    if case.d < date(case.contract["valid_from"]):
        return closed_if_trusted(case, "6", "not_started", case.policy["history_days"])
    return None


def row_7(case: Case) -> Outcome:
    domains = case.contract["domains"]
    if domains and case.domain not in domains:
        return "7", "unknown", ["domain_not_listed"]
    return None


def row_8(case: Case) -> Outcome:
    valid_to = case.contract["valid_to"]
    if valid_to is None or case.d <= date(valid_to):
        return "8", "open", []
    return None


def row_9(case: Case) -> Outcome:
    if date(case.contract["valid_to"]) + days(case.policy["renewal_grace_days"]) < case.e:
        return closed_if_trusted(case, "9", "lapsed", ENDED_CONTRACTS_KEPT_DAYS)
    return None


def row_10(case: Case) -> Outcome:
    valid_to = date(case.contract["valid_to"])
    printed = case.contract["card_valid_to"]
    ended_before_the_printed_end = printed is not None and date(printed) > valid_to
    within_grace = case.d <= valid_to + days(case.policy["renewal_grace_days"])
    if valid_to >= case.e and within_grace and not ended_before_the_printed_end:
        return "10", "open", ["presumed_renewed"]
    return None


def row_11(_: Case) -> Outcome:
    return "11", "unknown", ["renewal_unknown"]


# Row 1 is decided before there is any contract: see decision.answer.
TABLE = [row_2, row_3, row_4, row_5a, row_5b, row_6, row_7, row_8, row_9, row_10, row_11]


def judge(contract: Json, query: Json, knowledge: Json, stance: Json, now: str) -> Judged:
    """The first row that applies."""
    amc = knowledge["amcs"][contract["amc"]]
    case = Case(
        contract=contract,
        d=date(query["service_date"]),
        e=paris_date(amc["extracted_at"]),
        a=whole_days(amc["extracted_at"], now),
        policy=amc["stand_in"],
        domain=query["domain"],
        excluded=contract["amc"] in stance["excluded"],
    )
    for row in TABLE:
        outcome = row(case)
        if outcome is not None:
            return Judged(contract, *outcome)
    raise AssertionError("row 11 always applies")


# --- across the contracts of one record ----------------------------------------------------------------------------


def insurer_changed(judged: list[Judged]) -> list[Judged]:
    """No renewal is presumed of a contract when another, truly open, began after its end."""
    settled = []
    for one in judged:
        successors = [
            other
            for other in judged
            if other is not one
            and other.row == "8"
            and one.contract["valid_to"] is not None
            and date(other.contract["valid_from"]) > date(one.contract["valid_to"])
        ]
        if one.reasons == ["presumed_renewed"] and successors:
            settled.append(Judged(one.contract, one.row, "unknown", ["renewal_unknown"]))
        else:
            settled.append(one)
    return settled


def last_day(contract: Json) -> dt.date:
    ends = [dt.date.max]
    if contract["valid_to"] is not None:
        ends.append(date(contract["valid_to"]))
    if contract["closed_on"] is not None:
        ends.append(date(contract["closed_on"]) - days(1))
    return min(ends)


def overlap(one: Json, other: Json) -> bool:
    begins = max(date(one["valid_from"]), date(other["valid_from"]))
    ends = min(last_day(one), last_day(other))
    return begins <= ends


def are_twins(one: Judged, other: Judged) -> bool:
    same_key = all(one.contract[key] == other.contract[key] for key in ("amc", "member", "payer_rank"))
    return same_key and overlap(one.contract, other.contract) and one.status != other.status


def twins_told_apart_by_nothing(judged: list[Judged]) -> list[Judged]:
    """Every pair is judged on the statuses given, so that no pair hides another."""
    settled = []
    for one in judged:
        if any(are_twins(one, other) for other in judged if other is not one):
            settled.append(Judged(one.contract, one.row, "unknown", ["identity_ambiguous"]))
        else:
            settled.append(one)
    return settled


def no_closed_by_a_suspect_clock(judged: list[Judged]) -> list[Judged]:
    return [
        Judged(one.contract, one.row, "unknown", ["clock_suspect"]) if one.status == "closed" else one for one in judged
    ]


def settle(contracts: list[Json], query: Json, knowledge: Json, stance: Json, now: str) -> list[Judged]:
    """All contracts of the record, whichever AMC was asked for."""
    judged = [judge(contract, query, knowledge, stance, now) for contract in contracts]
    judged = insurer_changed(judged)
    judged = twins_told_apart_by_nothing(judged)
    if stance["clock_suspect"]:
        judged = no_closed_by_a_suspect_clock(judged)
    return judged
