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
from service.journal.entries import HEAD_LINE, Entry, parse_entry
from service.journal.officer import OfficerPrivateKey, Opened, open_entry, segment_keys
from service.journal.segment import last_recorded, lines, peek_header, pruned_paths, segment_paths


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

    `sealed` says by segment why wanted entries stayed sealed (also all, without an officer's key); `broken_off` why
    the rest of a segment could not be read, which `relais journal verify` explains; `pruned` are segments of the period
    whose entries were forgotten. `report` is told how many segments
    are read, of how many.
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
        self.broken_off: dict[str, str] = {}
        self.pruned: list[str] = []

    def entries(self) -> Iterator[tuple[str, Opened]]:
        """(segment, entry), oldest segment first; content is None where it stayed sealed. Raises OSError."""
        # In this order: what is pruned meanwhile stands in both, never in neither.
        paths = segment_paths(self._directory)
        self.pruned = [path.stem for path in pruned_paths(self._directory) if self._reaches_into(path)]
        for number, path in enumerate(paths):
            self._report(number, len(paths))
            try:
                yield from self._segment(path)
            except (JournalDamaged, SignatureRejected) as error:
                self.broken_off[path.stem] = error.detail
        self._report(len(paths), len(paths))

    def _reaches_into(self, pruned: Path) -> bool:
        """Whether a pruned segment held entries of the period; one that does not say when may have."""
        header, wanted = peek_header(pruned), self._selection
        if header is None:
            return True
        try:
            return last_recorded(pruned) >= wanted.since and (not wanted.until or header.at < wanted.until)
        except SignatureRejected:
            return True

    def _segment(self, path: Path) -> Iterator[tuple[str, Opened]]:
        seal: AESGCM | None = None
        tried = False
        for entry in _under_heads(path, self._selection.holds):
            # A segment without anything wanted need not open.
            if not tried:
                seal, tried = self._key(path), True
            yield path.stem, Opened(entry, None) if seal is None else open_entry(entry, seal, path.stem)

    def _key(self, path: Path) -> AESGCM | None:
        if self._officer is None:
            self.sealed[path.stem] = "no officer's key"
            return None
        try:
            journal, keys = segment_keys(path, self._officer)
        except FileNotFoundError:
            self.sealed[path.stem] = "its key file is missing"
            return None
        except (KeyRejected, SignatureRejected) as error:
            self.sealed[path.stem] = error.detail
            return None
        if journal != path.stem:
            raise JournalDamaged(f"its header is that of segment {journal}")
        return AESGCM(keys.seal)


def _under_heads(path: Path, wanted: Callable[[Entry], bool]) -> Iterator[Entry]:
    """The wanted entries that stand before a head, batch by batch (a batch is small)."""
    batch: list[Entry] = []
    for number, line in lines(path):
        if number == 1:
            continue
        if line.startswith(HEAD_LINE):
            yield from batch
            batch = []
        elif not line.endswith(b"\n"):
            return
        elif b"\x00" in line:
            # Pages a crash never wrote: nobody was answered from there on.
            return
        else:
            entry = parse_entry(line[:-1])
            if wanted(entry):
                batch.append(entry)
