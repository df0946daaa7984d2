"""The difference of a delta: entries built from new rows against the records of a base. Pure.

It is by entry, not by person. Encodings are canonical, so an entry changed exactly where its plaintext did. What is
left over in the base has gone: a tombstone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from service.errors import RecordUnreadable
from service.snapshot import entries
from service.snapshot.merge import identity_of, merge
from service.snapshot.seal import PROBE_IDENTITY, TAG_SIZE, LayerKey, open_sealed, record_key, seal
from service.snapshot.sealing import Item
from service.snapshot.tally import Tally


class Changes(msgspec.Struct):
    """How many records of a delta say something new, and how many say that there is none any more."""

    changed: int = 0
    gone: int = 0

    def merge(self, other: Changes) -> None:
        """Take in what another process found."""
        self.changed += other.changed
        self.gone += other.gone


class Difference:
    """Compares partitions; `base` and `delta` are the keys of the two layers."""

    def __init__(self, base: LayerKey, delta: LayerKey) -> None:
        self._base = base
        self._delta = delta
        self._probe = record_key(base.derive(PROBE_IDENTITY))

    def compare(
        self, records: list[bytes], base_items: Iterable[Item], tally: Tally, changes: Changes
    ) -> Iterator[Item]:
        """The delta's records for one partition, in no order; `tally` counts all new entries, changed or not.

        `base_items` are all records of the base with the same first byte, ascending. Sorts `records`.
        """
        held = (item for item in base_items if item[0] != self._probe)
        old = next(held, None)
        for record, canary, contracts, kinds in merge(records):
            tally.add(kinds)
            key = record_key(record)
            while old is not None and old[0] < key:
                changes.gone += 1
                yield self._tombstone(old[0])
                old = next(held, None)
            plaintext = entries.encode_entry(entries.CANARY if canary else 0, contracts)
            if old is not None and old[0] == key:
                same = _holds(old[1], record, plaintext, self._base.salt)
                old = next(held, None)
                if same:
                    continue
            changes.changed += 1
            yield self._live(key, record, plaintext)
        while old is not None:
            changes.gone += 1
            yield self._tombstone(old[0])
            old = next(held, None)

    def _live(self, base_key: bytes, record: bytes, plaintext: bytes) -> Item:
        derived = self._delta.derive(identity_of(record))
        return record_key(self._delta.place(base_key)), seal(derived, plaintext, self._delta.salt)

    def _tombstone(self, base_key: bytes) -> Item:
        place = self._delta.place(base_key)
        return record_key(place), seal(place, entries.encode_tombstone(), self._delta.salt)


def _holds(sealed: bytes, derived: bytes, plaintext: bytes, salt: bytes) -> bool:
    """Whether a record of the base says this. It is opened; to seal the new plaintext would use its nonce again."""
    if len(sealed) != len(plaintext) + TAG_SIZE:
        return False
    try:
        return open_sealed(derived, sealed, salt) == plaintext
    except RecordUnreadable:
        return False
