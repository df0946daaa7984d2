"""Decompression of source files: gzip of any number of members, zstd of any number of frames.

Everything streams: whatever a compressed file claims or expands to, a reader holds one buffer of it, and the window
of zstd, which is refused above 128 MiB (what `zstd --long` writes).
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import IO, Final

from service.errors import BuildError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BUFFER_BYTES: Final = 1 << 18
_MAX_WINDOW_LOG: Final = 27
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
#: A skippable frame, 0x184D2A5x in little endian (RFC 8878 §3.1.2): parallel compressors begin with one.
_SKIPPABLE: Final = (b"\x2a\x4d\x18", range(0x50, 0x60))


class Decompressed:
    """The bytes of a file after decompression, if it is compressed: its first bytes tell, not its name."""

    def __init__(self, path: Path, raw: io.RawIOBase) -> None:
        # Held, because a buffered reader that is let go closes the file below it.
        self._compressed: io.BufferedReader = io.BufferedReader(raw, _BUFFER_BYTES)
        self._path = path
        self._file = _stream(self._compressed)

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end. Raises `BuildError` for a stream that is cut or damaged."""
        try:
            return self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BuildError(f"the source {self._path} is not whole: compressed, and cut or damaged") from error
        except zstd.ZstdError as error:
            raise BuildError(f"the source {self._path} is not whole: {error}") from error


def _stream(compressed: io.BufferedReader) -> IO[bytes]:
    magic = compressed.peek(4)[:4]
    if magic.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=compressed), _BUFFER_BYTES)
    if magic == _ZSTD or (magic[1:] == _SKIPPABLE[0] and magic[0] in _SKIPPABLE[1]):
        options = {int(zstd.DecompressionParameter.window_log_max): _MAX_WINDOW_LOG}
        return io.BufferedReader(zstd.ZstdFile(compressed, options=options), _BUFFER_BYTES)
    return compressed
