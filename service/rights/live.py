"""The decision on what the upstream said (docs/degraded_modes.md). Pure.

The upstream decides on live data, so its statuses stand. What we add is ours alone to say: an AMC that an order
excludes, a clock in doubt, and a closure that the snapshot knows from a later extract.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from service.rights.decide import Decision, Judged, in_sequence, judge_all, overall, undetermined
from service.rights.freshness import freshness
from service.rights.heard import Heard, Told
from service.rights.model import (
    Absence,
    Amc,
    Contract,
    Knowledge,
    OnUnknown,
    Query,
    SourceKind,
    Stance,
    StandIn,
    Status,
)
from service.rights.reasons import Reason

#: For an AMC the snapshot does not know: nothing is said in its place, and its answers age as an AMC's without wishes.
_NO_WISHES: Final = StandIn(
    allowed=False, renewal_grace_days=0, closed_trust_days=0, max_age_days=7, on_unknown=OnUnknown.CHECK_CARD
)


def decide_heard(
    heard: Heard,
    kind: SourceKind,
    record: tuple[Contract, ...] | Absence,
    query: Query,
    knowledge: Knowledge,
    stance: Stance,
    now: dt.datetime,
) -> Decision:
    """The decision on an answer of the upstream, of kind `upstream` or `cache`, beside the snapshot's record."""
    own = tuple(_own(kind, stance))
    closed = _closures(record, query, knowledge, stance, now)
    judged = [_judged(told, closed, knowledge, stance, now) for told in heard.contracts]
    shown = [one for one in judged if query.amc is None or one.contract.amc == query.amc]
    if not shown:
        reasons = heard.reasons if not judged else (Reason.BENEFICIARY_UNKNOWN,)
        if any(one.status is Status.OPEN for one in judged):
            reasons = (*reasons, Reason.OTHER_AMC_OPEN)
        return undetermined((*own, *(reasons or (Reason.BENEFICIARY_UNKNOWN,))))
    return overall(own, in_sequence(shown), query, kind)


def _own(kind: SourceKind, stance: Stance) -> list[Reason]:
    reasons = [Reason.UPSTREAM_ANSWER_KEPT] if kind is SourceKind.CACHE else []
    return [*reasons, Reason.CLOCK_SUSPECT] if stance.clock_suspect else reasons


def _closures(
    record: tuple[Contract, ...] | Absence, query: Query, knowledge: Knowledge, stance: Stance, now: dt.datetime
) -> dict[tuple[str, str], dt.datetime]:
    """The members whose every contract the snapshot says is closed, by AMC, and when that was extracted."""
    if isinstance(record, Absence):
        return {}
    judged = list(zip(record, judge_all(record, query, knowledge, stance, now), strict=True))
    # An earlier period that is over says nothing against the one that runs.
    running = {(one.amc, one.member) for one, verdict in judged if verdict[0] is not Status.CLOSED}
    return {
        (one.amc, one.member): knowledge.amcs[one.amc].extracted_at
        for one, _ in judged
        if (one.amc, one.member) not in running
    }


def _judged(
    told: Told, closed: dict[tuple[str, str], dt.datetime], knowledge: Knowledge, stance: Stance, now: dt.datetime
) -> Judged:
    contract = told.contract
    known = knowledge.amcs.get(contract.amc)
    extracted_at = told.extracted_at or now
    amc = Amc(
        number=contract.amc,
        name=told.amc_name,
        extracted_at=extracted_at,
        extract_date=extracted_at.date(),
        stand_in=_NO_WISHES if known is None else known.stand_in,
    )
    status, reasons = told.status, told.reasons
    if contract.amc in stance.excluded:
        status, reasons = Status.UNKNOWN, (Reason.AMC_EXCLUDED,)
    elif status is Status.CLOSED and stance.clock_suspect:
        status, reasons = Status.UNKNOWN, (Reason.CLOCK_SUSPECT,)
    elif status is Status.OPEN and _is_fresher(closed.get((contract.amc, contract.member)), told):
        reasons = (Reason.CLOSURE_CONTRADICTED, *reasons)
    age = freshness(extracted_at, now, amc.stand_in.max_age_days)
    return Judged(contract, amc, status, reasons, age, told.rates if status is Status.OPEN else None)


def _is_fresher(closure: dt.datetime | None, told: Told) -> bool:
    """Whether a closure was extracted after what the upstream rests on; without a date that is this instant."""
    return closure is not None and told.extracted_at is not None and closure > told.extracted_at
