"""What a worker's journal entries were charged to: how a dead worker's leases are settled, by counting.

Every entry that can be read is counted, also behind the last whole head: an answer was given only once its head was
on disk, so this is never less than what was answered. Nothing is verified here; it is the node's own journal.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service.errors import SignatureRejected
from service.journal.entries import (
    HEAD_LINE,
    HEADER_LINE,
    Entry,
    parse_entry,
    parse_head,
    parse_head_line,
    unverified_payload,
)
from service.journal.segment import lines, peek_header, segment_paths
from service.paris import paris_date
from service.spent import NOTHING, Spent, together

#: A segment begins on the day of its first entry at the latest; one more for a clock that was set.
_MARGIN_DAYS: Final = 1
_UNKNOWN: Final = "beneficiary_unknown"


@dataclass(slots=True)
class Charges:
    """Entries of one worker slot by what they were charged to.

    `damaged` says that lines which heads cover are missing or unreadable: nobody knows what else was charged.
    """

    by_lease: dict[tuple[int, str, str], Spent] = field(default_factory=dict)
    by_day: dict[tuple[str, int, str, str], Spent] = field(default_factory=dict)
    damaged: bool = False

    def of_lease(self, lease_id: int, client: str, finess: str, granted: int) -> Spent:
        """What a lease came to, at most what it lent; all of it where the journal is damaged."""
        if self.damaged:
            return granted, granted
        lookups, unknown = self.by_lease.get((lease_id, client, finess), NOTHING)
        return min(lookups, granted), min(unknown, granted)

    def of_day(self, day: str, lease_id: int) -> dict[tuple[str, str], Spent]:
        """What a day's entries charged to one number came to, by client and FINESS."""
        return {key[2:]: spent for key, spent in self.by_day.items() if key[:2] == (day, lease_id)}


def count_charges(directory: Path, node: str, is_own: Callable[[int], bool], since: dt.date) -> Charges:
    """The charges in a node's segments from a Europe/Paris day on, of the slots that `is_own` names. Raises OSError."""
    charges = Charges()
    earliest = since - dt.timedelta(days=_MARGIN_DAYS)
    for path in segment_paths(directory):
        if _begun(path) < earliest:
            continue
        header = peek_header(path)
        if header is None:
            # A crash may leave an empty file; a header that cannot be read may have been ours.
            charges.damaged |= path.stat().st_size > 0
        elif header.node == node and is_own(header.worker):
            _count(path, charges)
    return charges


def _begun(path: Path) -> dt.date:
    """The day (UTC) in a segment's name, a UUIDv7; the last where it is none, so that it is looked at."""
    try:
        return dt.datetime.fromtimestamp((uuid.UUID(path.stem).int >> 80) / 1000, dt.UTC).date()
    except (ValueError, OverflowError, OSError):
        return dt.date.max


def _count(path: Path, charges: Charges) -> None:
    lookups: Counter[tuple[str, int, str, str]] = Counter()
    unknown: Counter[tuple[str, int, str, str]] = Counter()
    read = 0
    for _, line in lines(path):
        if line.startswith(HEADER_LINE):
            continue
        if line.startswith(HEAD_LINE):
            # Lines that no head follows were left by a crash: no answer was given for them.
            charges.damaged |= read != _size(line)
            read = 0
            continue
        try:
            entry = parse_entry(line.rstrip(b"\n"))
        except SignatureRejected:
            continue
        read += 1
        if entry.lease is not None:
            key = _day(entry), entry.lease, entry.client, entry.finess
            lookups[key] += 1
            unknown[key] += _UNKNOWN in entry.reasons
    for key, number in lookups.items():
        spent = number, unknown[key]
        charges.by_day[key] = together(charges.by_day.get(key, NOTHING), spent)
        charges.by_lease[key[1:]] = together(charges.by_lease.get(key[1:], NOTHING), spent)


def _size(line: bytes) -> int | None:
    """How many entries a head covers; None where it cannot be read."""
    try:
        return parse_head(unverified_payload(parse_head_line(line.rstrip(b"\n")))).size
    except SignatureRejected:
        return None


def _day(entry: Entry) -> str:
    return paris_date(dt.datetime.fromisoformat(entry.at)).isoformat()
