"""Reading one segment back: every line against the heads, in memory that does not grow with the segment.

A segment is checked as it stands, also while it is being written: what follows its last whole head is reported as
its tail. After damage the reader goes on from the next head it can trust, so that each damage is named once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from service.base64url import sha256_b64u
from service.errors import SignatureRejected
from service.journal.damage import Cause, Finding
from service.journal.entries import (
    HEAD_LINE,
    HEAD_TYP,
    HEADER_TYP,
    MAX_LINE_BYTES,
    Head,
    Header,
    parse_head,
    parse_head_line,
    parse_header,
    parse_header_line,
    unverified_payload,
)
from service.journal.segment import file_digest, heads_path, key_path, lines, segment_path
from service.journal.span import Span, Tear
from service.jwk import PublicKey
from service.jws import peek_kid, verify_compact


@dataclass(slots=True)
class SegmentReport:
    """What one segment holds up to its last whole head, and what is wrong with it.

    `heads` gives the number of entries up to each head that was asked for and found (by SHA-256 of its JWS; the
    header counts as a head of none). `last_at` is when the last of them was made, the header's where there is none.
    """

    name: str
    header: Header | None = None
    header_sha256: str = ""
    entries: int = 0
    batches: int = 0
    last_at: str = ""
    heads: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def damaged(self) -> bool:
        """Whether any finding is more than a remark."""
        return any(finding.damages for finding in self.findings)


class Position(msgspec.Struct, frozen=True):
    """Where a head stands: its segment, the line, the entries it covers."""

    journal: str
    line: int
    first: int
    last: int


def find_head(directory: Path, token: str) -> Position | None:
    """Where a head (its JWS) stands in the journal; None if it does not. It checks no signature."""
    try:
        head = parse_head(unverified_payload(token))
    except SignatureRejected:
        return None
    # The name comes from a receipt: it must be a plain file name before it becomes a path.
    if not set(head.journal) <= set("0123456789abcdef-"):
        return None
    path = segment_path(directory, head.journal)
    if not path.is_file():
        path = heads_path(path)
    if not path.is_file():
        return None
    wanted = HEAD_LINE + token.encode("ascii") + b'"}\n'
    for number, line in lines(path):
        if line == wanted:
            return Position(journal=head.journal, line=number, first=head.first, last=head.first + head.size - 1)
    return None


def read_segment(
    path: Path,
    keys: Mapping[str, PublicKey],
    wanted: Collection[str] = (),
    report: Callable[[int], None] = lambda _bytes: None,
) -> SegmentReport:
    """A segment verified with receipt `keys` by kid; `wanted` are hashes of heads to look out for.

    `report` is told at each head how many bytes are read. Raises OSError.
    """
    return _SegmentReader(path, keys, wanted).read(report)


class _SegmentReader:
    """The state of one pass over a segment."""

    def __init__(self, path: Path, keys: Mapping[str, PublicKey], wanted: Collection[str]) -> None:
        self._path = path
        self._keys = keys
        self._wanted = wanted
        self._report = SegmentReport(name=path.stem)
        self._span = Span(path.stem, 0)
        self._previous: str | None = None
        self._at = ""
        self._gaps: list[range] = []
        self._unknown: set[str] = set()
        self._tear: Finding | None = None
        self._copied = False

    def read(self, report: Callable[[int], None]) -> SegmentReport:
        """The report."""
        torn = done = 0
        for number, line in lines(self._path):
            if self._copied:
                # Each of its heads would contradict its name once more.
                return self._report
            done += len(line)
            if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                torn = len(line)
            elif number == 1:
                self._header(line)
            elif line.startswith(HEAD_LINE):
                self._head(number, line)
                report(done)
            else:
                self._span.take(number, line, self._gaps)
        self._finish(torn)
        self._report.last_at = self._at
        return self._report

    def _add(self, cause: Cause, text: str, *place: int) -> None:
        """A finding at (first, last, line), of which later ones may be left out."""
        self._report.findings.append(Finding(cause, self._report.name, text, *place))

    def _header(self, line: bytes) -> None:
        try:
            token = parse_header_line(line[:-1])
            header = parse_header(unverified_payload(token))
        except SignatureRejected:
            self._add(Cause.EDIT, "the segment does not begin with its header")
            return
        if header.journal != self._report.name:
            self._add(Cause.DUPLICATE_SEGMENT, f"its header is that of segment {header.journal}")
            self._copied = True
        if self._payload(token, HEADER_TYP) is None:
            return
        self._report.header, self._report.header_sha256 = header, sha256_b64u(token.encode("ascii"))
        self._previous, self._at = self._report.header_sha256, header.at
        self._report.heads[self._report.header_sha256] = 0
        self._key_file(header)

    def _key_file(self, header: Header) -> None:
        try:
            digest = file_digest(key_path(self._path))
        except FileNotFoundError:
            self._add(Cause.KEY_FILE_CHANGED, "its key file is missing: no officer can open its entries")
            return
        if digest != header.key_sha256:
            self._add(Cause.KEY_FILE_CHANGED, "its key file is not the one its header names")

    def _payload(self, token: str, typ: str) -> bytes | None:
        """The signed payload, or None after a finding; one finding for each unknown key."""
        span = self._span
        try:
            kid = peek_kid(token, typ)
            if kid in self._keys:
                return verify_compact(token, typ, self._keys)
        except SignatureRejected as error:
            self._add(Cause.EDIT, f"{'header' if typ == HEADER_TYP else 'head'}: {error.detail}", *span.place())
            return None
        if kid not in self._unknown:
            self._unknown.add(kid)
            self._add(Cause.UNKNOWN_KEY, f"signed by key {kid}, which is not known here", *span.place())
        return None

    def _head(self, number: int, line: bytes) -> None:
        """Close the batch: one finding at most, then go on behind it."""
        self._flush_tear()
        span, head, token = self._span, None, ""
        span.head_line = number
        try:
            token = parse_head_line(line[:-1])
        except SignatureRejected as error:
            self._add(Cause.EDIT, f"head: {error.detail}", *span.place())
        payload = self._payload(token, HEAD_TYP) if token else None
        if payload is not None:
            try:
                head = parse_head(payload)
            except SignatureRejected as error:
                self._add(Cause.EDIT, f"head: {error.detail}", *span.place())
        if head is None:
            self._previous = None
            self._span = Span(self._report.name, span.next)
            return
        self._judge(span, head, sha256_b64u(token.encode("ascii")))

    def _judge(self, span: Span, head: Head, head_sha256: str) -> None:
        """Compare a head whose signature holds with its lines, and count on behind it."""
        finding = span.compare(head, self._previous)
        end = head.first + head.size
        if finding is not None and span.torn:
            # Zeros where lines should be: a crash left them, unless another head follows.
            self._tear, self._previous = finding, None
            self._span = Span(self._report.name, end)
            return
        if finding is not None:
            self._report.findings.append(finding)
            if finding.cause is Cause.GAP and finding.first is not None:
                self._gaps.append(range(finding.first, (finding.last or finding.first) + 1))
        elif head.at < self._at:
            text = f"recorded at {head.at}, after {self._at}"
            self._report.findings.append(
                Finding(Cause.CLOCK_BACK, self._report.name, text, head.first, end - 1, span.head_line)
            )
        self._at = head.at
        self._report.batches += 1
        if head_sha256 in self._wanted:
            self._report.heads[head_sha256] = end
        # A head that is repeated or out of place does not move the count back.
        if end > self._report.entries:
            self._report.entries, self._previous = end, head_sha256
        self._span = Span(self._report.name, self._report.entries)

    def _flush_tear(self) -> None:
        if self._tear is not None:
            self._report.findings.append(self._tear)
            self._tear = None

    def _finish(self, torn: int) -> None:
        """Name the tail: lines without a head, a line without an end, zeros under the last head."""
        if self._report.header is None and not self._report.findings:
            self._add(Cause.EDIT, "the segment does not begin with its header")
        tail = Tear(lines=self._span.count, bytes=self._span.size + torn, zeros=self._tear is not None)
        if self._span.tail_fault is not None:
            self._report.findings.append(self._span.tail_fault)
        elif tail:
            self._add(Cause.TORN_TAIL, str(tail), self._report.entries)
