"""Rows as NDJSON: to a file, compressed by its name, or to the standard output."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import orjson

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Row = dict[str, Any]
STANDARD_OUTPUT: Final = Path("-")


def write_rows(rows: Iterator[Row], file: BinaryIO) -> int:
    """Rows as NDJSON; gives their number."""
    written = 0
    # Row by row into bytes: a thousand dicts held at once cost more in memory traffic than making them.
    while batch := [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in islice(rows, 1000)]:
        file.write(b"".join(batch))
        written += len(batch)
    return written


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Where rows are written: a file, compressed if its name ends in `.gz` or `.zst`, or the standard output."""
    if path == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    with path.open("wb") as file:
        if path.suffix == ".gz":
            # Without name and time: the same rows are the same file.
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as compressed:
                yield cast("BinaryIO", compressed)
        elif path.suffix == ".zst":
            with zstd.ZstdFile(file, "w") as compressed:
                yield cast("BinaryIO", compressed)
        else:
            yield file
