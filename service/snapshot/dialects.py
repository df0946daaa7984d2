"""How the lines of a source are written: NDJSON, or CSV under a header. Found once a file, by its first line. Pure."""

from __future__ import annotations

import csv
from typing import Final, Literal

import msgspec

from service.errors import BuildError, RowRejected
from service.snapshot.columns import COLUMNS, NOT_UTF8, unknown_column

NOT_CSV: Final = "not_csv"
UNDECODABLE: Final = "undecodable"

#: How a CSV may be encoded. Nothing in a file tells the last two apart, so they are declared and never guessed.
Encoding = Literal["utf-8", "latin-1", "cp1252"]

#: The first of those that occur most in the header.
_DELIMITERS: Final = (";", ",", "\t")
_BYTES_OF_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
#: Where a space belongs to the value: a CSR is text that only its AMC reads.
_KEPT_AS_IT_IS: Final = COLUMNS.index("csr")


class Dialect(msgspec.Struct, frozen=True):
    """NDJSON, which is UTF-8 (RFC 8259 §8.1), where there is no `delimiter`; CSV otherwise.

    `order` says for each column of the schema which cell of a line is its own.
    """

    delimiter: str = ""
    order: tuple[int, ...] = ()
    encoding: Encoding = "utf-8"

    def cells(self, line: bytes) -> list[str]:
        """The cells of one line of CSV in the order of `COLUMNS`. Raises `RowRejected`.

        A quoted line end is no part of any column, so a line is a row. Spaces around a cell are none of it.
        """
        try:
            cells = next(csv.reader([line.decode(self.encoding)], delimiter=self.delimiter, strict=True))
        except UnicodeDecodeError:
            raise RowRejected("", NOT_UTF8 if self.encoding == "utf-8" else UNDECODABLE) from None
        except csv.Error:
            raise RowRejected("", NOT_CSV) from None
        if len(cells) != len(self.order):
            raise RowRejected("", NOT_CSV)
        ordered = [cells[place].strip(" ") for place in self.order]
        ordered[_KEPT_AS_IT_IS] = cells[self.order[_KEPT_AS_IT_IS]]
        return ordered


def dialect_of(line: bytes, encoding: Encoding = "utf-8") -> Dialect:
    """The dialect that a file's first line shows: a row of NDJSON, or the header of a CSV.

    Raises `BuildError` unless each column of the schema is there once and no other.
    """
    if line.startswith(_BYTES_OF_UTF16):
        raise BuildError("this is UTF-16: write it as UTF-8")
    if line.lstrip()[:1] == b"{":
        return Dialect()
    text = line.decode(encoding, "replace")
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        header = [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])]
    except csv.Error:
        header = []
    names = [cell.lower().replace(" ", "_") for cell in header]
    if not set(COLUMNS).intersection(names):
        raise BuildError("neither NDJSON nor CSV with a header line of the schema's columns")
    for position, (cell, name) in enumerate(zip(header, names, strict=True), start=1):
        if name not in COLUMNS:
            raise unknown_column(cell, position)
    if len(set(names)) != len(names):
        raise BuildError("the header names a column twice")
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise BuildError(f"the header lacks {', '.join(missing)}")
    return Dialect(delimiter, tuple(map(names.index, COLUMNS)), encoding)
