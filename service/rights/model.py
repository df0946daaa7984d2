"""The nouns of a rights lookup. Pure.

Dates are civil dates in Europe/Paris; instants are aware datetimes in UTC. msgspec structs rather than
dataclasses, because several are built for every query and they cost a fifth as much.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Word(StrEnum):
    """A text of a closed list. Hashed as the text it is: Enum's own hash calls into Python at every lookup."""

    __hash__ = str.__hash__


class Status(Word):
    """What is known of a right. There is no fourth: what could not be determined is `unknown`."""

    OPEN = "open"
    UNKNOWN = "unknown"
    CLOSED = "closed"


class Advice(Word):
    """What to do at the counter."""

    APPLY = "apply"
    APPLY_UNGUARANTEED = "apply_unguaranteed"
    CHECK_CARD = "check_card"
    PATIENT_PAYS = "patient_pays"
    DO_NOT_APPLY = "do_not_apply"


class OnUnknown(Word):
    """What an AMC wants done while its contract's status is unknown."""

    CHECK_CARD = "check_card"
    PATIENT_PAYS = "patient_pays"


class Mode(Word):
    """How a query is answered (docs/degraded_modes.md)."""

    LIVE = "live"
    DEGRADED = "degraded"
    SUSPENDED = "suspended"


class SourceKind(Word):
    """What an answer rests on."""

    UPSTREAM = "upstream"
    CACHE = "cache"
    SNAPSHOT = "snapshot"


class Freshness(Word):
    """Age of an AMC's extract: ≤ 24 h, ≤ 72 h, ≤ the AMC's max_age_days, older."""

    FRESH = "fresh"
    AGING = "aging"
    STALE = "stale"
    EXPIRED = "expired"


class Absence(Word):
    """Why there is no record to decide on."""

    NO_RECORD = "no_record"
    UNREADABLE = "unreadable"
    NOT_SEARCHABLE = "not_searchable"


class Suspension(msgspec.Struct, frozen=True, array_like=True):
    """A period without rights inside a contract, both ends inclusive; `until` None has no known end."""

    since: dt.date
    until: dt.date | None


class Contract(msgspec.Struct, frozen=True):
    """One AMC contract of one beneficiary, as extracted by its AMC.

    `closed_on` is the first day without rights; `valid_to` the online end, `card_valid_to` the printed one.
    `domains` empty means all. `rates` are integer percent by benefit code, on `rate_base` `TR` (AMO share
    included) or `TM` (the patient's share).
    """

    amc: str
    member: str
    csr: str
    convention: str
    payer_rank: int
    valid_from: dt.date
    valid_to: dt.date | None
    card_valid_to: dt.date | None
    closed_on: dt.date | None
    suspended: tuple[Suspension, ...]
    responsible: bool
    domains: tuple[str, ...]
    rates: Mapping[str, int]
    rate_base: str


class Planted(tuple[Contract, ...]):
    """The contracts of somebody who does not exist, for whom nobody has a reason to ask. Answered like anyone's."""

    __slots__ = ()


class Guarantee(msgspec.Struct, frozen=True):
    """A payment guarantee an AMC's signed policy grants to stand-in answers. `until` inclusive, Europe/Paris."""

    basis: str
    until: dt.date | None = None
    ceiling_cents: int | None = None


class StandIn(msgspec.Struct, frozen=True):
    """What an AMC allows while we answer in its place (whole days; docs/degraded_modes.md)."""

    allowed: bool
    renewal_grace_days: int
    closed_trust_days: int
    max_age_days: int
    on_unknown: OnUnknown
    history_days: int = 0
    guarantee: Guarantee | None = None


class Amc(msgspec.Struct, frozen=True):
    """What a snapshot knows about one AMC: 10-digit number, name, instant and Paris date of its extract, policy."""

    number: str
    name: str
    extracted_at: dt.datetime
    extract_date: dt.date
    stand_in: StandIn


class Knowledge(msgspec.Struct, frozen=True):
    """What an answer can rest on: a source, its dates and its AMCs."""

    kind: SourceKind
    snapshot: int
    signed_at: dt.datetime
    valid_until: dt.datetime
    amcs: Mapping[str, Amc]
    out_of_scope: frozenset[str]


class Stance(msgspec.Struct, frozen=True):
    """How orders and the clock colour one answer.

    `mode` applies to this query and `mode_order` is the version of the order that set it; `excluded` are the AMC
    numbers suspended by an order; `pinned` while an order pins an earlier snapshot.
    """

    mode: Mode
    mode_order: int | None = None
    upstream_failed: bool = False
    excluded: frozenset[str] = frozenset()
    clock_suspect: bool = False
    pinned: bool = False


class Query(msgspec.Struct, frozen=True):
    """A normalised question. Either `nir` (13 characters) or `member` (with `amc`) identifies the insured.

    `birth_date` is text, compared as text (it may be lunar); `benefits` is sorted; `amc` (10 digits) keeps only
    that AMC's contracts, whichever shape named it.
    """

    birth_date: str
    birth_rank: int
    finess: str
    service_date: dt.date
    domain: str
    benefits: tuple[str, ...]
    nir: str | None = None
    member: str | None = None
    amc: str | None = None
