from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from service.errors import BuildError, RowRejected
from service.rights.model import Suspension
from service.snapshot.columns import COLUMNS
from service.snapshot.entries import epoch_days
from service.snapshot.merge import State
from service.snapshot.rows import RowParser
from tests.unit.snapshot.made_rows import NIR, json_line, row

CONTENT = "Dupont Jeanne"


@pytest.fixture
def parser() -> RowParser:
    return RowParser()


def rejected(parser: RowParser, line: bytes) -> tuple[str, str]:
    with pytest.raises(RowRejected) as caught:
        parser.parse_json(line)
    assert caught.value.__cause__ is None
    assert CONTENT not in str(caught.value)
    return caught.value.column, caught.value.fault


def test_a_good_row_is_normalised(parser: RowParser):
    parsed = parser.parse_json(json_line(row(amc="12345678", member="m 12/a", suspended=[["2024-01-01", None]])))
    assert (parsed.nir, parsed.birth_date, parsed.birth_rank) == (NIR[:13], "1985-05-12", 1)
    assert (parsed.contract.amc, parsed.contract.member) == ("0012345678", "M12/A")
    assert parsed.contract.suspended == (Suspension(dt.date(2024, 1, 1), None),)
    assert parsed.contract.valid_to == dt.date(2024, 12, 31)
    assert not parsed.fictitious


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("1850575116001", "1850575116001"),
        ("1 85 05 75 116 001 59", "1850575116001"),
        ("185052a00401072", "185052A004010"),
        ("712000000000131", "7120000000001"),
    ],
)
def test_a_nir_comes_with_or_without_key(parser: RowParser, written: str, canonical: str):
    assert parser.parse_json(json_line(row(nir=written))).nir == canonical


@pytest.mark.parametrize("birth_date", ["1985-05-12", "19850512"])
def test_a_birth_date_is_written_either_way(parser: RowParser, birth_date: str):
    assert parser.parse_json(json_line(row(birth_date=birth_date))).birth_date == "1985-05-12"


@pytest.mark.parametrize(
    "changes",
    [
        {"birth_date": "1985-00-41"},
        {"closed_on": "2000-01-01"},
        {"suspended": [["1990-01-01", "1990-12-31"]]},
        {"card_valid_to": "1999-01-01"},
        {"valid_to": "2023-01-01"},
        {"valid_to": None, "csr": "", "domains": [], "rates": {}},
        {"rates": {"LPP": 400}},
    ],
)
def test_what_contradicts_another_field_or_is_empty_is_good(parser: RowParser, changes: dict[str, Any]):
    parser.parse_json(json_line(row(**changes)))


@pytest.mark.parametrize("nir", ["2555555123030", "2555555123042", "5555551234567"])
def test_a_fictitious_nir_is_a_good_row_that_says_so(parser: RowParser, nir: str):
    assert parser.parse_json(json_line(row(nir=nir))).fictitious


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_is_required(parser: RowParser, column: str):
    values = row()
    del values[column]
    assert rejected(parser, json_line(values)) == (column, "missing")


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in {"valid_to", "card_valid_to", "closed_on"}])
def test_null_is_missing_where_it_means_nothing(parser: RowParser, column: str):
    assert rejected(parser, json_line(row(**{column: None}))) == (column, "missing")


@pytest.mark.parametrize("column", ["nir", "birth_date", "amc", "member", "convention"])
def test_empty_text_is_missing(parser: RowParser, column: str):
    assert rejected(parser, json_line(row(**{column: ""}))) == (column, "missing")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("nir", 185057511600159),
        ("birth_rank", "1"),
        ("birth_rank", 1.0),
        ("birth_rank", True),
        ("payer_rank", [CONTENT]),
        ("valid_from", 20230101),
        ("responsible", "true"),
        ("responsible", 1),
        ("suspended", {}),
        ("suspended", [["2024-01-01", 3]]),
        ("domains", "PHAR"),
        ("rates", {CONTENT: "100"}),
        ("rates", {"PH7": 65.5}),
    ],
)
def test_a_wrong_type_is_named(parser: RowParser, column: str, value: Any):
    assert rejected(parser, json_line(row(**{column: value}))) == (column, "wrong_type")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("nir", "185057511600158"),
        ("nir", "1850575116001\u0665\u0669"),
        ("nir", "185002A004010"),
        ("nir", CONTENT),
        ("birth_date", "12/05/1985"),
        ("birth_date", "1985-05-1\u0662"),
        ("birth_date", "1985051"),
        ("birth_rank", 0),
        ("birth_rank", 10),
        ("amc", "1234567"),
        ("amc", "12345678901"),
        ("member", "é"),
        ("member", "x" * 21),
        ("csr", "x" * 10),
        ("csr", "a\nb"),
        ("convention", "ROC"),
        ("payer_rank", 0),
        ("valid_from", "2023-02-30"),
        ("valid_to", "20241231"),
        ("closed_on", CONTENT),
        ("suspended", [["2024-02-01", "2024-01-01"]]),
        ("suspended", [["2024-02-01"]]),
        ("domains", ["PHAR", "a b"]),
        ("domains", [""]),
        ("rates", {"PH7": -1}),
        ("rates", {"PH7": 1001}),
        ("rates", {"é": 1}),
        ("rate_base", CONTENT),
    ],
)
def test_a_malformed_value_is_named_and_not_shown(parser: RowParser, column: str, value: Any):
    assert rejected(parser, json_line(row(**{column: value}))) == (column, "malformed")


def test_a_period_that_ends_before_it_begins_is_bad(parser: RowParser):
    assert rejected(parser, json_line(row(valid_to="2022-12-31"))) == ("valid_to", "before_valid_from")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"[" * 5000, "wrong_type"),
        (b"[]", "wrong_type"),
        (b'"x"', "wrong_type"),
        (json_line(row()) + b" x", "not_json"),
        (json_line(row(csr="\xe9")).replace(b"\\u00e9", b"\xe9"), "not_utf8"),
        (json_line(row()).replace(b":true", b":NaN"), "not_json"),
    ],
)
def test_a_line_that_is_no_object_is_bad_as_a_whole(parser: RowParser, line: bytes, fault: str):
    assert rejected(parser, line) == ("", fault)


@pytest.mark.parametrize("spaces", ["", " "])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_written_twice_is_bad(parser: RowParser, column: str, spaces: str):
    values = row()
    twice = f'"{column}"{spaces}:{json.dumps(values[column])},'.encode()
    assert rejected(parser, b"{" + twice + json_line(values)[1:]) == (column, "repeated")


def test_a_rate_written_twice_is_bad(parser: RowParser):
    line = json_line(row()).replace(b'"PH7":100', b'"PH7":100,"PH7":65')
    assert rejected(parser, line) == ("rates", "repeated")


def test_colons_inside_texts_are_no_repetition(parser: RowParser):
    assert parser.parse_json(json_line(row(csr='a":b'))).contract.csr == 'a":b'


@pytest.mark.parametrize(("name", "shown"), [("surname", True), ("Dupont Jeanne", False), ("185057511600159", False)])
def test_an_unknown_column_stops_the_build(parser: RowParser, name: str, shown: bool):  # noqa: FBT001
    with pytest.raises(BuildError, match="schema does not know") as caught:
        parser.parse_json(json_line({**row(), name: CONTENT}))
    assert not isinstance(caught.value, RowRejected)
    assert (name in str(caught.value)) is shown
    assert CONTENT not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, State.OPEN),
        ({"valid_to": None}, State.OPEN),
        ({"valid_to": "2024-01-28"}, State.OPEN),
        ({"valid_to": "2024-01-27"}, State.CLOSED),
        ({"closed_on": "2024-01-29"}, State.OPEN),
        ({"closed_on": "2024-01-28"}, State.CLOSED),
        ({"valid_from": "2024-01-28"}, State.OPEN),
        ({"valid_from": "2024-01-29"}, State.NOT_STARTED),
        ({"suspended": [["2024-01-28", "2024-01-28"]]}, State.SUSPENDED),
        ({"suspended": [["2024-01-01", None]]}, State.SUSPENDED),
        ({"suspended": [["2024-01-01", "2024-01-27"], ["2024-01-29", None]]}, State.OPEN),
        ({"suspended": [["2024-01-01", None]], "closed_on": "2024-01-10"}, State.CLOSED),
    ],
)
def test_a_contract_is_in_one_state_on_the_day_of_the_extract(parser: RowParser, changes: dict[str, Any], state: State):
    assert parser.parse_json(json_line(row(**changes))).state_at(epoch_days(dt.date(2024, 1, 28))) is state


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({"valid_to": "2023-11-28"}, True),
        ({"valid_to": "2023-11-29"}, False),
        ({"valid_to": None}, False),
        ({"closed_on": "2023-11-28"}, True),
        ({"closed_on": "2023-11-29"}, False),
        ({"valid_to": "2023-11-29", "closed_on": "2023-11-28"}, True),
    ],
)
def test_a_contract_ends_by_either_date(parser: RowParser, changes: dict[str, Any], ended: bool):  # noqa: FBT001
    assert parser.parse_json(json_line(row(**changes))).ended_before(epoch_days(dt.date(2023, 11, 29))) is ended
