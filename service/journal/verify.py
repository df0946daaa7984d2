"""Verifying a whole journal: each segment, their chains by worker, and the register of the control store.

What it proves: every entry up to each segment's last whole head stands as the node signed it, none is missing
between them, and, with the register, none is missing after them but what a crash took within its last second. What
it does not prove: that the answers were true, nor anything about a tail that no head signed.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.journal.damage import Cause, Finding
from service.journal.entries import Link
from service.journal.pruned import read_pruned
from service.journal.reader import SegmentReport, read_segment
from service.journal.register import RegisteredSegment, RegisterView
from service.journal.segment import HEADS_SUFFIX, heads_path, peek_header, pruned_paths, segment_paths
from service.journal.steps import Steps
from service.jwk import PublicKey


@dataclass(frozen=True, slots=True)
class JournalReport:
    """Outcome for a directory; `registered` is False when the register could not be compared.

    Of the `segments`, `pruned` are heads only: their count and order are proved, their entries are gone.
    """

    segments: int
    pruned: int
    entries: int
    batches: int
    registered: bool
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing but remarks was found."""
        return not any(finding.damages for finding in self.findings)


def verify_journal(
    directory: Path,
    keys: Mapping[str, PublicKey],
    register: RegisterView | None,
    now: dt.datetime | None = None,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> JournalReport:
    """Every segment in a directory, verified with receipt `keys` by kid. Works while they are being written.

    `now` tells whether the time of a pruned segment was over; without it none's was. `report` is told how many bytes
    are read, of how many. Raises OSError if a file cannot be read, and `StoreUnavailable` from the register.
    """
    # The register first, then the names, then the files: each may only have grown since.
    registered = None if register is None else {segment.journal: segment for segment in register.segments()}
    paths = {path.stem: path for path in [*segment_paths(directory), *pruned_paths(directory)]}
    wanted = _wanted(paths.values(), registered or {})
    steps = Steps(list(paths.values()), report)
    reports = {
        name: _read(path, keys, wanted.get(name, ()), now, steps.of(path)) for name, path in sorted(paths.items())
    }
    steps.end()
    findings = [finding for one in reports.values() for finding in one.findings]
    findings += _chains(reports)
    if registered is not None:
        findings += _against_register(reports, registered)
    return JournalReport(
        segments=len(reports),
        pruned=sum(path.suffix == HEADS_SUFFIX for path in paths.values()),
        entries=sum(one.entries for one in reports.values()),
        batches=sum(one.batches for one in reports.values()),
        registered=registered is not None,
        findings=tuple(findings),
    )


def _read(
    path: Path,
    keys: Mapping[str, PublicKey],
    wanted: Collection[str],
    now: dt.datetime | None,
    report: Callable[[int], None],
) -> SegmentReport:
    if path.suffix == HEADS_SUFFIX:
        return read_pruned(path, keys, wanted, now)
    found = read_segment(path, keys, wanted, report) if path.is_file() else None
    if found is None or heads_path(path).is_file():
        # Pruned since it was listed, perhaps while it was read.
        return read_pruned(heads_path(path), keys, wanted, now)
    return found


def _wanted(paths: Iterable[Path], registered: Mapping[str, RegisteredSegment]) -> dict[str, set[str]]:
    """Hashes of heads to look out for, by the segment that should hold them."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        header = peek_header(path if path.is_file() else heads_path(path))
        if header is not None and header.previous is not None:
            wanted[header.previous.journal].add(header.previous.head)
    for segment in registered.values():
        if segment.head_sha256 is not None:
            wanted[segment.journal].add(segment.head_sha256)
    return wanted


def _chains(reports: Mapping[str, SegmentReport]) -> Iterator[Finding]:
    """Each segment against the one its header names, and no two after the same one."""
    # A copy under another name was reported as such; it must not also seem a fork.
    own = {name: report.header for name, report in reports.items() if report.header and report.header.journal == name}
    followed = {header.previous.journal for header in own.values() if header.previous is not None}
    places: dict[tuple[str, int, str | None], str] = {}
    for name, header in own.items():
        former = None if header.previous is None else header.previous.journal
        if header.previous is not None:
            yield from _link(reports[name], header.previous, reports)
        if reports[name].entries == 0 and name not in followed:
            # Its creation failed half-way, or it has just begun: it holds nothing that could contradict another.
            continue
        place = (header.node, header.worker, former)
        if place in places:
            yield Finding(Cause.FORK, name, f"it begins where segment {places[place]} of the same worker begins")
        places[place] = name


def _link(report: SegmentReport, previous: Link, reports: Mapping[str, SegmentReport]) -> Iterator[Finding]:
    journal, head = previous.journal, previous.head
    former = reports.get(journal)
    if former is None:
        yield Finding(Cause.MISSING_SEGMENT, journal, f"segment {report.name} follows it")
    elif head not in former.heads:
        # Damage inside the segment has its own finding and may have taken the head with it.
        if not former.damaged:
            text = f"segment {report.name} follows a head that it no longer holds"
            yield Finding(Cause.CUT, journal, text, former.entries)
    elif _other_worker(report, former):
        yield Finding(Cause.FORK, report.name, f"it follows segment {journal} of another worker")
    elif former.heads[head] < former.entries:
        # A write that failed may still have reached the disk: its answers were not given.
        text = f"written but not acknowledged: segment {report.name} follows the head before"
        yield Finding(Cause.TORN_TAIL, journal, text, former.heads[head], former.entries - 1)


def _other_worker(report: SegmentReport, former: SegmentReport) -> bool:
    if report.header is None or former.header is None:
        return False
    return (report.header.node, report.header.worker) != (former.header.node, former.header.worker)


def _against_register(
    reports: Mapping[str, SegmentReport], registered: Mapping[str, RegisteredSegment]
) -> Iterator[Finding]:
    for name, segment in registered.items():
        report = reports.get(name)
        if report is None:
            text = f"the register knows it, with {segment.entries} entries"
            yield Finding(Cause.MISSING_SEGMENT, name, text)
        elif report.header is None:
            continue
        elif report.header_sha256 != segment.header_sha256:
            yield Finding(Cause.FORK, name, "it begins with another header than the register knows", 0)
        elif segment.head_sha256 is not None and segment.head_sha256 not in report.heads:
            yield from _lost_head(report, segment)
    for name in sorted(reports.keys() - registered.keys()):
        yield Finding(Cause.UNREGISTERED, name, "the register does not know it")


def _lost_head(report: SegmentReport, segment: RegisteredSegment) -> Iterator[Finding]:
    if report.entries < segment.entries:
        text = f"the register knows {segment.entries} entries"
        yield Finding(Cause.CUT, report.name, text, report.entries, segment.entries - 1)
    elif not report.damaged:
        text = "another head stands where the register knows one"
        yield Finding(Cause.FORK, report.name, text, segment.entries - 1)
