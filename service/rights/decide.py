"""The decision: what is known of somebody's rights, why, and what to do at the counter. Pure.

docs/degraded_modes.md explains every rule. The one that settles doubts: never a wrong "no".
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Mapping, Sequence

import msgspec

from service.rights import table
from service.rights.counter import counter_text
from service.rights.freshness import age_days, freshness
from service.rights.model import (
    Absence,
    Advice,
    Amc,
    Contract,
    Freshness,
    Guarantee,
    Knowledge,
    Mode,
    OnUnknown,
    Query,
    SourceKind,
    Stance,
    Status,
)
from service.rights.reasons import Reason, in_order
from service.rights.table import Verdict


class Judged(msgspec.Struct, frozen=True, gc=False):
    """A contract with what was decided on it.

    `amc` and `freshness` are None where the source does not know the contract's AMC. `rates` are those to show,
    None unless open; a benefit asked for that the contract does not list has the rate None.
    """

    contract: Contract
    amc: Amc | None
    status: Status
    reasons: tuple[Reason, ...]
    freshness: Freshness | None
    rates: Mapping[str, int | None] | None = None
    guarantee: Guarantee | None = None


class Decision(msgspec.Struct, frozen=True, gc=False):
    """An answer's substance: feeds the answer, the journal and the console alike. `contracts` are those shown."""

    status: Status
    advice: Advice
    reasons: tuple[Reason, ...]
    contracts: tuple[Judged, ...]
    counter_text: str


# Bound once: reading a member of an enum costs as much as a call.
_OPEN, _UNKNOWN, _CLOSED = Status.OPEN, Status.UNKNOWN, Status.CLOSED
_UPSTREAM = SourceKind.UPSTREAM

_AMBIGUOUS: Verdict = (Status.UNKNOWN, Reason.IDENTITY_AMBIGUOUS)
_CLOCK_SUSPECT: Verdict = (Status.UNKNOWN, Reason.CLOCK_SUSPECT)
_POSITION = {Status.OPEN: 0, Status.UNKNOWN: 1, Status.CLOSED: 2}
_ON_UNKNOWN = {OnUnknown.CHECK_CARD: Advice.CHECK_CARD, OnUnknown.PATIENT_PAYS: Advice.PATIENT_PAYS}
#: Open, and yet to be compared with the card.
_TO_BE_CHECKED = frozenset({Reason.FIRST_PAYER_NOT_OPEN, Reason.CLOSURE_CONTRADICTED})
_FOR_EVER = dt.date.max.toordinal() + 1
_canonical = msgspec.msgpack.Encoder(order="deterministic")


def is_expired(knowledge: Knowledge, now: dt.datetime) -> bool:
    """Whether row 1 decides: nothing is looked up then, and no contract is shown."""
    return now > knowledge.valid_until


def decide(
    record: tuple[Contract, ...] | Absence, query: Query, knowledge: Knowledge, stance: Stance, now: dt.datetime
) -> Decision:
    """The decision on a record, or on its absence. The order of the record's contracts makes no difference."""
    own = _mode_and_source(knowledge.kind, stance.mode, stance.upstream_failed, stance.pinned, stance.clock_suspect)
    obstacle = _obstacle(record, query, knowledge, now)
    if obstacle:
        return undetermined((*own, obstacle))
    contracts = () if isinstance(record, Absence) else record
    verdicts = judge_all(contracts, query, knowledge, stance, now)
    shown = [
        _judged(contract, verdict, query, knowledge, now)
        for contract, verdict in zip(contracts, verdicts, strict=True)
        if query.amc is None or contract.amc == query.amc
    ]
    if not shown:
        other_open = any(verdict[0] is _OPEN for verdict in verdicts)
        absent = (Reason.BENEFICIARY_UNKNOWN, Reason.OTHER_AMC_OPEN) if other_open else (Reason.BENEFICIARY_UNKNOWN,)
        return undetermined((*own, *absent))
    return overall(own, in_sequence(shown), query, knowledge.kind)


@functools.cache  # a few dozen combinations, and every answer asks
def _mode_and_source(
    kind: SourceKind,
    mode: Mode,
    upstream_failed: bool,  # noqa: FBT001 - a cache sees positions only
    pinned: bool,  # noqa: FBT001
    clock_suspect: bool,  # noqa: FBT001
) -> tuple[Reason, ...]:
    reasons = []
    if kind is not _UPSTREAM:
        if mode is Mode.DEGRADED:
            reasons.append(Reason.UPSTREAM_DISABLED)
        elif mode is Mode.LIVE and upstream_failed:
            reasons.append(Reason.UPSTREAM_UNAVAILABLE)
        if pinned:
            reasons.append(Reason.SNAPSHOT_PINNED)
    if clock_suspect:
        reasons.append(Reason.CLOCK_SUSPECT)
    return tuple(reasons)


def _obstacle(
    record: tuple[Contract, ...] | Absence, query: Query, knowledge: Knowledge, now: dt.datetime
) -> Reason | None:
    """What keeps us from judging any contract: the number, the snapshot, the AMC asked for, the record."""
    if record is Absence.NOT_SEARCHABLE:
        return Reason.IDENTITY_NOT_SEARCHABLE
    if is_expired(knowledge, now):  # row 1
        return Reason.SNAPSHOT_EXPIRED
    if query.amc is not None:
        if query.amc in knowledge.out_of_scope:
            return Reason.AMC_OUT_OF_SCOPE
        if query.amc not in knowledge.amcs:
            return Reason.AMC_NOT_COVERED
    return Reason.RECORD_UNREADABLE if record is Absence.UNREADABLE else None


def undetermined(reasons: tuple[Reason, ...]) -> Decision:
    """Unknown without a contract to show, so without an AMC whose wish could be followed. The last reason is main."""
    advice = Advice.CHECK_CARD
    return Decision(_UNKNOWN, advice, in_order(reasons), (), counter_text(_UNKNOWN, reasons[-1], advice))


def judge_all(
    contracts: Sequence[Contract], query: Query, knowledge: Knowledge, stance: Stance, now: dt.datetime
) -> list[Verdict]:
    """The table for each contract, then the rules across all contracts of the record, whichever AMC was asked for."""
    verdicts = [_by_table(contract, query, knowledge, stance, now) for contract in contracts]
    if len(contracts) > 1:
        verdicts = _tell_twins(contracts, _notice_change_of_insurer(contracts, verdicts))
    if stance.clock_suspect:
        verdicts = [_CLOCK_SUSPECT if verdict[0] is _CLOSED else verdict for verdict in verdicts]
    return verdicts


def _by_table(contract: Contract, query: Query, knowledge: Knowledge, stance: Stance, now: dt.datetime) -> Verdict:
    amc = knowledge.amcs.get(contract.amc)
    if amc is None:
        return table.AMC_NOT_COVERED
    return table.judge(contract, amc, query, age_days(amc.extracted_at, now), stance.excluded)


def _notice_change_of_insurer(contracts: Sequence[Contract], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """No renewal is presumed where another contract, open by row 8, began after this one's end."""
    began = [c.valid_from for c, verdict in zip(contracts, verdicts, strict=True) if verdict is table.OPEN]
    latest = max(began, default=dt.date.min)
    return [
        table.RENEWAL_UNKNOWN
        if verdict is table.PRESUMED_RENEWED and contract.valid_to is not None and latest > contract.valid_to
        else verdict
        for contract, verdict in zip(contracts, verdicts, strict=True)
    ]


def _tell_twins(contracts: Sequence[Contract], verdicts: list[Verdict]) -> list[Verdict]:
    """Both unknown where two people may stand behind one key. All pairs are judged on the verdicts as they came in."""
    told = list(verdicts)
    for (i, one), (j, other) in itertools.combinations(enumerate(contracts), 2):
        if verdicts[i][0] is not verdicts[j][0] and _indistinguishable(one, other):
            told[i] = told[j] = _AMBIGUOUS
    return told


def _indistinguishable(one: Contract, other: Contract) -> bool:
    return (
        one.amc == other.amc
        and one.member == other.member
        and one.payer_rank == other.payer_rank
        and max(one.valid_from, other.valid_from).toordinal() <= min(_last_day(one), _last_day(other))
    )


def _last_day(contract: Contract) -> int:
    """The earlier of the online end and the day before the closing, as an ordinal."""
    end = _FOR_EVER if contract.valid_to is None else contract.valid_to.toordinal()
    return end if contract.closed_on is None else min(end, contract.closed_on.toordinal() - 1)


def _judged(contract: Contract, verdict: Verdict, query: Query, knowledge: Knowledge, now: dt.datetime) -> Judged:
    status, reason = verdict
    reasons = () if reason is None else (reason,)
    amc = knowledge.amcs.get(contract.amc)
    if amc is None:
        return Judged(contract, None, status, reasons, None)
    age = freshness(amc.extracted_at, now, amc.stand_in.max_age_days)
    if status is not _OPEN:
        return Judged(contract, amc, status, reasons, age)
    rates: Mapping[str, int | None] = contract.rates
    if query.benefits:
        rates = {benefit: contract.rates.get(benefit) for benefit in query.benefits}
        if None in rates.values():
            reasons = (*reasons, Reason.BENEFIT_NOT_LISTED)
    return Judged(contract, amc, status, reasons, age, rates, _guarantee(amc, query.service_date))


def _guarantee(amc: Amc, day: dt.date) -> Guarantee | None:
    """The guarantee the AMC grants for a service date. Its end is inclusive."""
    granted = amc.stand_in.guarantee
    return None if granted is None or (granted.until is not None and day > granted.until) else granted


def in_sequence(shown: list[Judged]) -> list[Judged]:
    """Contracts in the order an answer shows them, sorted in place."""
    if len(shown) > 1:
        shown.sort(key=_sort_key)
    return shown


def _sort_key(judged: Judged) -> tuple[int, int, str, str, bytes]:
    """Open, unknown, closed, then payer rank, AMC, member; the content last, so that no order is left to chance."""
    contract = judged.contract
    position = _POSITION[judged.status]
    return position, contract.payer_rank, contract.amc, contract.member, _canonical.encode(contract)


def overall(own: tuple[Reason, ...], shown: list[Judged], query: Query, kind: SourceKind) -> Decision:
    """Any open → open; else any unknown → unknown; else closed, but only for the AMC asked for."""
    first = shown[0]
    status, main = first.status, first.reasons[0] if first.reasons else None
    reasons = [*own]
    for judged in shown:
        reasons += judged.reasons
    if status is _OPEN:
        main = Reason.FIRST_PAYER_NOT_OPEN if _first_payer_missing(shown) else _unless_benefit(main)
    elif status is _CLOSED and query.amc is None:
        status, main = _UNKNOWN, Reason.OTHER_COVER_POSSIBLE
    if main is not None:
        reasons.append(main)
    advice = _advice(status, main, shown, kind)
    return Decision(status, advice, in_order(reasons), tuple(shown), counter_text(status, main, advice))


def _first_payer_missing(shown: list[Judged]) -> bool:
    """Whether a contract pays before all open ones. The first is open, with the lowest rank among those."""
    lowest = shown[0].contract.payer_rank
    return len(shown) > 1 and any(judged.contract.payer_rank < lowest for judged in shown)


def _unless_benefit(main: Reason | None) -> Reason | None:
    """A benefit without a rate says nothing about the rights."""
    return None if main is Reason.BENEFIT_NOT_LISTED else main


def _advice(status: Status, main: Reason | None, shown: list[Judged], kind: SourceKind) -> Advice:
    if main in _TO_BE_CHECKED:
        return Advice.CHECK_CARD
    if status is _CLOSED:
        return Advice.DO_NOT_APPLY
    if status is _OPEN:
        return Advice.APPLY if kind is _UPSTREAM or _guaranteed(shown) else Advice.APPLY_UNGUARANTEED
    # An AMC says what to do about its own unknown contract, not where a closed one may have a successor elsewhere.
    undecided = [judged.amc for judged in shown if judged.status is _UNKNOWN]
    wishes = {None if amc is None else amc.stand_in.on_unknown for amc in undecided}
    wish = wishes.pop() if len(wishes) == 1 else None
    return Advice.CHECK_CARD if wish is None else _ON_UNKNOWN[wish]


def _guaranteed(shown: list[Judged]) -> bool:
    """Whether every open contract is guaranteed: the advice must hold whichever of them is invoiced."""
    return None not in [judged.guarantee for judged in shown if judged.status is _OPEN]
