"""A segment's two files: `<journal id>.jsonl` and `<journal id>.key`. The only module that writes them.

A segment is created whole (key file, then header, each renamed into place), then only appended to. Nothing ever
rewrites or shortens it: what a crash leaves behind its last whole head is evidence, and is reported. When its time is
over, `<journal id>.heads` takes the place of both (`prune`).
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from service.base64url import sha256_b64u
from service.errors import JournalDamaged, SignatureRejected
from service.files import PRIVATE_MODE, write_durable
from service.journal.entries import (
    HEAD_LINE,
    HEADER_LINE,
    MAX_LINE_BYTES,
    Header,
    Link,
    parse_head,
    parse_head_line,
    parse_header,
    parse_header_line,
    unverified_payload,
)
from service.paris import paris_day

SEGMENT_SUFFIX: Final = ".jsonl"
KEY_SUFFIX: Final = ".key"
HEADS_SUFFIX: Final = ".heads"
_BLOCK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """An open segment, for appending. `day` is its Europe/Paris day, as the instants where it begins and ends."""

    descriptor: int
    day: tuple[dt.datetime, dt.datetime]

    def covers(self, now: dt.datetime) -> bool:
        """Whether `now` lies in the segment's day."""
        return self.day[0] <= now < self.day[1]

    def append(self, data: bytes, *, fsync: bool) -> None:
        """One write and one fdatasync. Raises OSError; then the segment must not be written again.

        After a failed fdatasync the kernel may have dropped the pages and call the next one a success, so it is
        never tried twice.
        """
        if os.write(self.descriptor, data) != len(data):
            raise OSError("the journal took only a part of a batch")
        if fsync:
            os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def segment_path(directory: Path, journal: str) -> Path:
    """Where a segment lies."""
    return directory / f"{journal}{SEGMENT_SUFFIX}"


def key_path(segment: Path) -> Path:
    """Where the key file of a segment lies."""
    return segment.with_suffix(KEY_SUFFIX)


def segment_paths(directory: Path) -> list[Path]:
    """All segments in a directory, oldest first."""
    return sorted(directory.glob(f"*{SEGMENT_SUFFIX}"))


def heads_path(segment: Path) -> Path:
    """Where the header and heads of a segment lie once it is pruned."""
    return segment.with_suffix(HEADS_SUFFIX)


def pruned_paths(directory: Path) -> list[Path]:
    """The heads of all pruned segments in a directory, oldest first."""
    return sorted(directory.glob(f"*{HEADS_SUFFIX}"))


def file_digest(path: Path) -> str:
    """SHA-256 of a small file, as a header names its key file."""
    return sha256_b64u(path.read_bytes())


def create_segment(path: Path, key_file: bytes, header: bytes, now: dt.datetime) -> SegmentFile:
    """A new segment with its key file and header on disk. Raises OSError and leaves no segment then."""
    try:
        write_durable(key_path(path), key_file, PRIVATE_MODE)
        write_durable(path, header, PRIVATE_MODE)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        # It holds nothing yet; should a crash bring it back, it stands empty beside the one that took its place.
        path.unlink(missing_ok=True)
        key_path(path).unlink(missing_ok=True)
        raise
    return SegmentFile(descriptor=descriptor, day=paris_day(now))


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line with its newline) of a file, in bounded memory.

    A line beyond the limit comes in pieces, none of which parses; the last line of a torn file has no newline.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            yield number, line


def latest_link(directory: Path, node: str, worker: int) -> Link | None:
    """The last whole head of this worker's latest segment, for the header of its next; None for its first.

    Latest is the one that no other names as `previous`: names are made from wall time, which may go back.
    """
    # In this order: what is pruned meanwhile stands in both, never in neither.
    paths = segment_paths(directory)
    pruned = {path.stem: path for path in pruned_paths(directory)}
    paths += pruned.values()
    headers = [header for path in paths if (header := peek_header(path)) is not None]
    own = [header for header in headers if (header.node, header.worker) == (node, worker)]
    followed = {header.previous.journal for header in own if header.previous is not None}
    ends = sorted(header.journal for header in own if header.journal not in followed)
    if not ends:
        return None
    latest = segment_path(directory, ends[-1])
    head = last_whole_head(latest) if latest.is_file() else _last_head(pruned[ends[-1]])
    return Link(head=head, journal=ends[-1])


def peek_header(path: Path) -> Header | None:
    """The header of a segment, unverified; None if there is none in it or it belongs under another name."""
    header = _peek(path)
    return header if header is not None and header.journal == path.stem else None


def named_in_header(path: Path) -> str | None:
    """The journal id that a file's header names, unverified: another one than the file's in a copy; None without."""
    header = _peek(path)
    return None if header is None else header.journal


def _peek(path: Path) -> Header | None:
    with path.open("rb") as file:
        line = file.readline(MAX_LINE_BYTES)
    try:
        return parse_header(unverified_payload(parse_header_line(line.rstrip(b"\n"))))
    except SignatureRejected:
        return None


def last_whole_head(path: Path) -> str:
    """SHA-256 of the JWS of the last head that stands under all its lines, else of the header's JWS.

    Read from the end, one batch at a time. A crash may leave a head on disk whose lines are not, hence the
    digest; signatures are for the verifier. Raises `JournalDamaged` if there is no header.
    """
    token, digest = "", ""
    batch: list[bytes] = []
    with path.open("rb") as file:
        for line in _whole_lines_backward(file):
            if not line.startswith((HEAD_LINE, HEADER_LINE)):
                batch.append(line)
                continue
            if token and sha256_b64u(b"".join(reversed(batch))) == digest:
                return sha256_b64u(token.encode("ascii"))
            if line.startswith(HEADER_LINE):
                return sha256_b64u(parse_header_line(line[:-1]).encode("ascii"))
            batch = []
            token, digest = _peek_head(line)
    raise JournalDamaged(f"{path.name} has no header")


def last_recorded(pruned: Path) -> str:
    """When the last head of a pruned segment was made, unverified; the header's where there is none."""
    line = _last_line(pruned)[:-1]
    if line.startswith(HEAD_LINE):
        return parse_head(unverified_payload(parse_head_line(line))).at
    return parse_header(unverified_payload(parse_header_line(line))).at


def _last_head(path: Path) -> str:
    """SHA-256 of the JWS in the last line of a pruned segment: its last head, else its header."""
    line = _last_line(path)[:-1]
    token = parse_head_line(line) if line.startswith(HEAD_LINE) else parse_header_line(line)
    return sha256_b64u(token.encode("ascii"))


def _last_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return next(_whole_lines_backward(file), b"")


def _peek_head(line: bytes) -> tuple[str, str]:
    """(JWS, digest of its lines) of a head line; empty if it is none."""
    try:
        token = parse_head_line(line[:-1])
        return token, parse_head(unverified_payload(token)).entries
    except SignatureRejected:
        return "", ""


def _whole_lines_backward(file: IO[bytes]) -> Iterator[bytes]:
    """Lines that end in a newline, last first."""
    position = file.seek(0, os.SEEK_END)
    rest, torn = b"", True
    while position > 0:
        size = min(_BLOCK_BYTES, position)
        position = file.seek(position - size)
        rest, *whole = (file.read(size) + rest).split(b"\n")
        if whole and torn:
            whole.pop()
            torn = False
        for line in reversed(whole):
            yield line + b"\n"
    if not torn:
        yield rest + b"\n"
