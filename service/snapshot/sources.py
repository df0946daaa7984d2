"""Source files of a build: NDJSON, or CSV with a header; plain, gzip or zstd. Read in chunks of whole lines.

Files are read as bytes and each line is decoded by itself, so that one bad line costs one row. A line has a size
limit: a file without line ends must not fill the memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from service.errors import BuildError
from service.snapshot.chunks import MAX_LINE_BYTES, Chunk, ChunkParser, Numbered
from service.snapshot.compression import Decompressed
from service.snapshot.dialects import Dialect, Encoding, dialect_of
from service.snapshot.rows import RowParser

#: Some 650 rows: enough that what a chunk costs by itself is nothing, few enough that many may wait.
CHUNK_BYTES: Final = 256 * 1024

_BOM: Final = b"\xef\xbb\xbf"


class Source:
    """One open source file, to be read once: by `chunks`, or row by row.

    `encoding` is that of a CSV; NDJSON, and what begins with a UTF-8 BOM, is UTF-8 anyway. Reading raises `BuildError`
    for a broken file and for a first line that belongs to no dialect.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        try:
            self._raw = path.open("rb", buffering=0)
        except OSError as error:
            raise BuildError(f"the source {path} cannot be read: {error.strerror}") from error
        self.path = path
        self.size = os.fstat(self._raw.fileno()).st_size
        self._encoding = encoding
        self._file = Decompressed(path, self._raw)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def position(self) -> int:
        """Bytes read so far, as they lie on the disk (compressed if they are)."""
        return self._raw.tell() if self._raw.seekable() else 0

    def chunks(self, max_bytes: int = CHUNK_BYTES) -> Iterator[Chunk]:
        """The file's lines in chunks of about `max_bytes`, never more than that and one line; no header among them."""
        dialect: Dialect | None = None
        encoding = self._encoding
        number = 1
        for block in _whole_lines(self._file, max_bytes):
            data = block
            if number == 1 and block.startswith(_BOM):
                data, encoding = block.removeprefix(_BOM), "utf-8"
            if dialect is None:
                before, head, rest = _first_line(data)
                if not head:
                    number += before
                    continue
                dialect = self._dialect(head, encoding)
                if dialect.delimiter:
                    number, data = number + before + 1, rest
            yield Chunk(self.path.name, number, data, dialect)
            number += data.count(b"\n")

    def __iter__(self) -> Iterator[Numbered]:
        """Each line that is not blank as a row or a reject."""
        parse = ChunkParser(RowParser()).parse
        for chunk in self.chunks():
            yield from parse(chunk)

    def _dialect(self, head: bytes, encoding: Encoding) -> Dialect:
        try:
            return dialect_of(head[: MAX_LINE_BYTES + 1], encoding)
        except BuildError as error:
            raise BuildError(f"{self.path.name}: {error.detail}") from None


def open_source(path: Path, *, encoding: Encoding = "utf-8") -> Source:
    """One source file, open at its beginning. Raises `BuildError` if it cannot be read."""
    return Source(path, encoding)


def _whole_lines(file: Decompressed, max_bytes: int) -> Iterator[bytes]:
    """The bytes of a file, cut after line ends. Of a line too long, its middle is left out."""
    rest = b""
    while block := file.read(max_bytes):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
        rest = rest[: MAX_LINE_BYTES + 1]
    if rest:
        yield rest


def _first_line(data: bytes) -> tuple[int, bytes, bytes]:
    """How many blank lines come first, the first line that is not blank (empty if none is), and what follows it."""
    blank = start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        line = data[start:end]
        if not line.isspace():
            return blank, line, data[end:]
        blank, start = blank + 1, end
    return blank, b"", b""
