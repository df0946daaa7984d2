"""Raw lines of a source in blocks, and the rows in them.

A chunk is a few hundred kilobytes of whole lines as they were read: one bytes object, so that handing it to another
process costs a copy and no more. Whoever parses it gives the same rows, under the same line numbers.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from service.errors import BuildError, RowRejected
from service.snapshot.dialects import Dialect
from service.snapshot.rows import RowParser, SourceRow

#: A row has some 400 bytes; one with every rate code known has a few thousand.
MAX_LINE_BYTES: Final = 64 * 1024
TOO_LONG: Final = "too_long"

#: Line number and the row, or why it is none.
Numbered = tuple[int, SourceRow | RowRejected]


class Chunk(msgspec.Struct, frozen=True):
    """Whole lines of one source file: its name, the number of the first line, the bytes, and how to read them.

    Of a line longer than `MAX_LINE_BYTES` only so much is there that its reader sees it.
    """

    source: str
    first_line: int
    data: bytes
    dialect: Dialect


class ChunkParser:
    """Rows and rejects of chunks, in the order of their lines; blank lines are skipped, and counted."""

    def __init__(self, parser: RowParser) -> None:
        self._parser = parser

    def parse(self, chunk: Chunk) -> Iterator[Numbered]:
        """Each line that is not blank. Raises `BuildError`, naming file and line, for a column nobody may deliver."""
        parse = self._reader(chunk.dialect)
        for number, line in enumerate(io.BytesIO(chunk.data), chunk.first_line):
            if len(line) > MAX_LINE_BYTES:
                yield number, RowRejected("", TOO_LONG)
            elif not line.isspace():
                try:
                    row = parse(line)
                except RowRejected as rejected:
                    yield number, rejected
                except BuildError as error:
                    raise BuildError(f"{chunk.source}, line {number}: {error.detail}") from None
                else:
                    yield number, row

    def _reader(self, dialect: Dialect) -> Callable[[bytes], SourceRow]:
        if not dialect.delimiter:
            return self._parser.parse_json
        return lambda line: self._parser.parse_cells(dialect.cells(line))
