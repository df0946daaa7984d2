"""How the lines of a source are written: NDJSON, or CSV under a header. Found once a file, by its first line. Pure."""

from __future__ import annotations

import csv
import re
from typing import Any, Final

import msgspec

from service.errors import BuildError, RowRejected
from service.snapshot.rows import COLUMNS, MALFORMED, MISSING, NOT_UTF8, unknown_column
from service.strictjson import parse_strict

NOT_CSV: Final = "not_csv"

_INTEGER: Final = re.compile(r"[0-9]{1,4}")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_DATES: Final = frozenset({"valid_from", "valid_to", "card_valid_to", "closed_on"})
_INTEGERS: Final = frozenset({"birth_rank", "payer_rank"})
#: JSON texts inside CSV, and what an empty cell means.
_JSON_TEXTS: Final = {"suspended": "[]", "domains": "[]", "rates": "{}"}


class Dialect(msgspec.Struct, frozen=True):
    """NDJSON where there are no `columns`; CSV with these columns and this delimiter otherwise."""

    columns: tuple[str, ...] = ()
    delimiter: str = ""

    def values(self, line: bytes) -> dict[str, Any]:
        """Values by column of one line of CSV. Raises `RowRejected`.

        A quoted line end is no part of any column, so a line is a row.
        """
        try:
            cells = next(csv.reader([line.decode("utf-8")], delimiter=self.delimiter, strict=True))
        except UnicodeDecodeError:
            raise RowRejected("", NOT_UTF8) from None
        except csv.Error:
            raise RowRejected("", NOT_CSV) from None
        if len(cells) != len(self.columns):
            raise RowRejected("", NOT_CSV)
        return {column: _value(column, cell) for column, cell in zip(self.columns, cells, strict=True)}


def dialect_of(line: bytes) -> Dialect:
    """The dialect that a file's first line shows: a row of NDJSON, or the header of a CSV.

    Raises `BuildError` unless each column of the schema is there once and no other.
    """
    if line.lstrip()[:1] == b"{":
        return Dialect()
    text = line.decode("utf-8", "replace")
    delimiter = ";" if text.count(";") >= text.count(",") else ","
    columns = tuple(cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), []))
    if not set(COLUMNS).intersection(columns):
        raise BuildError("neither NDJSON nor CSV with a header line of the schema's columns")
    for position, column in enumerate(columns, start=1):
        if column not in COLUMNS:
            raise unknown_column(column, position)
    if len(set(columns)) != len(columns):
        raise BuildError("the header names a column twice")
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise BuildError(f"the header lacks {', '.join(missing)}")
    return Dialect(columns, delimiter)


def _value(column: str, cell: str) -> Any:
    if column in _JSON_TEXTS:
        return _json_value(column, cell or _JSON_TEXTS[column])
    if column in _DATES:
        return cell or None
    if column in _INTEGERS:
        if not _INTEGER.fullmatch(cell):
            raise RowRejected(column, MALFORMED if cell else MISSING)
        return int(cell)
    if column == "responsible":
        if cell.lower() not in _BOOLEANS:
            raise RowRejected(column, MALFORMED if cell else MISSING)
        return _BOOLEANS[cell.lower()]
    return cell


def _json_value(column: str, text: str) -> Any:
    try:
        return parse_strict(text)
    except ValueError:
        raise RowRejected(column, MALFORMED) from None
