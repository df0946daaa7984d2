"""The sealing of a build: from the records of a partition to sealed entries in the order of their keys. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from service.snapshot import entries
from service.snapshot.merge import merge
from service.snapshot.seal import record_key, seal
from service.snapshot.tally import Tally

#: Record key and sealed entry.
Item = tuple[bytes, bytes]


def seal_records(records: list[bytes], salt: bytes, tally: Tally) -> Iterator[Item]:
    """One sealed entry for each identity, counted in `tally`; sorts `records`."""
    tally.count(records)
    for record, canary, contracts, group in merge(records):
        if group:
            tally.join(group)
        plaintext = entries.encode_entry(entries.CANARY if canary else 0, contracts)
        yield record_key(record), seal(record, plaintext, salt)  # a record begins with the derived bytes
