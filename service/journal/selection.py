"""The entries of a client and a period in a whole journal, one after the other, opened where that can be.

Only what stands under a head counts: what follows a segment's last head was told to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.errors import JournalDamaged, KeyRejected, SignatureRejected
from service.journal.entries import HEAD_LINE, HEADER_LINE, MAX_LINE_BYTES, Entry, parse_entry
from service.journal.officer import OfficerPrivateKey, Opened, open_entry, segment_keys
from service.journal.segment import (
    heads_path,
    last_recorded,
    lines,
    named_in_header,
    peek_header,
    pruned_paths,
    segment_paths,
)
from service.journal.steps import Steps


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries: of a client (None: of all), recorded at `since` or later and before `until`.

    Instants as a journal writes them, "" without a limit.
    """

    client: str | None = None
    since: str = ""
    until: str = ""

    def holds(self, entry: Entry) -> bool:
        """Whether an entry is one of them. Journals write instants in one form, which sorts as text."""
        return (
            self.client in (None, entry.client) and self.since <= entry.at and (not self.until or entry.at < self.until)
        )


class Reading:
    """One pass over a journal's directory. What could not be opened or read is told after it.

    `sealed` says by segment why wanted entries stayed sealed (also all, without an officer's key), `to_others` which of
    these are sealed to other officers; `broken_off` what in a segment could not be read, though the rest was, which
    `relais journal verify` explains; `pruned` are segments of the period whose entries were forgotten. `report` is
    told how many bytes are read, of how many.
    """

    def __init__(
        self,
        directory: Path,
        selection: Selection,
        officer: OfficerPrivateKey | None,
        report: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        self._directory: Final = directory
        self._selection: Final = selection
        self._officer: Final = officer
        self._report = report
        self.sealed: dict[str, str] = {}
        self.to_others: list[str] = []
        self.broken_off: dict[str, str] = {}
        self.pruned: list[str] = []

    def entries(self) -> Iterator[tuple[str, Opened]]:
        """(segment, entry), oldest segment first; content is None where it stayed sealed. Raises OSError."""
        # In this order: what is pruned meanwhile stands in both, never in neither.
        paths = segment_paths(self._directory)
        self.pruned = [path.stem for path in pruned_paths(self._directory) if self._reaches_into(path)]
        steps = Steps(paths, self._report)
        for path in paths:
            try:
                yield from self._segment(path, steps.of(path))
            except FileNotFoundError:
                if not heads_path(path).is_file():
                    raise
                # Pruned since it was listed; once open, it could have been read to its end.
                self.pruned.append(path.stem)
        steps.end()

    def damaged(self, journal: str, why: str) -> None:
        """Note what could not be read of a segment, also by whoever takes its entries. The first is told."""
        self.broken_off.setdefault(journal, why)

    def _reaches_into(self, pruned: Path) -> bool:
        """Whether a pruned segment held entries of the period; one that does not say when may have."""
        header, wanted = peek_header(pruned), self._selection
        if header is None:
            return True
        try:
            return last_recorded(pruned) >= wanted.since and (not wanted.until or header.at < wanted.until)
        except SignatureRejected:
            return True

    def _segment(self, path: Path, report: Callable[[int], None]) -> Iterator[tuple[str, Opened]]:
        journal = path.stem
        named = named_in_header(path)
        if named not in (None, journal):
            # A copy of another segment, whose entries stand there.
            self.damaged(journal, f"its header is that of segment {named}")
            return
        if named is None:
            self.damaged(journal, "it does not begin with its header")
        seal: AESGCM | None = None
        tried = False
        for entry in _under_heads(path, self._selection.holds, lambda why: self.damaged(journal, why), report):
            # A segment without anything wanted need not open.
            if not tried:
                seal, tried = self._key(path), True
            try:
                yield journal, Opened(entry, None) if seal is None else open_entry(entry, seal, journal)
            except JournalDamaged as error:
                self.damaged(journal, error.detail)

    def _key(self, path: Path) -> AESGCM | None:
        if self._officer is None:
            self.sealed[path.stem] = "no officer's key"
            return None
        try:
            return AESGCM(segment_keys(path, self._officer).seal)
        except FileNotFoundError:
            self.sealed[path.stem] = "its key file is missing"
        except (JournalDamaged, KeyRejected, SignatureRejected) as error:
            self.sealed[path.stem] = error.detail
        header = peek_header(path)
        if header is not None and self._officer.kid not in header.officers:
            self.to_others.append(path.stem)
        return None


def _under_heads(
    path: Path, wanted: Callable[[Entry], bool], damaged: Callable[[str], None], report: Callable[[int], None]
) -> Iterator[Entry]:
    """The wanted entries that stand before a head, batch by batch (a batch is small), past lines that do not read.

    Zeros under the last head are pages a crash never wrote, and nobody was answered from there on; under an earlier one
    they are damage.
    """
    batch: list[Entry] = []
    torn: list[Entry] | None = None
    zeros, read = False, 0
    for number, line in lines(path):
        read += len(line)
        if number == 1 and line.startswith(HEADER_LINE):
            continue
        if line.startswith(HEAD_LINE):
            if torn is not None:
                damaged("zeros stand where lines should")
                yield from torn
            torn, batch, zeros = (batch, [], False) if zeros else (None, batch, False)
            yield from batch
            batch = []
            report(read)
        elif not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
            return
        elif b"\x00" in line:
            zeros = True
        else:
            try:
                entry = parse_entry(line.removesuffix(b"\n"))
            except SignatureRejected:
                damaged(f"line {number} is no entry as it was written")
                continue
            if wanted(entry):
                batch.append(entry)
