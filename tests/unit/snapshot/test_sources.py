from __future__ import annotations

import datetime as dt
import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import BuildError, RowRejected
from service.snapshot.build import build_snapshot
from service.snapshot.chunks import MAX_LINE_BYTES, ChunkParser
from service.snapshot.dialects import Encoding
from service.snapshot.rows import RowParser, SourceRow
from service.snapshot.sources import open_source
from tests.unit.snapshot.made_rows import NIR, NOW, csv_text, json_line, ndjson, nir_of, plan, row

ROWS = [
    row(),
    row(birth_rank=2, valid_to=None, suspended=[["2024-01-01", None], ["2023-01-01", "2023-02-01"]]),
    row(domains=[], rates={}, responsible=False, csr="a;b,c"),
]


def read(folder: Path, data: bytes, encoding: Encoding = "utf-8") -> list[tuple[int, SourceRow | RowRejected]]:
    path = folder / "rows"
    path.write_bytes(data)
    with open_source(path, encoding=encoding) as source:
        found = list(source)
        assert source.position() == source.size == len(data)
    return found


def faults(found: list[tuple[int, SourceRow | RowRejected]]) -> list[tuple[int, str, str]]:
    return [(line, item.column, item.fault) for line, item in found if isinstance(item, RowRejected)]


def good(found: list[tuple[int, SourceRow | RowRejected]]) -> list[SourceRow]:
    return [item for _, item in found if isinstance(item, SourceRow)]


texts = st.text(st.characters(codec="latin-1", exclude_categories=["C", "Z"]), max_size=9)
dates = st.dates(dt.date(1900, 1, 1), dt.date(2199, 12, 31)).map(str)
ends = dates.filter(lambda day: day >= "2023") | st.none()
codes = st.text("ABC019_./-", min_size=1, max_size=5)
made_rows = st.builds(
    row,
    birth_rank=st.integers(1, 9),
    csr=texts,
    payer_rank=st.integers(1, 99),
    valid_to=ends,
    card_valid_to=dates | st.none(),
    closed_on=dates | st.none(),
    suspended=st.lists(st.tuples(dates, st.none()).map(list), max_size=2),
    responsible=st.booleans(),
    domains=st.lists(codes, max_size=3),
    rates=st.dictionaries(codes, st.integers(0, 1000), max_size=3),
    rate_base=st.sampled_from(["TR", "TM"]),
)
FORMS: list[tuple[Callable[[list[dict[str, Any]]], bytes], Encoding]] = [
    (lambda rows: csv_text(rows, ";").encode(), "utf-8"),
    (lambda rows: csv_text(rows, ",").encode(), "utf-8"),
    (lambda rows: csv_text(rows, "\t").encode(), "utf-8"),
    (lambda rows: b"\xef\xbb\xbf" + csv_text(rows, ";").encode(), "utf-8"),
    (lambda rows: b"\xef\xbb\xbf" + csv_text(rows, ";").encode(), "latin-1"),
    (lambda rows: csv_text(rows, ";").encode("latin-1"), "latin-1"),
    (lambda rows: csv_text(rows, ",").encode("cp1252"), "cp1252"),
    (ndjson, "latin-1"),
    (lambda rows: b"\xef\xbb\xbf" + ndjson(rows).replace(b"\n", b"\r\n"), "utf-8"),
    (lambda rows: gzip.compress(csv_text(rows, ";").encode()), "utf-8"),
    (lambda rows: gzip.compress(csv_text(rows, ";").encode("latin-1")), "latin-1"),
    (lambda rows: gzip.compress(ndjson(rows)), "utf-8"),
    (lambda rows: zstd.compress(ndjson(rows)), "utf-8"),
    (lambda rows: zstd.compress(csv_text(rows, ",").encode()), "utf-8"),
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(made_rows, min_size=1, max_size=4))
def test_every_form_of_a_source_gives_the_same_rows(tmp_path: Path, rows: list[dict[str, Any]]):
    expected = good(read(tmp_path, ndjson(rows)))
    assert len(expected) == len(rows)
    for write, encoding in FORMS:
        assert good(read(tmp_path, write(rows), encoding)) == expected


def test_columns_of_a_csv_come_in_any_order(tmp_path: Path):
    turned = [dict(reversed(value.items())) for value in ROWS]
    assert good(read(tmp_path, csv_text(turned).encode())) == good(read(tmp_path, csv_text(ROWS).encode()))


def test_blank_lines_and_a_missing_last_line_end_are_nothing(tmp_path: Path):
    found = read(tmp_path, json_line(row()) + b"\n\n  \n" + json_line(row()))
    assert [line for line, _ in found] == [1, 4]
    assert read(tmp_path, b"") == []


def test_a_bad_line_costs_one_row(tmp_path: Path):
    lines = [json_line(row()), b"\xff", json_line(row(nir="x")), b"{}", json_line(row())]
    found = read(tmp_path, b"\n".join(lines))
    assert faults(found) == [(2, "", "not_json"), (3, "nir", "malformed"), (4, "nir", "missing")]
    assert len(good(found)) == 2


@pytest.mark.parametrize("size", [MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES])
def test_an_endless_line_costs_one_row_and_no_memory(tmp_path: Path, size: int):
    found = read(tmp_path, json_line(row()) + b"\n" + b"x" * size + b"\n" + json_line(row()))
    assert faults(found) == [(2, "", "not_json" if size < MAX_LINE_BYTES else "too_long")]
    assert len(good(found)) == 2


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"birth_rank": "one"}, ("birth_rank", "malformed")),
        ({"birth_rank": "\u0661"}, ("birth_rank", "malformed")),
        ({"birth_rank": ""}, ("birth_rank", "missing")),
        ({"responsible": "oui"}, ("responsible", "malformed")),
        ({"responsible": ""}, ("responsible", "missing")),
        ({"valid_from": ""}, ("valid_from", "missing")),
        ({"rates": "{"}, ("rates", "malformed")),
        ({"rates": '{"PH7":1,"PH7":2}'}, ("rates", "malformed")),
        ({"rates": '{"PH7":NaN}'}, ("rates", "malformed")),
        ({"domains": "PHAR"}, ("domains", "malformed")),
        ({"domains": "[" * 100_000}, ("", "too_long")),
        ({"suspended": '[["2024-01-01"]]'}, ("suspended", "malformed")),
        ({"csr": "two\nlines"}, ("", "not_csv")),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, change: dict[str, str], fault: tuple[str, str]):
    found = read(tmp_path, csv_text([row(), row(**change), row()]).encode())
    assert faults(found)[0] == (3, *fault)
    assert len(good(found)) == 2


def test_cells_too_few_or_too_many_cost_one_row(tmp_path: Path):
    lines = csv_text([row(), row(), row()]).splitlines()
    lines[1], lines[2] = lines[1] + ";more", lines[2].partition(";")[2]
    assert faults(read(tmp_path, "\n".join(lines).encode())) == [(2, "", "not_csv"), (3, "", "not_csv")]


@pytest.mark.parametrize("shown", ["1", "true", "TRUE"])
def test_a_boolean_cell_is_written_like_this(tmp_path: Path, shown: str):
    assert good(read(tmp_path, csv_text([row(responsible=shown)]).encode()))[0].contract.responsible


def test_an_unknown_column_stops_the_reading(tmp_path: Path):
    with pytest.raises(BuildError, match=r"rows, line 2: .*`surname`"):
        read(tmp_path, json_line(row()) + b"\n" + json_line(row(surname="Dupont")))
    with pytest.raises(BuildError, match=r"rows: .*`surname`"):
        read(tmp_path, csv_text([row(surname="Dupont")]).encode())


def test_a_csv_without_header_shows_nobodys_number(tmp_path: Path):
    body = csv_text([row()]).split("\n", 1)[1].encode()
    with pytest.raises(BuildError, match="header line") as caught:
        read(tmp_path, body)
    assert NIR not in str(caught.value)


def test_a_header_that_lacks_or_repeats_a_column_stops_the_reading(tmp_path: Path):
    with pytest.raises(BuildError, match="lacks nir"):
        read(tmp_path, csv_text([{key: value for key, value in row().items() if key != "nir"}]).encode())
    with pytest.raises(BuildError, match="twice"):
        read(tmp_path, csv_text([row()]).replace("rate_base", "nir").encode())


def test_an_absent_file_is_said(tmp_path: Path):
    with pytest.raises(BuildError, match="cannot be read"):
        open_source(tmp_path / "absent")


@pytest.mark.parametrize("max_bytes", [1, 100, 1000, 70_000, 1 << 20])
@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_chunks_read_elsewhere_give_the_same_rows_and_numbers(tmp_path: Path, max_bytes: int, form: str):
    rows = [*ROWS, row(nir="x")]
    lines = ndjson(rows).splitlines() if form == "ndjson" else csv_text(rows).encode().splitlines()
    data = b"\n".join([b"", lines[0], b" \t", lines[1], b"y" * 200_000, b"", *lines[2:], b"z" * MAX_LINE_BYTES])
    for whole in (data, data + b"\n", data.replace(b"\n", b"\r\n")):
        expected = read(tmp_path, whole)
        with open_source(tmp_path / "rows") as source:
            chunks = list(source.chunks(max_bytes))
        assert all(len(chunk.data) <= max_bytes + 2 * MAX_LINE_BYTES for chunk in chunks)
        sent = pickle.loads(pickle.dumps(chunks))
        # A parser of its own for each chunk, as if each went to another process.
        found = pickle.loads(pickle.dumps([item for chunk in sent for item in ChunkParser(RowParser()).parse(chunk)]))
        assert good(found) == good(expected)
        assert faults(found) == faults(expected)
        assert len(faults(found)) == 3


def test_several_files_of_different_kinds_make_one_build(tmp_path: Path):
    rows = [row(nir=nir_of(number), member=f"M{number}") for number in range(40)]
    files = {
        "one.ndjson": ndjson(rows[:10]),
        "two.csv": csv_text(rows[10:20], ",").encode(),
        "three.csv.gz": gzip.compress(csv_text(rows[20:30]).encode()),
        "four.ndjson.zst": zstd.compress(ndjson(rows[30:]) + b"{}\n"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    several = plan(tmp_path, b"", sources=tuple(tmp_path / name for name in files), max_reject_share=0.1)
    built = build_snapshot(several, NOW)
    assert (built.rows, built.manifest.counts.people) == (41, 40)
    assert built.rejects is not None
    assert json.loads(built.rejects.read_bytes()) == {
        "source": "four.ndjson.zst",
        "line": 11,
        "column": "nir",
        "code": "missing",
    }
