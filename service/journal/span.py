"""The lines between two heads, and what they say against the head that closes them. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from service.base64url import b64u, b64u_decode
from service.errors import SignatureRejected
from service.journal.damage import Cause, Finding
from service.journal.entries import Head, parse_entry
from service.journal.merkle import RunningRoot


class Tear(msgspec.Struct, frozen=True):
    """What follows the last whole head of a segment: whole lines, bytes in all, zeros under a head."""

    lines: int
    bytes: int
    zeros: bool

    def __bool__(self) -> bool:
        return self.bytes > 0 or self.zeros

    def __str__(self) -> str:
        if self.zeros:
            return "zeros stand under its last head, as a crash leaves them; nobody was answered from there on"
        size = f"{self.bytes} bytes ({self.lines} whole lines)"
        return f"{size} after the last whole head: being written, or torn by a crash"


class Span:
    """Lines taken one by one from entry `first` on, and the first thing wrong with them."""

    def __init__(self, segment: str, first: int) -> None:
        self.segment = segment
        self.first = first
        self.next = first
        self.count = 0
        self.size = 0
        self.torn = False
        self.head_line: int | None = None
        self._fault: Finding | None = None
        self._fault_at = first
        self._numbers = 0
        self._squares = 0
        self._digest = hashlib.sha256()
        self._root = RunningRoot()

    @property
    def tail_fault(self) -> Finding | None:
        """What is wrong with lines that no head follows, beyond what a crash does to them."""
        return None if self.torn else self._fault

    def place(self) -> tuple[int, ...]:
        """(first, last, line) for a finding about the whole batch."""
        if self.head_line is None:
            return ()
        return self.first, max(self.first, self.next - 1), self.head_line

    def take(self, number: int, line: bytes, gaps: Sequence[range]) -> None:
        """The next line of the file; `gaps` are entries already found missing."""
        self.count += 1
        self.size += len(line)
        self._digest.update(line)
        # JSON text never holds a NUL; a page that never reached the disk is full of them.
        self.torn = self.torn or b"\x00" in line
        try:
            entry = parse_entry(line[:-1])
            leaf = b64u_decode(entry.leaf)
        except SignatureRejected:
            self._blame(Cause.EDIT, "the line is not an entry as it was written", self.next, self.next, number)
            n = self.next
        else:
            n = entry.n
            self._root.add(leaf)
            self._order(n, number, gaps)
        self._numbers += n
        self._squares += n * n
        self.next = n + 1

    def _order(self, n: int, number: int, gaps: Sequence[range]) -> None:
        if n > self.next:
            self._blame(Cause.GAP, f"missing; entry {n} stands in its place", self.next, n - 1, number)
        elif n < self.next and any(n in gap for gap in gaps):
            self._blame(Cause.REORDERED, f"it stands where entry {self.next} should", n, n, number)
        elif n < self.next:
            self._blame(Cause.DUPLICATE_ENTRY, f"it stands again where entry {self.next} should", n, n, number)

    def _blame(self, cause: Cause, text: str, first: int, last: int, line: int | None) -> None:
        if self._fault is None:
            self._fault = Finding(cause, self.segment, text, first, last, line)
            self._fault_at = self.next

    def compare(self, head: Head, previous: str | None) -> Finding | None:
        """The first thing in which the lines and their verified head disagree; `previous` None is not known."""
        if head.journal != self.segment:
            return self._finding(Cause.EDIT, f"its head belongs to segment {head.journal}", self.first, self.next - 1)
        if self._fault is not None:
            return self._in_place(head, self._fault)
        return self._numbering(head) or self._content(head, previous)

    def _numbering(self, head: Head) -> Finding | None:
        """Lines that count on from `first` without a jump, against the entries the head signs for."""
        last = head.first + head.size - 1
        if last < self.first:
            return self._finding(Cause.DUPLICATE_ENTRY, "the head of these entries stands again", head.first, last)
        if head.first > self.first:
            return self._finding(Cause.GAP, "the head of these entries is missing", self.first, head.first - 1)
        if self.count < head.size:
            return self._finding(Cause.GAP, "missing before their head", self.next, last)
        if self.count > head.size:
            return self._finding(Cause.REORDERED, "before the head that comes before it", last + 1, self.next - 1)
        return None

    def _content(self, head: Head, previous: str | None) -> Finding | None:
        last = head.first + head.size - 1
        if b64u(self._digest.digest()) != head.entries:
            return self._finding(Cause.EDIT, _edited(head.size), head.first, last)
        if b64u(self._root.value()) != head.root:
            return self._finding(Cause.EDIT, "the head's root is not that of its answers", head.first, last)
        if previous is not None and head.previous != previous:
            return self._finding(Cause.FORK, "its head follows another head than the one before it", head.first, last)
        return None

    def _in_place(self, head: Head, fault: Finding) -> Finding:
        """The same fault, seen with the head: what looked like a gap or an entry may have been something else."""
        if fault.cause is Cause.EDIT and fault.first == head.first > self.first:
            text = "the head of these entries is not as it was written"
            return Finding(Cause.EDIT, self.segment, text, self.first, head.first - 1, fault.line)
        if fault.cause is Cause.EDIT or (self.first, self.count) != (head.first, head.size):
            return fault
        # As many lines as were signed, but numbered otherwise: they were shuffled, or one was replaced.
        numbers = range(head.first, head.first + head.size)
        text = "the entries of this batch are out of order from here"
        cause = Cause.REORDERED
        if (self._numbers, self._squares) != (sum(numbers), sum(n * n for n in numbers)):
            cause, text = Cause.EDIT, "another line stands in its place"
        at = self._fault_at
        return Finding(cause, self.segment, text, at, at, fault.line)

    def _finding(self, cause: Cause, text: str, first: int, last: int) -> Finding:
        return Finding(cause, self.segment, text, first, max(first, last), self.head_line)


def _edited(size: int) -> str:
    if size == 1:
        return "its line was changed after it was signed"
    return "a line of this batch was changed after it was signed (an officer's key tells which)"
