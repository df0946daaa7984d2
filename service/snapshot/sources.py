"""Source files of a build: NDJSON, or CSV with a header; plain or gzip. Rows come one by one, bad ones as values.

Files are read as bytes and each line is decoded by itself, so that one bad line costs one row. A line has a size
limit: a file without line ends must not fill the memory.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from service.errors import BuildError, RowRejected
from service.snapshot.rows import COLUMNS, MALFORMED, MISSING, NOT_UTF8, RowParser, SourceRow, unknown_column
from service.strictjson import parse_strict

#: A row has some 400 bytes; one with every rate code known has a few thousand.
MAX_LINE_BYTES: Final = 64 * 1024
TOO_LONG: Final = "too_long"
NOT_CSV: Final = "not_csv"

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BOM: Final = b"\xef\xbb\xbf"
_INTEGER: Final = re.compile(r"[0-9]{1,4}")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_DATES: Final = frozenset({"valid_from", "valid_to", "card_valid_to", "closed_on"})
_INTEGERS: Final = frozenset({"birth_rank", "payer_rank"})
#: JSON texts inside CSV, and what an empty cell means.
_JSON_TEXTS: Final = {"suspended": "[]", "domains": "[]", "rates": "{}"}

#: Line number and the row, or why it is none.
Numbered = tuple[int, SourceRow | RowRejected]


class Source:
    """One open source file. Iterating gives each line as a row or a reject; raises `BuildError` for a broken file."""

    def __init__(self, path: Path, parser: RowParser) -> None:
        try:
            self._raw = path.open("rb", buffering=0)
        except OSError as error:
            raise BuildError(f"the source {path} cannot be read: {error.strerror}") from error
        self.path = path
        self.size = os.fstat(self._raw.fileno()).st_size
        self._parser = parser
        # Held, because a buffered reader that is let go closes the file below it.
        self._file = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._raw.close()

    def position(self) -> int:
        """Bytes read so far, as they lie on the disk (compressed if they are)."""
        return self._raw.tell() if self._raw.seekable() else 0

    def __iter__(self) -> Iterator[Numbered]:
        try:
            lines = _lines(self._file)
            first = next(lines, None)
            if first is None:
                return
            number, head = first
            head = head.removeprefix(_BOM)
            if head.lstrip()[:1] == b"{":
                yield from self._ndjson(number, head, lines)
            else:
                yield from self._csv(head, lines)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BuildError(f"the source {self.path} is not whole: its gzip stream is cut or damaged") from error

    def _open(self) -> IO[bytes]:
        buffered = io.BufferedReader(self._raw, 1 << 18)
        magic = buffered.peek(4)[:4]
        if magic.startswith(_GZIP):
            return io.BufferedReader(gzip.GzipFile(fileobj=buffered), 1 << 18)
        if magic == _ZSTD:
            self._raw.close()
            raise BuildError(f"the source {self.path} is compressed with zstd, which is not read here: use gzip")
        return buffered

    def _ndjson(self, number: int, line: bytes, lines: Iterator[tuple[int, bytes]]) -> Iterator[Numbered]:
        parse = self._parser.parse_json
        while True:
            try:
                yield number, parse(line) if len(line) <= MAX_LINE_BYTES else RowRejected("", TOO_LONG)
            except RowRejected as rejected:
                yield number, rejected
            except BuildError as error:
                raise BuildError(f"{self.path.name}, line {number}: {error.detail}") from None
            found = next(lines, None)
            if found is None:
                return
            number, line = found

    def _csv(self, head: bytes, lines: Iterator[tuple[int, bytes]]) -> Iterator[Numbered]:
        try:
            columns, delimiter = _header(head)
        except BuildError as error:
            raise BuildError(f"{self.path.name}: {error.detail}") from None
        for number, line in lines:
            try:
                yield number, self._parser.parse_values(_values(line, columns, delimiter))
            except RowRejected as rejected:
                yield number, rejected


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers; of one too long only so much that its reader sees it."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE_BYTES + 1)
        elif line.isspace():
            continue
        yield number, line


def _header(line: bytes) -> tuple[list[str], str]:
    """Columns and delimiter. Raises `BuildError` unless each column of the schema is there once and no other."""
    text = line.decode("utf-8", "replace")
    delimiter = ";" if text.count(";") >= text.count(",") else ","
    columns = [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])]
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
    return columns, delimiter


def _values(line: bytes, columns: list[str], delimiter: str) -> dict[str, Any]:
    """Values by column of one line. A quoted line end is no part of any column, so a line is a row."""
    if len(line) > MAX_LINE_BYTES:
        raise RowRejected("", TOO_LONG)
    try:
        cells = next(csv.reader([line.decode("utf-8")], delimiter=delimiter, strict=True))
    except UnicodeDecodeError:
        raise RowRejected("", NOT_UTF8) from None
    except csv.Error:
        raise RowRejected("", NOT_CSV) from None
    if len(cells) != len(columns):
        raise RowRejected("", NOT_CSV)
    return {column: _value(column, cell) for column, cell in zip(columns, cells, strict=True)}


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
