"""The script a build is measured against does the same work: it takes, rejects and drops the same rows."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from benchmarks import sqlite_import
from service.errors import RowRejected
from service.snapshot.build import build_snapshot
from service.snapshot.rows import RowParser
from tests.unit.snapshot.made_rows import NOW, POLICY, json_line, ndjson, nir_of, plan, row
from tests.unit.snapshot.near_rows import near_rows, one_change

PARSER = RowParser()


def by_product(line: bytes) -> tuple[str, str] | None:
    try:
        PARSER.parse_json(line)
    except RowRejected as rejected:
        return rejected.column, rejected.fault
    return None


def by_script(line: bytes) -> tuple[str, str] | None:
    try:
        sqlite_import.check(line)
    except sqlite_import.Rejected as rejected:
        return rejected.column, rejected.code
    return None


@settings(max_examples=300)
@given(near_rows)
def test_it_takes_the_same_rows(changes: dict[str, Any]):
    line = json_line(row(**changes))
    assert (by_script(line) is None) == (by_product(line) is None)


@settings(max_examples=300)
@given(one_change)
def test_it_rejects_a_row_for_the_same_column_and_fault(changes: dict[str, Any]):
    line = json_line(row(**changes))
    found, expected = by_script(line), by_product(line)
    if set(changes) & {"suspended", "domains", "rates"}:  # several faults may lie in one column
        found, expected = found and (found[0], ""), expected and (expected[0], "")
    assert found == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        json_line(row()) + b"x",
        json_line(row())[:-1] + b',"nir":"1"}',
        json_line(row()).replace(b'"PH7":100', b'"PH7":100,"PH7":65'),
        json_line(row(csr='a":b')),
        json_line(row(csr="\xe9")).replace(b"\\u00e9", b"\xe9"),
        json_line({key: value for key, value in row().items() if key != "member"}),
    ],
)
def test_it_judges_a_line_as_a_whole_alike(line: bytes):
    assert by_script(line) == by_product(line)


def test_an_unknown_column_ends_it():
    with pytest.raises(SystemExit):
        sqlite_import.check(json_line(row(surname="Dupont")))


def test_it_counts_what_a_build_counts_and_finds_everybody(tmp_path: Path):
    rows = [row(nir=nir_of(number), birth_rank=1 + number % 3, member=f"M{number}") for number in range(3000)]
    rows += [row(nir="x"), row(rates={"PH7": 1001}), row(nir="2555555123030"), row(valid_to="2023-11-28")]
    rows += [row(nir=nir_of(7), birth_rank=2, payer_rank=2, suspended=[["2024-01-01", None]])]
    built = build_snapshot(plan(tmp_path, ndjson(rows)), NOW)
    policy, database = tmp_path / "policy.toml", tmp_path / "rows.sqlite"
    assert policy.read_text("utf-8") == POLICY
    figures = sqlite_import.run(tmp_path / "rows.ndjson", policy, database)
    counts = built.manifest.counts
    assert (figures["rows"], figures["rejected"], figures["dropped"]) == (built.rows, counts.rejected, counts.dropped)
    assert (figures["people"], figures["contracts"]) == (counts.people, counts.contracts)
    listed = (tmp_path / "rows.sqlite.rejects.ndjson").read_text().splitlines()
    assert built.rejects is not None
    expected = [json.loads(line) for line in built.rejects.read_text().splitlines()]
    assert [json.loads(line) | {"source": "rows.ndjson"} for line in listed] == expected
    with contextlib.closing(sqlite3.connect(database)) as connection:
        asked = "SELECT payer_rank FROM contracts WHERE nir = ? AND birth_date = ? AND birth_rank = ?"
        assert sorted(connection.execute(asked, (nir_of(7), "1985-05-12", 2))) == [(1,), (2,)]
        plans = [
            connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM contracts WHERE {key}").fetchone()[3]  # noqa: S608
            for key in (
                "nir = '1' AND birth_date = '2' AND birth_rank = 3",
                "amc = '1' AND member = '2' AND birth_date = '3' AND birth_rank = 4",
            )
        ]
    assert "by_nir" in plans[0]
    assert "by_member" in plans[1]


def test_too_many_bad_rows_end_it(tmp_path: Path):
    (tmp_path / "rows.ndjson").write_bytes(ndjson([row(), row(nir="x")]))
    (tmp_path / "policy.toml").write_text(POLICY, "utf-8")
    with pytest.raises(SystemExit, match="1 of 2 rows are bad"):
        sqlite_import.run(tmp_path / "rows.ndjson", tmp_path / "policy.toml", tmp_path / "rows.sqlite")
