"""A source row: its schema, and what is wrong with a bad one (docs/snapshot_format.md). Pure.

A row is bad only if a field by itself is missing, of the wrong type or malformed, or `valid_to` lies before
`valid_from`. What contradicts another field otherwise is the AMC's truth, and the decision knows how to read it.
A rejected row is named by column and fault, never by content.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from service.errors import BuildError, InvalidField, RowRejected
from service.identifiers import is_fictitious, parse_amc, parse_birth_date, parse_member, parse_nir
from service.rights.model import Contract, Suspension
from service.snapshot.entries import decode_contract, encode_contract, epoch_days
from service.snapshot.merge import State

MISSING: Final = "missing"
WRONG_TYPE: Final = "wrong_type"
MALFORMED: Final = "malformed"
REPEATED: Final = "repeated"
BEFORE_VALID_FROM: Final = "before_valid_from"
NOT_JSON: Final = "not_json"
NOT_UTF8: Final = "not_utf8"

#: Rates above 100 exist (optics, dental work); beyond ten times the tariff somebody meant another unit.
Percent = Annotated[int, msgspec.Meta(ge=0, le=1000)]
#: Opaque codes, never a closed list.
_CODE: Final = re.compile(r"[0-9A-Za-z_./-]{1,20}", re.ASCII)
_CONVENTION: Final = re.compile(r"[0-9A-Za-z]{2}", re.ASCII)
_COMPACT_DATE: Final = re.compile(r"\d{8}", re.ASCII)
_AT_COLUMN: Final = re.compile(r"`\$\.(\w+)")
_NAMED: Final = re.compile(r"field `([a-z][a-z0-9_]{0,31})`")
_KNOWN_CODES_LIMIT: Final = 4096


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One contract of one beneficiary as its AMC wrote it: the columns of a source, all of them required."""

    nir: str
    birth_date: str
    birth_rank: Annotated[int, msgspec.Meta(ge=1, le=9)]
    amc: str
    member: str
    csr: Annotated[str, msgspec.Meta(max_length=9)]
    convention: str
    payer_rank: Annotated[int, msgspec.Meta(ge=1, le=99)]
    valid_from: dt.date
    valid_to: dt.date | None
    card_valid_to: dt.date | None
    closed_on: dt.date | None
    suspended: tuple[tuple[dt.date, dt.date | None], ...]
    responsible: bool
    domains: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)]
    rates: Annotated[dict[str, Percent], msgspec.Meta(max_length=256)]
    rate_base: Literal["TR", "TM"]


COLUMNS: Final = Row.__struct_fields__


class SourceRow(msgspec.Struct, frozen=True):
    """A good row: whom it names, and the contract as an entry holds it. `fictitious` where the NIR stands for nobody.

    What a build asks of the contract's dates is here in days since 1970-01-01.
    """

    nir: str
    birth_date: str
    birth_rank: int
    fictitious: bool
    amc: str
    member: str
    encoded: bytes
    valid_from: int
    valid_to: int | None
    closed_on: int | None
    suspended: tuple[tuple[int, int | None], ...]

    @property
    def contract(self) -> Contract:
        """The contract, decoded."""
        return decode_contract(self.encoded)

    def ended_before(self, day: int) -> bool:
        """Whether its online end or the first day without rights lies before a day."""
        valid_to, closed_on = self.valid_to, self.closed_on
        return (valid_to is not None and valid_to < day) or (closed_on is not None and closed_on < day)

    def state_at(self, day: int) -> State:
        """What the contract is on a day, by its own dates alone."""
        if self.closed_on is not None and self.closed_on <= day:
            return State.CLOSED
        if self.valid_to is not None and self.valid_to < day:
            return State.CLOSED
        if self.valid_from > day:
            return State.NOT_STARTED
        if any(since <= day and (until is None or day <= until) for since, until in self.suspended):
            return State.SUSPENDED
        return State.OPEN


_DECODE: Final = msgspec.json.Decoder(Row).decode


class RowParser:
    """Rows from JSON text or from values; remembers the codes and AMC numbers already seen to be well formed."""

    def __init__(self) -> None:
        self._amcs: dict[str, str] = {}
        self._codes: set[str] = set()

    def parse_json(self, line: bytes) -> SourceRow:
        """A row from one JSON object. Raises `RowRejected`, and `BuildError` for a column the schema does not know."""
        try:
            row = _DECODE(line)
        except msgspec.ValidationError as error:
            raise _rejected(str(error)) from None
        except UnicodeDecodeError:
            raise RowRejected("", NOT_UTF8) from None
        except (msgspec.DecodeError, RecursionError):
            raise RowRejected("", NOT_JSON) from None
        # msgspec takes the last of two members of one name. Each member has its colon, so a repeated one has one too
        # many; where a text holds colons, looking closely costs little.
        if line.count(b":") != len(COLUMNS) + len(row.rates):
            check_distinct(line)
        return self._check(row)

    def parse_values(self, values: Mapping[str, Any]) -> SourceRow:
        """A row from plain values by column. Raises like `parse_json`."""
        try:
            row = msgspec.convert(values, Row)
        except msgspec.ValidationError as error:
            raise _rejected(str(error)) from None
        return self._check(row)

    def _check(self, row: Row) -> SourceRow:
        """What types cannot say."""
        if row.valid_to is not None and row.valid_to < row.valid_from:
            raise RowRejected("valid_to", BEFORE_VALID_FROM)
        if not row.csr.isprintable():
            raise RowRejected("csr", MALFORMED)
        if not _CONVENTION.fullmatch(row.convention):
            raise RowRejected("convention", MISSING if not row.convention else MALFORMED)
        if row.domains:
            self._check_codes("domains", row.domains)
        self._check_codes("rates", row.rates)
        column = "nir"
        try:
            nir = parse_nir(row.nir)
            column = "birth_date"
            birth_date = parse_birth_date(_dashed(row.birth_date))
            column = "amc"
            amc = self._amcs.get(row.amc) or self._amc(row.amc)
            column = "member"
            member = parse_member(row.member)
        except InvalidField:
            raise RowRejected(column, MALFORMED if getattr(row, column) else MISSING) from None
        return _source_row(row, nir, birth_date, _contract(row, amc, member))

    def _amc(self, text: str) -> str:
        number = parse_amc(text)
        if len(self._amcs) < _KNOWN_CODES_LIMIT:
            self._amcs[text] = number
        return number

    def _check_codes(self, column: str, codes: tuple[str, ...] | Mapping[str, int]) -> None:
        if self._codes.issuperset(codes):
            return
        if not all(map(_CODE.fullmatch, codes)):
            raise RowRejected(column, MALFORMED)
        if len(self._codes) < _KNOWN_CODES_LIMIT:
            self._codes.update(codes)


def check_distinct(line: bytes) -> None:
    """Refuses JSON text in which an object has one member twice. Raises `RowRejected`."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        distinct = dict(members)
        if len(distinct) != len(members):
            names = [name for name, _ in members]
            raise RowRejected(next((name for name in COLUMNS if names.count(name) > 1), "rates"), REPEATED)
        return distinct

    json.loads(line, object_pairs_hook=pairs)


def unknown_column(name: str | None = None, position: int | None = None) -> BuildError:
    """The error that stops a build. A name is shown only if it looks like a column's: data may stand in its place."""
    shown = f" `{name}`" if name and _NAMED.fullmatch(f"field `{name}`") else f" {position}" if position else ""
    return BuildError(f"the source has a column{shown} the schema does not know: leave out what is not asked for")


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


def _dashed(date: str) -> str:
    """Extracts write birth dates YYYYMMDD or YYYY-MM-DD."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if _COMPACT_DATE.fullmatch(date) else date


def _source_row(row: Row, nir: str, birth_date: str, contract: Contract) -> SourceRow:
    return SourceRow(
        nir,
        birth_date,
        row.birth_rank,
        is_fictitious(nir),
        contract.amc,
        contract.member,
        encode_contract(contract),
        epoch_days(contract.valid_from),
        _days(contract.valid_to),
        _days(contract.closed_on),
        tuple([(epoch_days(gap.since), _days(gap.until)) for gap in contract.suspended]),
    )


def _days(date: dt.date | None) -> int | None:
    return None if date is None else epoch_days(date)


def _contract(row: Row, amc: str, member: str) -> Contract:
    return Contract(
        amc,
        member,
        row.csr,
        row.convention,
        row.payer_rank,
        row.valid_from,
        row.valid_to,
        row.card_valid_to,
        row.closed_on,
        tuple([_suspension(since, until) for since, until in row.suspended]) if row.suspended else (),
        row.responsible,
        row.domains,
        row.rates,
        row.rate_base,
    )


def _suspension(since: dt.date, until: dt.date | None) -> Suspension:
    if until is not None and until < since:
        raise RowRejected("suspended", MALFORMED)
    return Suspension(since, until)
