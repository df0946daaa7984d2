from __future__ import annotations

import pytest

from service.errors import BuildError, RowRejected
from service.snapshot.columns import COLUMNS
from service.snapshot.dialects import Dialect, dialect_of
from service.snapshot.rows import RowParser
from tests.unit.snapshot.made_rows import csv_text, row

HEADER = ";".join(COLUMNS)


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize(
    "write",
    [
        str,
        str.upper,
        lambda header: header.replace("_", " ").title(),
        lambda header: header.replace(";", " ; "),
        lambda header: ";".join(f'"{name}"' for name in header.split(";")),
        lambda header: header + "\r\n",
    ],
    ids=["plain", "capitals", "words", "spaces", "quoted", "crlf"],
)
def test_a_header_is_known_however_it_is_written(delimiter: str, write: type[str]):
    line = write(HEADER).replace(";", delimiter).encode()
    assert dialect_of(line) == Dialect(delimiter, tuple(range(len(COLUMNS))))


def test_cells_come_in_the_order_of_the_schema():
    turned = dialect_of(";".join(reversed(COLUMNS)).encode())
    assert turned.cells(";".join(map(str, range(len(COLUMNS)))).encode()) == [
        str(number) for number in reversed(range(len(COLUMNS)))
    ]


def test_spaces_around_a_cell_are_none_of_it_but_for_the_csr():
    line = csv_text([row(csr=" A ", domains=[], rates={})]).split("\r\n")[1]
    padded = line.replace(";", " ; ").replace(" ;  A  ; ", " ; A ; ")
    assert "; A ;" in padded
    dialect = dialect_of(HEADER.encode())
    assert dialect.cells(padded.encode()) == dialect.cells(line.encode())
    assert dialect.cells(line.encode())[COLUMNS.index("csr")] == " A "


@pytest.mark.parametrize("shown", ["20241231", "2024-12-31"])
@pytest.mark.parametrize("column", ["valid_from", "valid_to", "card_valid_to", "closed_on", "birth_date"])
def test_a_date_cell_is_written_either_way(column: str, shown: str):
    dialect = dialect_of(HEADER.encode())
    dated = row(valid_from="2000-01-01")
    lines = [csv_text([{**dated, column: text}]).split("\r\n")[1].encode() for text in (shown, "2024-12-31")]
    one, other = (RowParser().parse_cells(dialect.cells(line)) for line in lines)
    assert one == other


@pytest.mark.parametrize("shown", ["31/12/2024", "31.12.2024", "241231", "2024-12-31 00:00:00", "20241232", "00000000"])
def test_a_date_that_could_be_read_two_ways_is_malformed(shown: str):
    line = csv_text([row(valid_to=shown)]).split("\r\n")[1].encode()
    with pytest.raises(RowRejected) as caught:
        RowParser().parse_cells(dialect_of(HEADER.encode()).cells(line))
    assert (caught.value.column, caught.value.fault) == ("valid_to", "malformed")


def test_latin_1_is_read_only_if_declared():
    line = csv_text([row(csr="MUTUéE")]).split("\r\n")[1].encode("latin-1")
    declared = dialect_of(HEADER.encode(), "latin-1").cells(line)
    assert declared[COLUMNS.index("csr")] == "MUTUéE"
    with pytest.raises(RowRejected, match="row: not_utf8"):
        dialect_of(HEADER.encode()).cells(line)


def test_bytes_that_the_declared_encoding_lacks_cost_one_row():
    line = csv_text([row(csr="?")]).split("\r\n")[1].encode().replace(b"?", b"\x81")
    with pytest.raises(RowRejected, match="row: undecodable"):
        dialect_of(HEADER.encode(), "cp1252").cells(line)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(encoding: str):
    mark = b"" if encoding == "utf-16" else {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[encoding]
    with pytest.raises(BuildError, match="UTF-16"):
        dialect_of(mark + HEADER.encode(encoding))


@pytest.mark.parametrize("line", [b"", b"x" * 200_000, b'"' * 200_000, b"\x00;\x00", HEADER.replace(";", "|").encode()])
def test_what_is_no_header_is_said(line: bytes):
    with pytest.raises(BuildError, match="neither NDJSON nor CSV"):
        dialect_of(line)


def test_ndjson_has_no_delimiter():
    assert dialect_of(b' {"nir":', "latin-1") == Dialect()
