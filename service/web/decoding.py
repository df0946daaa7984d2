"""From the bytes of a body to a normalised query, or to the one error that says what is wrong with it."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service import identifiers
from service.errors import InvalidField, MalformedJson
from service.rights.model import Query
from service.strictjson import parse_strict

#: A batch of them is worked out and recorded in a few turns of the event loop.
MAX_QUERIES: Final = 200
Text = Annotated[str, Meta(max_length=64)]
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DOMAIN: Final = re.compile(r"[0-9A-Z]{1,16}", re.ASCII)
_BENEFIT: Final = re.compile(r"[0-9A-Z]{1,10}", re.ASCII)
#: msgspec ends its messages with the place of the fault, e.g. "… - at `$.beneficiary.nir`".
#: Only names of our own schemas fit: a hostile member name must not come back in a pointer.
_PLACE: Final = re.compile(r" - at `\$((?:\.[a-z_]+|\[[0-9]{1,3}\])*)`$", re.ASCII)
#: The name is one of our own schemas'; that of an unknown field is the caller's, and may be anything.
_MISSING: Final = re.compile(r"Object missing required field `([a-z_]+)`", re.ASCII)
T = TypeVar("T")


class Beneficiary(msgspec.Struct, forbid_unknown_fields=True):
    """The insured, by `nir` or by `amc` and `member`; the beneficiary, by birth date and rank."""

    birth_date: Text
    nir: Text | UnsetType = UNSET
    amc: Text | UnsetType = UNSET
    member: Text | UnsetType = UNSET
    birth_rank: Annotated[int, Meta(ge=1, le=9)] | UnsetType = UNSET


class RightsBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/rights`."""

    beneficiary: Beneficiary
    amc: Text | UnsetType = UNSET
    service_date: Text | UnsetType = UNSET
    domain: Text | UnsetType = UNSET
    benefits: Annotated[list[Text], Meta(max_length=50)] | UnsetType = UNSET
    finess: Text | UnsetType = UNSET


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/rights/batch`: queries that are decoded one by one, each with an error of its own."""

    queries: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_QUERIES)]


class ReceiptBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/receipts/verify`."""

    answer: dict[str, Any]
    receipt: dict[str, Any]


_RIGHTS: Final = msgspec.json.Decoder(RightsBody)
_BATCH: Final = msgspec.json.Decoder(BatchBody)


def decode(raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A body of a declared shape. Raises `MalformedJson`, or `InvalidField` pointing at the field.

    msgspec lets a repeated key pass (the last wins) and raises UnicodeDecodeError for invalid UTF-8 in a string.
    """
    try:
        body = decoder.decode(raw)
    except msgspec.ValidationError as error:
        refuse_repeated_keys(raw)
        raise InvalidField(_fault(error), _pointer(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedJson("not one JSON text in UTF-8") from None
    return body


def refuse_repeated_keys(raw: bytes) -> None:
    """Raise `MalformedJson` where an object repeats a key, or where the text is not JSON for a strict reader."""
    try:
        # A number of 5,000 digits is out of range, not malformed.
        parse_strict(raw, parse_int=str)
    except ValueError:
        raise MalformedJson("not one JSON text in UTF-8 with distinct keys") from None


def decode_rights(raw: bytes) -> RightsBody:
    """The body of a rights query. Raises `MalformedJson`, `InvalidField`."""
    body = decode(raw, _RIGHTS)
    # Each member has one colon and no good value has any: with as many colons as members nothing is repeated.
    if raw.count(b":") != _members(body):
        refuse_repeated_keys(raw)
    return body


def decode_batch(raw: bytes) -> list[bytes]:
    """The queries of a batch, each still to be decoded. Raises `MalformedJson`, `InvalidField`."""
    queries = [bytes(query) for query in decode(raw, _BATCH).queries]
    # What is skipped is not read: an invalid byte in a query would pass. And of a member that came twice only the last
    # is left, so that there are colons beside the queries' own and the one before them.
    if not _is_utf8(raw) or raw.count(b":") != 1 + sum(query.count(b":") for query in queries):
        raise MalformedJson("not one JSON text in UTF-8 with distinct keys")
    return queries


def normalise(body: RightsBody, finess: str, today: dt.date, past_days: int, ahead_days: int) -> Query:
    """The query a body asks, defaults filled in (`today` in Europe/Paris). Raises `InvalidField`."""
    person = body.beneficiary
    amc = None if body.amc is UNSET else _field("/amc", identifiers.parse_amc, body.amc)
    nir = member = None
    if person.nir is not UNSET and person.amc is UNSET and person.member is UNSET:
        nir = _field("/beneficiary/nir", identifiers.parse_nir, person.nir)
    elif person.nir is UNSET and person.amc is not UNSET and person.member is not UNSET:
        card_amc = _field("/beneficiary/amc", identifiers.parse_amc, person.amc)
        member = _field("/beneficiary/member", identifiers.parse_member, person.member)
        if amc not in (None, card_amc):
            raise InvalidField("amc and beneficiary.amc differ", "/amc")
        amc = card_amc
    else:
        raise InvalidField("give either nir, or amc and member", "/beneficiary")
    return Query(
        birth_date=_field("/beneficiary/birth_date", identifiers.parse_birth_date, person.birth_date),
        birth_rank=1 if person.birth_rank is UNSET else person.birth_rank,
        finess=finess,
        service_date=today if body.service_date is UNSET else _date(body.service_date, today, past_days, ahead_days),
        domain="PHAR" if body.domain is UNSET else _code("/domain", _DOMAIN, body.domain),
        benefits=() if body.benefits is UNSET else _benefits(body.benefits),
        nir=nir,
        member=member,
        amc=amc,
    )


def _date(text: str, today: dt.date, past_days: int, ahead_days: int) -> dt.date:
    try:
        date = dt.date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        date = None
    if date is None:
        raise InvalidField("not a calendar date YYYY-MM-DD", "/service_date")
    if not -past_days <= (date - today).days <= ahead_days:
        raise InvalidField(f"more than {past_days} days back or {ahead_days} ahead", "/service_date")
    return date


def _benefits(codes: list[str]) -> tuple[str, ...]:
    for index, code in enumerate(codes):
        _code(f"/benefits/{index}", _BENEFIT, code)
    return tuple(sorted(set(codes)))


def _code(pointer: str, shape: re.Pattern[str], text: str) -> str:
    if not shape.fullmatch(text):
        raise InvalidField("not a code of capital letters and digits", pointer)
    return text


def _field(pointer: str, parse: Any, text: str) -> str:
    try:
        value: str = parse(text)
    except InvalidField as error:
        error.pointer = pointer
        raise
    return value


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _members(body: RightsBody) -> int:
    person = body.beneficiary
    values = (
        person.nir,
        person.amc,
        person.member,
        person.birth_rank,
        body.amc,
        body.service_date,
        body.domain,
        body.benefits,
        body.finess,
    )
    return 2 + len(values) - sum(value is UNSET for value in values)


def _fault(error: msgspec.ValidationError) -> str:
    text = str(error)
    if missing := _MISSING.match(text):
        return f"the field {missing[1]} is missing"
    if text.startswith("Object contains unknown field"):
        return "a field that is not known here"
    return "of the wrong type or out of range"


def _pointer(error: msgspec.ValidationError) -> str:
    """RFC 6901 pointer to the fault."""
    found = _PLACE.search(str(error))
    return found.group(1).replace(".", "/").replace("[", "/").replace("]", "") if found else ""
