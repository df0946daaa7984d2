"""Rows are read quickly where they are good, and slowly where they are not: both must be of one mind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import BuildError, RowRejected
from service.identifiers import is_fictitious, parse_amc, parse_member, parse_nir
from service.rights.model import Contract, Suspension
from service.snapshot import columns, rows
from service.snapshot.cells import cell_values
from service.snapshot.columns import COLUMNS, Row
from service.snapshot.entries import encode_contract, epoch_days
from service.snapshot.rows import RowParser, SourceRow
from tests.unit.snapshot.made_rows import NIR, json_line, row

Outcome = SourceRow | tuple[str, str] | str

near_dates = st.sampled_from(
    [
        *(None, "", 7, "2024-01-31", "20240131", "0001-01-01", "9999-12-31", "1969-12-31", "2022-12-31"),
        *("2024-02-30", "2024-1-31", " 2024-01-31", "2024-01-31T00:00:00", "\u0662024-01-31", "00000000"),
    ]
)
near_gaps = st.lists(st.lists(near_dates, max_size=3), max_size=3)
near_codes = st.sampled_from(["PH7", "a b", "", "x" * 20, "x" * 21, "é", "a:b", "_./-"])
near_percents = st.sampled_from([0, 100, 1000, 1001, -1, 6.5, 7.0, True, None, "7"])
near_rates = st.dictionaries(near_codes, near_percents, max_size=4)
values: dict[str, st.SearchStrategy[Any]] = {
    "nir": st.sampled_from(
        [
            *(NIR, NIR[:13], "185052a00401072", "712000000000131", "2555555123030", "5555551234567"),
            *("", None, 1, "185 05", " 1 85 05 75 116 001 59", "1850575116001\u0665\u0669"),
            *("185057511600150", "185057511600100", "185057511600198"),
        ]
    ),
    "birth_date": st.sampled_from(["1985-05-12", "19850512", "1985-13-41", "1985-5-12", "", None, "198505123", "é"]),
    "birth_rank": st.sampled_from([0, 1, 9, 10, 1.0, True, "1", None, "", "01", "1e0"]),
    "amc": st.sampled_from(["0775671993", "12345678", "1234567", "12345678901", "", None, "07756719x3"]),
    "member": st.sampled_from(["M1", " m 1/é", "m 1/a", "x" * 21, "", None, "\u017f", "A.B-/"]),
    "csr": st.sampled_from(["", "CSR1", "x" * 10, "a\nb", 'a":b', " pad ", "œé", "\u2028", None, ";,\t"]),
    "convention": st.sampled_from(["RO", "", "ROC", None, "é1"]),
    "payer_rank": st.sampled_from([0, 1, 99, 100, "1", None, "099", "0099", "00099"]),
    "valid_from": near_dates,
    "valid_to": near_dates,
    "card_valid_to": near_dates,
    "closed_on": near_dates,
    "suspended": near_gaps | st.none() | st.just({}),
    "responsible": st.sampled_from([True, False, None, 1, 0, "true", "FALSE", "oui", ""]),
    "domains": st.lists(near_codes, max_size=3) | st.none() | st.just(["A"] * 65),
    "rates": near_rates | st.none() | st.just({f"C{number}": 1 for number in range(257)}),
    "rate_base": st.sampled_from(["TR", "TM", "tr", "", None, 1]),
}
#: Rows of which most columns are good: one or two are drawn from what is nearly so.
near_rows = st.sets(st.sampled_from(COLUMNS), max_size=2).flatmap(
    lambda chosen: st.fixed_dictionaries({column: values[column] for column in sorted(chosen)})
)
PARSER = RowParser()


def told(read: Any, given_row: Any) -> Outcome:
    try:
        return read(given_row)
    except RowRejected as rejected:
        return rejected.column, rejected.fault
    except BuildError as error:
        return error.detail


def by_schema(found: Row) -> SourceRow:
    """What a row says, by the schema and the plain rules alone."""
    fault = columns.fault_of(found)
    if fault is not None:
        raise fault
    nir = parse_nir(found.nir)
    fields = {column: getattr(found, column) for column in COLUMNS[3:]}
    fields["amc"], fields["member"] = parse_amc(found.amc), parse_member(found.member)
    fields["suspended"] = tuple(Suspension(*gap) for gap in found.suspended)
    days = [None if day is None else epoch_days(day) for day in (found.valid_to, found.closed_on)]
    return SourceRow(
        nir,
        columns.parse_any_birth_date(found.birth_date),
        found.birth_rank,
        is_fictitious(nir),
        fields["amc"],
        fields["member"],
        encode_contract(Contract(**fields)),
        epoch_days(found.valid_from),
        *days,
        tuple((epoch_days(since), None if until is None else epoch_days(until)) for since, until in found.suspended),
    )


def cells_of(value: dict[str, Any]) -> list[str]:
    shown = [value[column] for column in COLUMNS]
    return ["" if cell is None else cell if isinstance(cell, str) else json.dumps(cell) for cell in shown]


@settings(max_examples=500)
@given(near_rows)
def test_a_line_means_what_the_schema_says(changes: dict[str, Any]):
    line = json_line(row(**changes))
    expected = told(lambda given_line: by_schema(columns.read_json(given_line)), line)
    # Twice: what was not understood the first time is not remembered as if it had been.
    assert told(PARSER.parse_json, line) == expected
    assert told(PARSER.parse_json, line) == expected


@settings(max_examples=500)
@given(near_rows)
def test_cells_mean_what_the_schema_says(changes: dict[str, Any]):
    cells = cells_of(row(**changes))
    expected = told(lambda given_cells: by_schema(columns.read_values(cell_values(given_cells))), cells)
    assert told(PARSER.parse_cells, cells) == expected
    assert told(PARSER.parse_cells, cells) == expected


@given(st.binary(max_size=12), st.integers(0, 400), st.integers(0, 12))
def test_a_line_with_bytes_changed_means_what_the_schema_says(changed: bytes, start: int, length: int):
    line = json_line(row(suspended=[["2024-01-01", None]]))
    line = line[:start] + changed + line[start + length :]
    assert told(PARSER.parse_json, line) == told(lambda given_line: by_schema(columns.read_json(given_line)), line)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nir": NIR[:13], "member": "m 12/a", "amc": "12345678", "birth_date": "19850512"},
        {"nir": "1 85 05 75 116 001 59", "suspended": [["2024-01-01", None], ["2020-01-01", "2020-02-01"]]},
        {"valid_to": None, "csr": "", "domains": [], "rates": {}, "responsible": False, "rate_base": "TM"},
        {"nir": "2555555123030", "csr": 'a":b', "domains": ["B", "A", "B"], "rates": {"B": 1, "A": 2}},
    ],
)
def test_a_good_row_is_read_once(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    value = row(**changes)
    expected = by_schema(columns.read_json(json_line(value)))

    def reads_again(*_: object) -> None:
        pytest.fail("a good row was read the slow way")

    monkeypatch.setattr(columns, "fault_of", reads_again)
    assert RowParser().parse_json(json_line(value)) == expected
    assert RowParser().parse_cells(cells_of(value)) == expected


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows, "_KNOWN_CODES", 2)
    monkeypatch.setattr(rows, "_KNOWN_DATES", 2)
    parser = RowParser()
    for number in range(10, 30):
        value = row(
            rates={f"C{number}": number},
            domains=[f"D{number}"],
            amc=f"990000{number}",
            valid_from=f"2023-01-{number}",
            suspended=[[f"2023-02-{number - 9:02d}", None]],
        )
        line = json_line(value)
        assert parser.parse_json(line) == by_schema(columns.read_json(line))
        assert parser.parse_cells(cells_of(value)) == parser.parse_json(line)
    known = [memory for memory in vars(parser).values() if isinstance(memory, dict)]
    assert known
    assert all(len(memory) <= 2 for memory in known)
