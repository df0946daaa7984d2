"""The columns of a source row, and what is wrong with a bad one (docs/snapshot_format.md). Pure.

A rejected row is named by column and fault, never by content.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from service.errors import BuildError, InvalidField, RowRejected
from service.identifiers import parse_amc, parse_birth_date, parse_member, parse_nir

MISSING: Final = "missing"
WRONG_TYPE: Final = "wrong_type"
MALFORMED: Final = "malformed"
REPEATED: Final = "repeated"
BEFORE_VALID_FROM: Final = "before_valid_from"
NOT_JSON: Final = "not_json"
NOT_UTF8: Final = "not_utf8"

BirthRank = Annotated[int, msgspec.Meta(ge=1, le=9)]
PayerRank = Annotated[int, msgspec.Meta(ge=1, le=99)]
#: Characters of a CSR, at most.
MAX_CSR: Final = 9
Csr = Annotated[str, msgspec.Meta(max_length=MAX_CSR)]
Domains = Annotated[tuple[str, ...], msgspec.Meta(max_length=64)]
#: Rates above 100 exist (optics, dental work); beyond ten times the tariff somebody meant another unit.
Percent = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Rates = Annotated[dict[str, Percent], msgspec.Meta(max_length=256)]
RateBase = Literal["TR", "TM"]
Gaps = tuple[tuple[dt.date, dt.date | None], ...]

_AT_COLUMN: Final = re.compile(r"`\$\.(\w+)")
_NAMED: Final = re.compile(r"field `([a-z][a-z0-9_]{0,31})`")


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One contract of one beneficiary as its AMC wrote it: the columns of a source, all of them required."""

    nir: str
    birth_date: str
    birth_rank: BirthRank
    amc: str
    member: str
    csr: Csr
    convention: str
    payer_rank: PayerRank
    valid_from: dt.date
    valid_to: dt.date | None
    card_valid_to: dt.date | None
    closed_on: dt.date | None
    suspended: Gaps
    responsible: bool
    domains: Domains
    rates: Rates
    rate_base: RateBase


COLUMNS: Final = Row.__struct_fields__

_CODE: Final = re.compile(r"[0-9A-Za-z_./-]{1,20}", re.ASCII)
_CONVENTION: Final = re.compile(r"[0-9A-Za-z]{2}", re.ASCII)
_COMPACT_DATE: Final = re.compile(r"\d{8}", re.ASCII)

_DECODE: Final = msgspec.json.Decoder(Row).decode


def read_json(line: bytes) -> Row:
    """A row from one JSON object. Raises `RowRejected`, and `BuildError` for a column the schema does not know."""
    try:
        row = _DECODE(line)
    except msgspec.ValidationError as error:
        raise _rejected(str(error)) from None
    except UnicodeDecodeError:
        raise RowRejected("", NOT_UTF8) from None
    except (msgspec.DecodeError, RecursionError):
        raise RowRejected("", NOT_JSON) from None
    _check_distinct(line)
    return row


def read_values(values: Mapping[str, Any]) -> Row:
    """A row from plain values by column. Raises like `read_json`."""
    try:
        return msgspec.convert(values, Row)
    except msgspec.ValidationError as error:
        raise _rejected(str(error)) from None


def fault_of(row: Row) -> RowRejected | None:
    """What types cannot say of a row that is not good; None for a good one."""
    if row.valid_to is not None and row.valid_to < row.valid_from:
        return RowRejected("valid_to", BEFORE_VALID_FROM)
    if not row.csr.isprintable():
        return RowRejected("csr", MALFORMED)
    if not is_convention(row.convention):
        return RowRejected("convention", MALFORMED if row.convention else MISSING)
    if not are_codes(row.domains):
        return RowRejected("domains", MALFORMED)
    if not are_codes(row.rates):
        return RowRejected("rates", MALFORMED)
    for column, parse in _IDENTIFIERS.items():
        written = getattr(row, column)
        try:
            parse(written)
        except InvalidField:
            return RowRejected(column, MALFORMED if written else MISSING)
    if any(until is not None and until < since for since, until in row.suspended):
        return RowRejected("suspended", MALFORMED)
    return None


def are_codes(texts: Iterable[str]) -> bool:
    """Whether each text has the shape of a code. Codes are opaque, never a closed list."""
    return all(map(_CODE.fullmatch, texts))


def is_convention(text: str) -> bool:
    """Whether a text has the shape of a convention's code."""
    return _CONVENTION.fullmatch(text) is not None


def parse_any_birth_date(text: str) -> str:
    """A birth date written YYYY-MM-DD or YYYYMMDD, as YYYY-MM-DD. Raises `InvalidField`."""
    return parse_birth_date(dashed(text))


def dashed(date: str) -> str:
    """A date written YYYYMMDD as YYYY-MM-DD; any other text as it is."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if _COMPACT_DATE.fullmatch(date) else date


def unknown_column(name: str | None = None, position: int | None = None) -> BuildError:
    """The error that stops a build. A name is shown only if it looks like a column's: data may stand in its place."""
    shown = f" `{name}`" if name and _NAMED.fullmatch(f"field `{name}`") else f" {position}" if position else ""
    return BuildError(f"the source has a column{shown} the schema does not know: leave out what is not asked for")


_IDENTIFIERS: Final = {"nir": parse_nir, "birth_date": parse_any_birth_date, "amc": parse_amc, "member": parse_member}


def _check_distinct(line: bytes) -> None:
    """Refuses a member written twice: msgspec takes the last of them, and another reader might take the first."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        distinct = dict(members)
        if len(distinct) != len(members):
            names = [name for name, _ in members]
            raise RowRejected(next((name for name in COLUMNS if names.count(name) > 1), "rates"), REPEATED)
        return distinct

    json.loads(line, object_pairs_hook=pairs)


def _rejected(text: str) -> RowRejected | BuildError:
    """What msgspec found, without the content it may quote."""
    if text.startswith("Object contains unknown field"):
        named = _NAMED.search(text)
        return unknown_column(named[1] if named else None)
    if text.startswith("Object missing required field"):
        named = _NAMED.search(text)
        return RowRejected(named[1] if named else "", MISSING)
    column = _AT_COLUMN.search(text)
    if column is None:
        return RowRejected("", WRONG_TYPE)
    if f"got `null` - at `$.{column[1]}`" in text:
        return RowRejected(column[1], MISSING)
    return RowRejected(column[1], WRONG_TYPE if ", got `" in text else MALFORMED)
