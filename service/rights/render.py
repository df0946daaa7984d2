"""The part of an answer that a decision fills, as plain JSON values. Pure.

What is not to be shown is left out, never null: a closed or excluded contract does not give its card away.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any

from service.rights.decide import Decision, Judged
from service.rights.model import Amc, Contract, Guarantee, Knowledge, SourceKind, Status
from service.rights.reasons import Reason

# Enum members are text, but an answer holds nothing but plain values.
_REASON = {reason: reason.value for reason in Reason}
_STATUS = {status: status.value for status in Status}


def render(decision: Decision, knowledge: Knowledge) -> dict[str, Any]:
    """status, advice, degraded, reasons, source and contracts of an answer."""
    return {
        "status": _STATUS[decision.status],
        "advice": decision.advice.value,
        "degraded": knowledge.kind is not SourceKind.UPSTREAM,
        "reasons": [_REASON[reason] for reason in decision.reasons],
        "source": _source(decision, knowledge),
        "contracts": [_contract(judged) for judged in decision.contracts],
    }


@functools.lru_cache(maxsize=4096)
def instant(value: dt.datetime) -> str:
    """An aware instant in RFC 3339, UTC, whole seconds. Cached: a source has few dates, and each answer shows them."""
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _source(decision: Decision, knowledge: Knowledge) -> dict[str, Any]:
    """What the answer rests on, dated by the oldest extract among the contracts shown."""
    dated = [judged for judged in decision.contracts if judged.amc is not None]
    oldest = min(dated, key=_extract_age, default=None)
    return {
        "kind": knowledge.kind.value,
        "snapshot": knowledge.snapshot,
        "extracted_at": None if oldest is None or oldest.amc is None else instant(oldest.amc.extracted_at),
        "signed_at": instant(knowledge.signed_at),
        "valid_until": instant(knowledge.valid_until),
        "freshness": None if oldest is None or oldest.freshness is None else oldest.freshness.value,
    }


def _contract(judged: Judged) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "amc": judged.contract.amc,
        "status": _STATUS[judged.status],
        "reasons": [_REASON[reason] for reason in judged.reasons],
    }
    amc = judged.amc
    if amc is None:
        return shown
    shown["amc_name"] = amc.name
    if judged.status is Status.CLOSED:
        shown["closed_on"] = _closed_on(judged)
    elif Reason.AMC_EXCLUDED not in judged.reasons:
        _show_card(shown, judged, amc)
        if judged.status is Status.OPEN:
            _show_cover(shown, judged)
    return shown


def _show_card(shown: dict[str, Any], judged: Judged, amc: Amc) -> None:
    contract = judged.contract
    shown["convention"] = contract.convention
    shown["csr"] = contract.csr
    shown["member"] = contract.member
    shown["payer_rank"] = contract.payer_rank
    shown["responsible"] = contract.responsible
    shown["valid_from"] = contract.valid_from.isoformat()
    shown["valid_to"] = _date(contract.valid_to)
    shown["card_valid_to"] = _date(contract.card_valid_to)
    shown["domains"] = list(contract.domains)
    shown["extracted_at"] = instant(amc.extracted_at)
    shown["freshness"] = None if judged.freshness is None else judged.freshness.value


def _show_cover(shown: dict[str, Any], judged: Judged) -> None:
    shown["rate_base"] = judged.contract.rate_base
    shown["rates"] = dict(judged.rates or {})
    if judged.guarantee is not None:
        shown["guarantee"] = _guarantee(judged.guarantee)


def _guarantee(guarantee: Guarantee) -> dict[str, Any]:
    return {
        "basis": guarantee.basis,
        "until": _date(guarantee.until),
        "ceiling_cents": guarantee.ceiling_cents,
    }


def _closed_on(judged: Judged) -> str | None:
    """The first day without rights, where the contract's end closed it."""
    contract: Contract = judged.contract
    if Reason.TERMINATED in judged.reasons:
        return _date(contract.closed_on)
    if Reason.LAPSED in judged.reasons and contract.valid_to is not None:
        return (contract.valid_to + dt.timedelta(days=1)).isoformat()
    return None


def _extract_age(judged: Judged) -> tuple[dt.datetime, int]:
    """Oldest first; of two extracts of one instant the one that expires first."""
    if judged.amc is None:
        return dt.datetime.max.replace(tzinfo=dt.UTC), 0
    return judged.amc.extracted_at, judged.amc.stand_in.max_age_days


def _date(value: dt.date | None) -> str | None:
    return None if value is None else value.isoformat()
