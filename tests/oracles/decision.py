"""The decided part of an answer (docs/degraded_modes.md) worked out a second time.

Plain JSON in, plain JSON out: `answer` gives status, advice, degraded, reasons, source and contracts as the caller
would see them. It shares no line and no type with service.rights.
"""

from __future__ import annotations

import datetime as dt

from tests.oracles.table import Json, Judged, date, days, instant, settle, whole_days

ORDER = ["open", "unknown", "closed"]
CARD_BLOCK = ["amc", "convention", "csr", "member", "payer_rank", "responsible"]
PERIOD = ["valid_from", "valid_to", "card_valid_to", "domains"]
REASONS = (
    "upstream_disabled",
    "upstream_unavailable",
    "snapshot_pinned",
    "clock_suspect",
    "snapshot_expired",
    "amc_excluded",
    "too_old",
    "terminated",
    "suspension_may_have_ended",
    "rights_suspended",
    "not_started",
    "history_not_kept",
    "closed_untrusted",
    "domain_not_listed",
    "lapsed",
    "presumed_renewed",
    "renewal_unknown",
    "identity_ambiguous",
    "other_cover_possible",
    "beneficiary_unknown",
    "other_amc_open",
    "amc_not_covered",
    "amc_out_of_scope",
    "identity_not_searchable",
    "record_unreadable",
    "first_payer_not_open",
    "benefit_not_listed",
)


# --- the answer ----------------------------------------------------------------------------------------------------


def why_nothing_is_shown(record: list[Json] | str, judged: list[Judged], query: Json, knowledge: Json) -> list[str]:
    amc = query["amc"]
    if record == "not_searchable":
        return ["identity_not_searchable"]
    if amc in knowledge["out_of_scope"]:
        return ["amc_out_of_scope"]
    if amc is not None and amc not in knowledge["amcs"]:
        return ["amc_not_covered"]
    if record == "unreadable":
        return ["record_unreadable"]
    if any(one.status == "open" for one in judged):
        return ["beneficiary_unknown", "other_amc_open"]
    return ["beneficiary_unknown"]


def overall_of(shown: list[Judged], query: Json) -> tuple[str, list[str]]:
    statuses = [one.status for one in shown]
    if "open" in statuses:
        first_rank = min(one.contract["payer_rank"] for one in shown)
        first_payers = [one.status for one in shown if one.contract["payer_rank"] == first_rank]
        return "open", [] if "open" in first_payers else ["first_payer_not_open"]
    if "unknown" in statuses:
        return "unknown", []
    if query["amc"] is not None:
        return "closed", []
    return "unknown", ["other_cover_possible"]


def guarantee_of(one: Judged, query: Json, knowledge: Json) -> Json | None:
    """What the AMC's policy grants to an open contract on the service date."""
    granted: Json | None = knowledge["amcs"][one.contract["amc"]]["stand_in"]["guarantee"]
    if one.status != "open" or granted is None:
        return None
    if granted["until"] is not None and date(query["service_date"]) > date(granted["until"]):
        return None
    return granted


def advice_of(status: str, overall: list[str], shown: list[Judged], query: Json, knowledge: Json) -> str:
    if "first_payer_not_open" in overall:
        return "check_card"
    if status == "closed":
        return "do_not_apply"
    if status == "open":
        promises = [guarantee_of(one, query, knowledge) for one in shown if one.status == "open"]
        # `apply` promises to be paid: every open contract must keep the promise.
        safe = knowledge["kind"] == "upstream" or None not in promises
        return "apply" if safe else "apply_unguaranteed"
    unknowns = [one.contract["amc"] for one in shown if one.status == "unknown"]
    wishes = {knowledge["amcs"][amc]["stand_in"]["on_unknown"] for amc in unknowns}
    return str(wishes.pop()) if len(wishes) == 1 else "check_card"


def mode_and_source_reasons(stance: Json) -> list[str]:
    reasons = []
    if stance["mode"] == "degraded":
        reasons.append("upstream_disabled")
    if stance["mode"] == "live" and stance["upstream_failed"]:
        reasons.append("upstream_unavailable")
    if stance["pinned"]:
        reasons.append("snapshot_pinned")
    if stance["clock_suspect"]:
        reasons.append("clock_suspect")
    return reasons


def answer(record: list[Json] | str, query: Json, knowledge: Json, stance: Json, now: str) -> Json:
    """The decided part of an `answer`; `record` is a list of contracts, or why there is none."""
    shown: list[Judged] = []
    # A number that may not be looked up is that whatever the snapshot's age.
    if instant(now) > instant(knowledge["valid_until"]) and record != "not_searchable":  # row 1
        status, overall = "unknown", ["snapshot_expired"]
    else:
        judged = [] if isinstance(record, str) else settle(record, query, knowledge, stance, now)
        shown = [one for one in judged if query["amc"] in (None, one.contract["amc"])]
        if shown:
            status, overall = overall_of(shown, query)
        else:
            status, overall = "unknown", why_nothing_is_shown(record, judged, query, knowledge)
    shown.sort(key=place)
    contracts = [show(one, query, knowledge, now) for one in shown]
    reasons = mode_and_source_reasons(stance) + overall
    for contract in contracts:
        reasons += contract["reasons"]
    return {
        "status": status,
        "advice": advice_of(status, overall, shown, query, knowledge),
        "degraded": knowledge["kind"] != "upstream",
        "reasons": sorted(set(reasons)),
        "source": source_of(shown, knowledge, now),
        "contracts": contracts,
    }


def place(one: Judged) -> tuple[int, int, str, str]:
    return ORDER.index(one.status), one.contract["payer_rank"], one.contract["amc"], one.contract["member"]


# --- what is shown -------------------------------------------------------------------------------------------------


def freshness_of(amc: Json, now: str) -> str:
    age = instant(now) - instant(amc["extracted_at"])
    if age <= dt.timedelta(hours=24):
        return "fresh"
    if age <= dt.timedelta(hours=72):
        return "aging"
    if whole_days(amc["extracted_at"], now) <= amc["stand_in"]["max_age_days"]:
        return "stale"
    return "expired"


def source_of(shown: list[Judged], knowledge: Json, now: str) -> Json:
    """The source, as old as the oldest extract behind what is shown."""
    amcs = [knowledge["amcs"][one.contract["amc"]] for one in shown]
    oldest = min((amc["extracted_at"] for amc in amcs), key=instant, default=None)
    labels = [freshness_of(amc, now) for amc in amcs if amc["extracted_at"] == oldest]
    worst_last = ["fresh", "aging", "stale", "expired"]
    return {
        "kind": knowledge["kind"],
        "snapshot": knowledge["snapshot"],
        "extracted_at": oldest,
        "signed_at": knowledge["signed_at"],
        "valid_until": knowledge["valid_until"],
        "freshness": max(labels, key=worst_last.index, default=None),
    }


def first_day_without_rights(one: Judged) -> str | None:
    if one.reasons == ["terminated"]:
        return str(one.contract["closed_on"])
    if one.reasons == ["lapsed"]:
        return (date(one.contract["valid_to"]) + days(1)).isoformat()
    return None


def rates_of(contract: Json, query: Json) -> dict[str, int | None]:
    if not query["benefits"]:
        return dict(contract["rates"])
    return {benefit: contract["rates"].get(benefit) for benefit in query["benefits"]}


def show(one: Judged, query: Json, knowledge: Json, now: str) -> Json:
    """One contract as the caller sees it: the less is open, the less is told."""
    contract = one.contract
    amc = knowledge["amcs"][contract["amc"]]
    told = {"amc": contract["amc"], "amc_name": amc["name"], "status": one.status, "reasons": sorted(one.reasons)}
    if one.status == "closed":
        return told | {"closed_on": first_day_without_rights(one)}
    if "amc_excluded" in one.reasons:
        return told
    told |= {key: contract[key] for key in CARD_BLOCK + PERIOD}
    told |= {"extracted_at": amc["extracted_at"], "freshness": freshness_of(amc, now)}
    if one.status == "open":
        told |= {"rate_base": contract["rate_base"], "rates": rates_of(contract, query)}
        if None in told["rates"].values():
            told["reasons"] = sorted([*one.reasons, "benefit_not_listed"])
        granted = guarantee_of(one, query, knowledge)
        if granted is not None:
            told["guarantee"] = granted
    return told
