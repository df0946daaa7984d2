"""Reading a pruned segment back: its header and heads, which still prove how many entries stood there.

What is gone cannot be checked any more, so a segment may be pruned only when its time is over: otherwise whoever wants
to hide entries would only have to prune them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from service.base64url import sha256_b64u
from service.errors import SignatureRejected
from service.journal.damage import Cause, Finding
from service.journal.entries import (
    HEAD_TYP,
    HEADER_TYP,
    Head,
    Header,
    instant,
    parse_head,
    parse_head_line,
    parse_header,
    parse_header_line,
)
from service.journal.reader import SegmentReport
from service.journal.segment import lines
from service.jwk import PublicKey
from service.jws import peek_kid, verify_compact

#: CNIL, délibération 2021-122: logs are kept for six months at least.
LEAST_DAYS: Final = 180


def read_pruned(
    path: Path, keys: Mapping[str, PublicKey], wanted: Collection[str] = (), now: dt.datetime | None = None
) -> SegmentReport:
    """The heads of a pruned segment, verified; like `read_segment`. Raises OSError.

    The first damage ends it: without a head, what follows it proves nothing. Pruned before its time (at `now`; without
    it, always) is damage.
    """
    report = SegmentReport(name=path.stem)
    try:
        _read(path, keys, wanted, report)
    except _Damaged as damage:
        report.findings.append(damage.finding)
        return report
    if now is None or report.last_at > instant(now - dt.timedelta(days=LEAST_DAYS)):
        text = f"its entries are gone, though the last was recorded at {report.last_at}"
        report.findings.append(Finding(Cause.CUT, report.name, text, 0, max(0, report.entries - 1)))
    return report


class _Damaged(Exception):  # noqa: N818 - not an error: what ends the reading
    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def _read(path: Path, keys: Mapping[str, PublicKey], wanted: Collection[str], report: SegmentReport) -> None:
    previous = ""
    for number, line in lines(path):
        try:
            if number == 1:
                previous = _header(line, keys, report)
            else:
                previous = _head(number, line, keys, previous, report)
                if previous in wanted:
                    report.heads[previous] = report.entries
        except SignatureRejected as error:
            raise _Damaged(Finding(Cause.EDIT, report.name, error.detail, line=number)) from error
    if not previous:
        raise _Damaged(Finding(Cause.EDIT, report.name, "the segment does not begin with its header"))


def _header(line: bytes, keys: Mapping[str, PublicKey], report: SegmentReport) -> str:
    token = parse_header_line(line[:-1])
    header: Header = parse_header(_payload(token, HEADER_TYP, keys, report, 1))
    if header.journal != report.name:
        text = f"its header is that of segment {header.journal}"
        raise _Damaged(Finding(Cause.DUPLICATE_SEGMENT, report.name, text))
    report.header, report.header_sha256, report.last_at = header, sha256_b64u(token.encode("ascii")), header.at
    report.heads[report.header_sha256] = 0
    return report.header_sha256


def _head(number: int, line: bytes, keys: Mapping[str, PublicKey], previous: str, report: SegmentReport) -> str:
    token = parse_head_line(line[:-1])
    head = parse_head(_payload(token, HEAD_TYP, keys, report, number))
    if head.journal != report.name:
        raise SignatureRejected(f"the head belongs to segment {head.journal}")
    _follows(head, number, previous, report)
    report.entries, report.last_at = head.first + head.size, max(report.last_at, head.at)
    report.batches += 1
    return sha256_b64u(token.encode("ascii"))


def _follows(head: Head, number: int, previous: str, report: SegmentReport) -> None:
    first, last = head.first, head.first + head.size - 1
    if first > report.entries:
        text = "the head of these entries is missing"
        raise _Damaged(Finding(Cause.GAP, report.name, text, report.entries, first - 1, number))
    if first < report.entries:
        text = "the head of these entries stands again"
        raise _Damaged(Finding(Cause.DUPLICATE_ENTRY, report.name, text, first, last, number))
    if head.previous != previous:
        text = "its head follows another head than the one before it"
        raise _Damaged(Finding(Cause.FORK, report.name, text, first, last, number))


def _payload(token: str, typ: str, keys: Mapping[str, PublicKey], report: SegmentReport, number: int) -> bytes:
    kid = peek_kid(token, typ)
    if kid not in keys:
        text = f"signed by key {kid}, which is not known here"
        raise _Damaged(Finding(Cause.UNKNOWN_KEY, report.name, text, line=number))
    return verify_compact(token, typ, keys)
