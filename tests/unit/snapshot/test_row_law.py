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
from tests.unit.snapshot.near_rows import near_rows

Outcome = SourceRow | tuple[str, str] | str

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


@given(changed=st.binary(max_size=12), start=st.integers(0, 400), length=st.integers(0, 12))
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
