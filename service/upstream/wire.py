"""What the upstream is sent, and what it may say. Pure; docs/http.md describes both for our own rights API.

An answer is taken only if it is complete, of the expected types and ranges, does not contradict itself, and proves by
`asked` that it answers this very question: an answer about somebody else is worse than none. What it says beyond that
is ignored, so that the upstream may add members.
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.base64url import b64u, b64u_decode
from service.errors import InvalidField, SignatureRejected, UpstreamMalformed
from service.identifiers import is_fictitious, parse_amc, parse_member
from service.rights.heard import Heard, Told
from service.rights.model import Contract, Query, Status
from service.rights.question import normalised
from service.rights.reasons import Reason, in_order
from service.strictjson import canonical, parse_strict

#: Nobody has more contracts; more of them is not an answer about one person.
MAX_CONTRACTS: Final = 64
_OPENING_BYTES: Final = 16
_CODE: Final = re.compile(r"[0-9A-Za-z_./-]{1,20}", re.ASCII)
_CONVENTION: Final = re.compile(r"[0-9A-Za-z]{0,2}", re.ASCII)
#: What the upstream's own source is like says nothing about ours.
_OF_THE_SOURCE: Final = frozenset(
    {
        Reason.UPSTREAM_DISABLED,
        Reason.UPSTREAM_UNAVAILABLE,
        Reason.UPSTREAM_ANSWER_KEPT,
        Reason.SNAPSHOT_PINNED,
        Reason.CLOCK_SUSPECT,
    }
)
_REASONS: Final = {reason.value: reason for reason in Reason if reason not in _OF_THE_SOURCE}

_Text = Annotated[str, Meta(max_length=20)]
_Words = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=64)]
_Instant = Annotated[dt.datetime, Meta(tz=True)]
_Percent = Annotated[int, Meta(ge=0, le=1000)]


class _Contract(msgspec.Struct, frozen=True, tag_field="status"):
    """What is shown of every contract."""

    amc: _Text
    reasons: _Words
    amc_name: Annotated[str, Meta(max_length=128)] = ""


class _Card(_Contract, frozen=True):
    """And what the card shows of one that is not closed; an excluded one shows nothing of it."""

    convention: _Text | UnsetType = UNSET
    csr: Annotated[str, Meta(max_length=9)] | UnsetType = UNSET
    member: Annotated[str, Meta(min_length=1, max_length=20)] | UnsetType = UNSET
    payer_rank: Annotated[int, Meta(ge=1, le=99)] | UnsetType = UNSET
    responsible: bool | UnsetType = UNSET
    valid_from: dt.date | UnsetType = UNSET
    valid_to: dt.date | UnsetType | None = UNSET
    card_valid_to: dt.date | UnsetType | None = UNSET
    domains: Annotated[list[_Text], Meta(max_length=64)] | UnsetType = UNSET
    extracted_at: _Instant | None = None


class _Open(_Card, frozen=True, tag="open", kw_only=True):
    rate_base: Literal["TR", "TM"]
    rates: Annotated[dict[_Text, _Percent | None], Meta(max_length=256)]


class _Unknown(_Card, frozen=True, tag="unknown"):
    """A contract that cannot be judged."""


class _Closed(_Contract, frozen=True, tag="closed", kw_only=True):
    closed_on: dt.date | None


class _Source(msgspec.Struct, frozen=True):
    extracted_at: _Instant | None
    valid_until: _Instant | None


class _Answer(msgspec.Struct, frozen=True):
    asked: Annotated[str, Meta(max_length=64)]
    service_date: dt.date
    status: Status
    reasons: _Words
    source: _Source
    contracts: Annotated[list[_Open | _Unknown | _Closed], Meta(max_length=MAX_CONTRACTS)]


class _Envelope(msgspec.Struct, frozen=True):
    answer: _Answer
    opening: Annotated[str, Meta(max_length=64)]


_CARD: Final = ("convention", "csr", "member", "payer_rank", "responsible", "valid_from", "valid_to", "card_valid_to")


def question_bytes(query: Query) -> bytes:
    """The body of `POST /v1/rights` for a query, defaults written out, so that they are ours.

    Raises `InvalidField` for a fictitious NIR: it stands for nobody and is sent nowhere.
    """
    if query.nir is not None and is_fictitious(query.nir):
        raise InvalidField("a fictitious NIR is not sent")
    person: dict[str, Any] = {"birth_date": query.birth_date, "birth_rank": query.birth_rank}
    if query.nir is not None:
        person["nir"] = query.nir
    else:
        person["amc"], person["member"] = query.amc, query.member
    body = {
        "beneficiary": person,
        "service_date": query.service_date.isoformat(),
        "domain": query.domain,
        "benefits": query.benefits,
        "finess": query.finess,
    }
    return canonical(body if query.amc is None else {**body, "amc": query.amc})


def parse_answer(body: bytes, query: Query) -> Heard:
    """What the upstream says about a query. Raises `UpstreamMalformed`; no text of it quotes what was received."""
    envelope = _parse(body)
    answer = envelope.answer
    _check_question(answer, envelope.opening, query)
    _check_consistency(answer, query)
    extracted_at, valid_until = _utc(answer.source.extracted_at), _utc(answer.source.valid_until)
    try:
        told = tuple(_told(contract, extracted_at, query) for contract in answer.contracts)
    except InvalidField:
        raise UpstreamMalformed("a member is malformed") from None
    return Heard(status=answer.status, reasons=_known(answer.reasons), contracts=told, valid_until=valid_until)


def _parse(body: bytes) -> _Envelope:
    try:
        return msgspec.convert(parse_strict(body), _Envelope)
    except msgspec.ValidationError:
        raise UpstreamMalformed("a member is missing, of the wrong type or out of range") from None
    except ValueError:
        raise UpstreamMalformed("not one JSON text in UTF-8 with distinct keys") from None


def _check_question(answer: _Answer, opening: str, query: Query) -> None:
    """That it answers this question, this day included. Whoever answers about somebody else cannot know `asked`."""
    try:
        key = b64u_decode(opening)
    except SignatureRejected:
        raise UpstreamMalformed("the opening is not base64url") from None
    if len(key) != _OPENING_BYTES:
        raise UpstreamMalformed(f"the opening has not {_OPENING_BYTES} bytes")
    asked = b64u(hmac.digest(key, normalised(query), "sha256"))
    # As bytes: text beyond ASCII cannot be compared in constant time.
    if not hmac.compare_digest(asked.encode(), answer.asked.encode("utf-8", "replace")):
        raise UpstreamMalformed("it answers another question")
    if answer.service_date != query.service_date:
        raise UpstreamMalformed("it answers for another day")


def _check_consistency(answer: _Answer, query: Query) -> None:
    """The whole answer follows from its contracts (docs/degraded_modes.md): above all, no `closed` beside an open."""
    kinds = {type(contract) for contract in answer.contracts}
    if any(Reason.AMC_EXCLUDED in contract.reasons for contract in answer.contracts if type(contract) is not _Unknown):
        raise UpstreamMalformed("it judges a contract that it excludes")
    if (answer.status is Status.OPEN) != (_Open in kinds):
        raise UpstreamMalformed("its status contradicts its contracts")
    if answer.status is Status.CLOSED and (query.amc is None or kinds != {_Closed}):
        raise UpstreamMalformed("it closes more than it may")
    if answer.status is Status.UNKNOWN and query.amc is not None and kinds == {_Closed}:
        # From its contracts we would say "closed", which it does not.
        raise UpstreamMalformed("it closes every contract and says unknown")


def _told(contract: _Open | _Unknown | _Closed, extracted_at: dt.datetime | None, query: Query) -> Told:
    """Raises `InvalidField`, `UpstreamMalformed`."""
    amc, name, reasons = parse_amc(contract.amc), contract.amc_name, _known(contract.reasons)
    if query.amc not in (None, amc):
        raise UpstreamMalformed("it tells of another AMC than the one asked for")
    if not name.isprintable():
        raise InvalidField("a name of an AMC is one line of text")
    if isinstance(contract, _Closed):
        if contract.closed_on is not None and contract.closed_on > query.service_date:
            raise UpstreamMalformed("it closes rights before their last day")
        return Told(_bare(amc, contract.closed_on), name, Status.CLOSED, reasons, None, extracted_at)
    shown = _utc(contract.extracted_at) or extracted_at
    if isinstance(contract, _Unknown):
        card = _bare(amc, None) if contract.member is UNSET else _card(amc, contract, {}, "")
        return Told(card, name, Status.UNKNOWN, reasons, None, shown)
    _codes(contract.rates)
    wanted = {benefit: contract.rates.get(benefit) for benefit in query.benefits or contract.rates}
    listed = {benefit: rate for benefit, rate in wanted.items() if rate is not None}
    rates = wanted if query.benefits else listed
    return Told(_card(amc, contract, listed, contract.rate_base), name, Status.OPEN, reasons, rates, shown)


def _bare(amc: str, closed_on: dt.date | None) -> Contract:
    """A contract of which nothing but its AMC is told, and perhaps its end (`service/rights/heard.py`)."""
    return Contract(
        amc=amc,
        member="",
        csr="",
        convention="",
        payer_rank=9,
        valid_from=dt.date.min,
        valid_to=None,
        card_valid_to=None,
        closed_on=closed_on,
        suspended=(),
        responsible=False,
        domains=(),
        rates={},
        rate_base="",
    )


def _card(amc: str, contract: _Open | _Unknown, rates: dict[str, int], rate_base: str) -> Contract:
    """Raises `InvalidField`, and `UpstreamMalformed` where a part of the card is missing."""
    shown: dict[str, Any] = {name: getattr(contract, name) for name in _CARD}
    domains = contract.domains
    if domains is UNSET or UNSET in shown.values():
        raise UpstreamMalformed("a part of a card is missing")
    shown["member"] = parse_member(shown["member"])
    _codes(domains)
    if not shown["csr"].isprintable() or not _CONVENTION.fullmatch(shown["convention"]):
        raise InvalidField("a part of the card is malformed")
    if shown["valid_to"] is not None and shown["valid_to"] < shown["valid_from"]:
        raise UpstreamMalformed("a contract ends before it begins")
    return Contract(
        amc=amc, closed_on=None, suspended=(), domains=tuple(domains), rates=rates, rate_base=rate_base, **shown
    )


def _utc(instant: dt.datetime | None) -> dt.datetime | None:
    """An instant in UTC, where every later step shows it. Raises `UpstreamMalformed` for one beyond the calendar."""
    try:
        return None if instant is None else instant.astimezone(dt.UTC)
    except OverflowError:
        raise UpstreamMalformed("an instant beyond the calendar") from None


def _codes(texts: Iterable[str]) -> None:
    if not all(_CODE.fullmatch(text) for text in texts):
        raise InvalidField("not a code")


def _known(words: list[str]) -> tuple[Reason, ...]:
    """The reasons of our own list; a word that it lacks could not be explained at the counter."""
    return in_order([_REASONS[word] for word in words if word in _REASONS])
