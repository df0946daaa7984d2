from __future__ import annotations

import datetime as dt
from pathlib import Path

import orjson
import pytest

from stubs.ndjson import opened, write_rows
from stubs.population import Population
from stubs.register import Register, opened_rows

ROWS = list(Population(300, 1, dt.date(2024, 2, 5)).rows())
LINES = [orjson.dumps(row) for row in ROWS]


def test_everybody_is_found_by_the_insureds_number_and_by_the_card():
    register = Register(LINES)
    assert len(register) == len(ROWS)
    for row in ROWS:
        born = {"birth_date": row["birth_date"], "birth_rank": row["birth_rank"]}
        assert row in register.rows({"nir": row["nir"][:13], **born})
        assert row in register.rows({"amc": row["amc"], "member": row["member"], **born})
        assert register.rows({"nir": row["nir"][:13], "birth_date": row["birth_date"], "birth_rank": 9}) == []


def test_several_contracts_of_one_person_stay_in_their_order():
    row = ROWS[0]
    several = [{**row, "payer_rank": rank} for rank in (1, 2, 3)]
    found = Register(map(orjson.dumps, several)).rows({**row, "nir": row["nir"][:13]})
    assert found == several


@pytest.mark.parametrize("name", ["rows.ndjson", "rows.ndjson.gz", "rows.ndjson.zst"])
def test_a_file_is_read_as_the_population_writes_it(tmp_path: Path, name: str):
    with opened(tmp_path / name) as file:
        write_rows(iter(ROWS), file)
    with opened_rows(tmp_path / name) as lines:
        register = Register(lines)
    assert [register.line(place) for place in range(len(register))] == ROWS


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"1", b"{}", orjson.dumps({**ROWS[0], "nir": 1}), orjson.dumps({**ROWS[0], "name": "X"})]
)
def test_a_line_that_is_no_row_is_named_by_its_number(line: bytes):
    with pytest.raises(ValueError, match="line 2 is not a source row"):
        Register([LINES[0], line])
