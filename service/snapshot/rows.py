"""Rows of a source, checked, and their contracts encoded as entries hold them (docs/snapshot_format.md). Pure.

A row is bad only if a field by itself is missing, of the wrong type or malformed, or `valid_to` lies before
`valid_from`. What contradicts another field otherwise is the AMC's truth, and the decision knows how to read it.

Millions of rows are read, so a good one is read without looking at anything twice: what comes again in other rows
(dates, codes, rates) is understood once. A row that is not good this way is read again, slowly, to say why.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from service.errors import InvalidField, RowRejected
from service.identifiers import is_fictitious, parse_amc, parse_member, parse_nir
from service.rights.model import Contract
from service.snapshot import columns
from service.snapshot.cells import EMPTY_JSON, cell_values, parse_boolean, parse_integer
from service.snapshot.columns import COLUMNS, read_json, read_values
from service.snapshot.entries import (
    Gaps,
    decode_contract,
    encode_domains,
    encode_fields,
    encode_gaps,
    encode_rates,
    epoch_days,
)
from service.snapshot.known import Known
from service.snapshot.merge import State
from service.strictjson import parse_strict

#: More than the days of a century, and lunar ones.
_KNOWN_DATES: Final = 1 << 16
_KNOWN_CODES: Final = 1 << 12
#: What the quick reading raises for a row that is not good.
_DOUBTS: Final = (msgspec.MsgspecError, InvalidField, ValueError, RecursionError)


_Text = TypeVar("_Text", msgspec.Raw, str)
_Gaps = tuple[tuple[str, str | None], ...]


_NO_GAPS: Final[tuple[Gaps, msgspec.Raw]] = ((), encode_gaps(()))


class SourceRow(msgspec.Struct, frozen=True, gc=False):
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
    suspended: Gaps

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
        if self.suspended and any(since <= day and (until is None or day <= until) for since, until in self.suspended):
            return State.SUSPENDED
        return State.OPEN


class _Written(msgspec.Struct, Generic[_Text], forbid_unknown_fields=True, gc=False):
    """A row whose dates are still texts, and whose rates are one text."""

    nir: str
    birth_date: str
    birth_rank: columns.BirthRank
    amc: str
    member: str
    csr: columns.Csr
    convention: str
    payer_rank: columns.PayerRank
    valid_from: str
    valid_to: str | None
    card_valid_to: str | None
    closed_on: str | None
    suspended: _Gaps
    responsible: bool
    domains: columns.Domains
    rates: _Text
    rate_base: columns.RateBase


_DECODE: Final = msgspec.json.Decoder(_Written[msgspec.Raw]).decode


class RowParser:
    """Rows from lines of JSON or from cells of CSV; remembers what it has understood, in bounded memory."""

    def __init__(self) -> None:
        self._birth_dates = Known(columns.parse_any_birth_date, _KNOWN_DATES)
        self._days = Known(_day, _KNOWN_DATES)
        self._cell_days = Known(_day_of_cell, _KNOWN_DATES)
        self._birth_ranks = Known(_birth_rank, _KNOWN_CODES)
        self._payer_ranks = Known(_payer_rank, _KNOWN_CODES)
        self._rate_bases = Known(_rate_base, _KNOWN_CODES)
        self._amcs = Known(parse_amc, _KNOWN_CODES)
        self._conventions = Known(_convention, _KNOWN_CODES)
        self._domains = Known(_domains, _KNOWN_CODES)
        self._cell_gaps = Known(_gaps_of_cell, _KNOWN_CODES)
        self._cell_domains = Known(_domains_of_cell, _KNOWN_CODES)
        self._rates = Known(_rates, _KNOWN_CODES)

    def parse_json(self, line: bytes) -> SourceRow:
        """A row from one JSON object. Raises `RowRejected`, and `BuildError` for a column the schema does not know."""
        try:
            written = _DECODE(line)
            rates, benefits = self._rates[bytes(written.rates)]
            row = self._row(written, self._days, rates)
        except _DOUBTS:
            raise _fault_of(read_json(line)) from None
        # msgspec takes the last of two members of one name. Each member has its colon, so a repeated one has one too
        # many; where a text holds colons, looking closely costs little.
        if line.count(b":") != len(COLUMNS) + benefits:
            read_json(line)
        return row

    def parse_cells(self, cells: Sequence[str]) -> SourceRow:
        """A row from cells of CSV in the order of `COLUMNS`. Raises `RowRejected`."""
        try:
            written = self._written(cells)
            rates, _ = self._rates[written.rates]
            return self._row(written, self._cell_days, rates)
        except _DOUBTS:
            raise _fault_of(read_values(cell_values(cells))) from None

    def _written(self, cells: Sequence[str]) -> _Written[str]:
        nir, birth_date, birth_rank, amc, member, csr, convention, payer_rank, *others = cells
        valid_from, valid_to, card_valid_to, closed_on, suspended, responsible, domains, rates, rate_base = others
        if len(csr) > columns.MAX_CSR:
            raise ValueError
        return _Written(
            nir,
            birth_date,
            self._birth_ranks[birth_rank],
            amc,
            member,
            csr,
            convention,
            self._payer_ranks[payer_rank],
            valid_from,
            valid_to or None,
            card_valid_to or None,
            closed_on or None,
            self._cell_gaps[suspended],
            parse_boolean(responsible),
            self._cell_domains[domains],
            rates or EMPTY_JSON["rates"],
            self._rate_bases[rate_base],
        )

    def _row(self, written: _Written[Any], days: Known[str, int], rates: msgspec.Raw) -> SourceRow:
        valid_from = days[written.valid_from]
        valid_to = None if written.valid_to is None else days[written.valid_to]
        card_valid_to = None if written.card_valid_to is None else days[written.card_valid_to]
        closed_on = None if written.closed_on is None else days[written.closed_on]
        csr = written.csr
        if not csr.isprintable() or (valid_to is not None and valid_to < valid_from):
            raise ValueError
        gaps, suspended = self._gaps(written.suspended) if written.suspended else _NO_GAPS
        nir, member, amc = parse_nir(written.nir), parse_member(written.member), self._amcs[written.amc]
        encoded = encode_fields(
            (
                amc,
                member,
                csr,
                self._conventions[written.convention],
                written.payer_rank,
                valid_from,
                valid_to,
                card_valid_to,
                closed_on,
                suspended,
                written.responsible,
                self._domains[written.domains],
                rates,
                written.rate_base,
            )
        )
        return SourceRow(
            nir,
            self._birth_dates[written.birth_date],
            written.birth_rank,
            is_fictitious(nir),
            amc,
            member,
            encoded,
            valid_from,
            valid_to,
            closed_on,
            gaps,
        )

    def _gaps(self, written: _Gaps) -> tuple[Gaps, msgspec.Raw]:
        days = self._days
        gaps = tuple([(days[since], None if until is None else days[until]) for since, until in written])
        if any(until is not None and until < since for since, until in gaps):
            raise ValueError
        return gaps, encode_gaps(gaps)


def _fault_of(row: columns.Row) -> RowRejected:
    # The tests hold the quick reading and the slow one to be of one mind; if they are not, the row is not taken.
    return columns.fault_of(row) or RowRejected("", columns.MALFORMED)


def _day(text: str) -> int:
    return epoch_days(msgspec.convert(text, dt.date))


def _day_of_cell(text: str) -> int:
    return _day(columns.dashed(text))


def _birth_rank(cell: str) -> int:
    return msgspec.convert(parse_integer(cell), columns.BirthRank)


def _payer_rank(cell: str) -> int:
    return msgspec.convert(parse_integer(cell), columns.PayerRank)


def _rate_base(cell: str) -> columns.RateBase:
    base: columns.RateBase = msgspec.convert(cell, columns.RateBase)
    return base


def _convention(text: str) -> str:
    if not columns.is_convention(text):
        raise ValueError
    return text


def _gaps_of_cell(cell: str) -> _Gaps:
    gaps: _Gaps = msgspec.convert(parse_strict(cell or EMPTY_JSON["suspended"]), _Gaps)
    return gaps


def _domains(domains: columns.Domains) -> msgspec.Raw:
    if not columns.are_codes(domains):
        raise ValueError
    return encode_domains(domains)


def _domains_of_cell(cell: str) -> columns.Domains:
    domains: columns.Domains = msgspec.convert(parse_strict(cell or EMPTY_JSON["domains"]), columns.Domains)
    return domains


def _rates(text: bytes | str) -> tuple[msgspec.Raw, int]:
    """The rates encoded, and how many they are."""
    rates = msgspec.convert(parse_strict(text), columns.Rates)
    if not columns.are_codes(rates):
        raise ValueError
    return encode_rates(rates), len(rates)
