"""Source files of a build: NDJSON, or CSV with a header; plain or gzip. Read in chunks of whole lines.

Files are read as bytes and each line is decoded by itself, so that one bad line costs one row. A line has a size
limit: a file without line ends must not fill the memory.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from service.errors import BuildError
from service.snapshot.chunks import MAX_LINE_BYTES, Chunk, ChunkParser, Numbered
from service.snapshot.dialects import Dialect, dialect_of
from service.snapshot.rows import RowParser

#: Some 650 rows: enough that what a chunk costs by itself is nothing, few enough that many may wait.
CHUNK_BYTES: Final = 256 * 1024

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BOM: Final = b"\xef\xbb\xbf"
_BUFFER_BYTES: Final = 1 << 18


class Source:
    """One open source file, to be read once: by `chunks`, or row by row.

    Both raise `BuildError` for a broken file and for a first line that belongs to no dialect.
    """

    def __init__(self, path: Path, parser: RowParser | None = None) -> None:
        try:
            self._raw = path.open("rb", buffering=0)
        except OSError as error:
            raise BuildError(f"the source {path} cannot be read: {error.strerror}") from error
        self.path = path
        self.size = os.fstat(self._raw.fileno()).st_size
        self._parser = parser or RowParser()
        # Held, because a buffered reader that is let go closes the file below it.
        self._file = self._open()

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
        number = 1
        for block in self._blocks(max_bytes):
            data = block.removeprefix(_BOM) if number == 1 else block
            if dialect is None:
                before, head, rest = _first_line(data)
                if not head:
                    number += before
                    continue
                dialect = self._dialect(head)
                if dialect.columns:
                    number, data = number + before + 1, rest
            yield Chunk(self.path.name, number, data, dialect)
            number += data.count(b"\n")

    def __iter__(self) -> Iterator[Numbered]:
        """Each line that is not blank as a row or a reject."""
        parse = ChunkParser(self._parser).parse
        for chunk in self.chunks():
            yield from parse(chunk)

    def _blocks(self, max_bytes: int) -> Iterator[bytes]:
        try:
            yield from _whole_lines(self._file, max_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BuildError(f"the source {self.path} is not whole: its gzip stream is cut or damaged") from error

    def _dialect(self, head: bytes) -> Dialect:
        try:
            return dialect_of(head)
        except BuildError as error:
            raise BuildError(f"{self.path.name}: {error.detail}") from None

    def _open(self) -> IO[bytes]:
        buffered = io.BufferedReader(self._raw, _BUFFER_BYTES)
        magic = buffered.peek(4)[:4]
        if magic.startswith(_GZIP):
            return io.BufferedReader(gzip.GzipFile(fileobj=buffered), _BUFFER_BYTES)
        if magic == _ZSTD:
            self._raw.close()
            raise BuildError(f"the source {self.path} is compressed with zstd, which is not read here: use gzip")
        return buffered


def open_source(path: Path) -> Source:
    """One source file, open at its beginning. Raises `BuildError` if it cannot be read."""
    return Source(path)


def _whole_lines(file: IO[bytes], max_bytes: int) -> Iterator[bytes]:
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
