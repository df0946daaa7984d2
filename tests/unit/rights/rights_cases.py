"""One person, one AMC, one day, all well: each test bends what it is about."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from service.rights.decide import Decision, decide
from service.rights.model import (
    Absence,
    Amc,
    Contract,
    Guarantee,
    Knowledge,
    Mode,
    OnUnknown,
    Query,
    SourceKind,
    Stance,
    StandIn,
    Status,
    Suspension,
)
from service.rights.reasons import Reason

Verdict = tuple[Status, tuple[Reason, ...]]

E = dt.date(2024, 2, 1)  # the extracts' date
EXTRACTED_AT = dt.datetime(2024, 2, 1, 3, tzinfo=dt.UTC)
ONE, TWO, OTHER = "0775671993", "0000000002", "0000000009"
GUARANTEE = Guarantee(basis="article 7", until=dt.date(2024, 3, 31), ceiling_cents=20000)
RULES = StandIn(
    allowed=True, renewal_grace_days=30, closed_trust_days=10, max_age_days=45, on_unknown=OnUnknown.CHECK_CARD
)
STANCE = Stance(mode=Mode.DEGRADED, mode_order=17)


def day(offset: int) -> dt.date:
    """A day, counted from the extract's."""
    return E + dt.timedelta(days=offset)


def at(days: float) -> dt.datetime:
    """An instant, counted in days of 24 hours from the extract."""
    return EXTRACTED_AT + dt.timedelta(days=days)


def amc(number: str = ONE, extracted: int = 0, **rules: Any) -> Amc:
    """An AMC whose extract is `extracted` days after the others'."""
    stand_in = msgspec.structs.replace(RULES, **rules)
    return Amc(number, f"Mutuelle {number[-1]}", at(extracted), day(extracted), stand_in)


def knowing(*amcs: Amc, **changes: Any) -> Knowledge:
    """A snapshot that covers these AMCs, `ONE` if none is given."""
    known = {known.number: known for known in amcs or (amc(),)}
    snapshot = Knowledge(SourceKind.SNAPSHOT, 42, at(0.5), at(7.5), known, frozenset({"0088888888"}))
    return msgspec.structs.replace(snapshot, **changes)


def contract(number: str = ONE, **changes: Any) -> Contract:
    """A contract open from a year before the extract to half a year after."""
    usual = Contract(
        amc=number, member="123", csr="CSR1", convention="RO", payer_rank=1, valid_from=day(-365), valid_to=day(180),
        card_valid_to=None, closed_on=None, suspended=(), responsible=True, domains=("PHAR",),
        rates={"PH7": 100, "PH4": 70}, rate_base="TR",
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def query(offset: int = 1, **changes: Any) -> Query:
    """A question about a day, counted from the extract's."""
    usual = Query("1985-05-12", 1, "750012346", day(offset), "PHAR", (), nir="1850575116001")
    return msgspec.structs.replace(usual, **changes)


def suspended(since: int, until: int | None) -> Suspension:
    """A suspension, its ends counted from the extract's day."""
    return Suspension(day(since), None if until is None else day(until))


def ask(
    *record: Contract,
    absence: Absence | None = None,
    query: Query = query(),  # noqa: B008  # immutable
    knowledge: Knowledge = knowing(),  # noqa: B008
    stance: Stance = STANCE,
    now: dt.datetime = at(1.2),  # noqa: B008
) -> Decision:
    """The decision."""
    return decide(record if absence is None else absence, query, knowledge, stance, now)


def verdict(decision: Decision) -> Verdict:
    """What was decided on the only contract."""
    (judged,) = decision.contracts
    return judged.status, judged.reasons
