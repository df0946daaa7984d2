"""The part of an answer that a decision fills, as plain JSON values. Pure.

What is not to be shown is left out, never null: a closed or excluded contract does not give its card away.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any

from service.rights.decide import Decision, Judged
from service.rights.model import Advice, Contract, Freshness, Guarantee, Knowledge, SourceKind, Status
from service.rights.reasons import Reason

# An answer holds plain values; looking them up is cheaper than `.value`.
_TEXT = {
    member: member.value
    for kind in (Status, Advice, Reason, SourceKind, Freshness)
    for member in kind.__members__.values()
}
_OPEN, _CLOSED, _UPSTREAM = Status.OPEN, Status.CLOSED, SourceKind.UPSTREAM
_EXCLUDED = Reason.AMC_EXCLUDED


def render(decision: Decision, knowledge: Knowledge) -> dict[str, Any]:
    """status, advice, degraded, reasons, source and contracts of an answer."""
    return {
        "status": _TEXT[decision.status],
        "advice": _TEXT[decision.advice],
        "degraded": knowledge.kind is not _UPSTREAM,
        "reasons": [_TEXT[reason] for reason in decision.reasons],
        "source": _source(decision, knowledge),
        "contracts": [_contract(judged) for judged in decision.contracts],
    }


@functools.lru_cache(maxsize=4096)
def instant(value: dt.datetime) -> str:
    """An aware instant in RFC 3339, UTC, whole seconds. Cached: a source has few dates, and each answer shows them."""
    return f"{value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _source(decision: Decision, knowledge: Knowledge) -> dict[str, Any]:
    """What the answer rests on, dated by the oldest extract among the contracts shown."""
    oldest = _oldest(decision.contracts)
    return {
        "kind": _TEXT[knowledge.kind],
        "snapshot": knowledge.snapshot,
        "extracted_at": None if oldest is None or oldest.amc is None else instant(oldest.amc.extracted_at),
        "signed_at": instant(knowledge.signed_at),
        "valid_until": instant(knowledge.valid_until),
        "freshness": None if oldest is None or oldest.freshness is None else _TEXT[oldest.freshness],
    }


def _oldest(contracts: tuple[Judged, ...]) -> Judged | None:
    """The contract with the oldest extract; of two of one instant, the one that expires first."""
    if len(contracts) == 1:
        return contracts[0]
    dated = [
        (judged.amc.extracted_at, judged.amc.stand_in.max_age_days, position)
        for position, judged in enumerate(contracts)
        if judged.amc is not None
    ]
    return contracts[min(dated)[2]] if dated else None


def _contract(judged: Judged) -> dict[str, Any]:
    amc = judged.amc
    reasons = [_TEXT[reason] for reason in judged.reasons]
    head = {"amc": judged.contract.amc, "status": _TEXT[judged.status], "reasons": reasons}
    if amc is None:
        return head
    head["amc_name"] = amc.name
    if judged.status is _CLOSED:
        return {**head, "closed_on": _closed_on(judged)}
    if _EXCLUDED in judged.reasons or not judged.contract.member:  # the upstream may tell of one without its card
        return head
    card = _card(judged.contract)
    card.update(head)
    card["extracted_at"] = instant(amc.extracted_at)
    card["freshness"] = None if judged.freshness is None else _TEXT[judged.freshness]
    if judged.status is _OPEN:
        _add_cover(card, judged)
    return card


def _card(contract: Contract) -> dict[str, Any]:
    """What the card shows of a contract."""
    return {
        "convention": contract.convention,
        "csr": contract.csr,
        "member": contract.member,
        "payer_rank": contract.payer_rank,
        "responsible": contract.responsible,
        "valid_from": contract.valid_from.isoformat(),
        "valid_to": _date(contract.valid_to),
        "card_valid_to": _date(contract.card_valid_to),
        "domains": list(contract.domains),
    }


def _add_cover(card: dict[str, Any], judged: Judged) -> None:
    card["rate_base"] = judged.contract.rate_base
    card["rates"] = dict(judged.rates or {})
    if judged.guarantee is not None:
        card["guarantee"] = _guarantee(judged.guarantee)


def _guarantee(guarantee: Guarantee) -> dict[str, Any]:
    return {
        "basis": guarantee.basis,
        "until": _date(guarantee.until),
        "ceiling_cents": guarantee.ceiling_cents,
    }


def _closed_on(judged: Judged) -> str | None:
    """The first day without rights, where the contract's end closed it. The upstream tells that day itself."""
    contract, reasons = judged.contract, judged.reasons
    if Reason.LAPSED in reasons and contract.valid_to is not None:
        return (contract.valid_to + dt.timedelta(days=1)).isoformat()
    return _date(contract.closed_on) if Reason.TERMINATED in reasons or Reason.LAPSED in reasons else None


def _date(value: dt.date | None) -> str | None:
    return None if value is None else value.isoformat()
