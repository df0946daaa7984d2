"""Spilled records and their merging: all contracts of one identity become one entry. Pure.

A record is the first 60 derived bytes of its identity, one encoded contract and a tag. Sorted as bytes, records of
one identity lie side by side and their contracts in the order an entry wants them, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

_DERIVED: Final = 60

#: Bits of a tag: a canary's record; a record of the identity by NIR, under which a person is counted.
CANARY: Final = 0b01
PERSON: Final = 0b10
_STATE_SHIFT: Final = 2


class State(IntEnum):
    """What a contract was on the day of its AMC's extract."""

    OPEN = 0
    CLOSED = 1
    SUSPENDED = 2
    NOT_STARTED = 3


class Merged(msgspec.Struct, frozen=True):
    """One identity: its derived bytes, whether by NIR, whether a canary, distinct contracts with their states."""

    derived: bytes
    person: bool
    canary: bool
    contracts: list[bytes]
    states: list[int]


def pack_record(derived: bytes, contract: bytes, tag: int) -> bytes:
    """A record to be spilled."""
    return b"%b%b%c" % (derived[:_DERIVED], contract, tag)


def pack_tag(state: State, *, canary: bool) -> int:
    """The tag of a contract's records; `PERSON` is added for the identity by NIR."""
    return state << _STATE_SHIFT | (CANARY if canary else 0)


def merge(records: list[bytes]) -> Iterator[Merged]:
    """Identities of a partition in the order of their derived bytes; sorts `records` in place.

    A contract delivered twice, byte for byte, is one contract.
    """
    records.sort()
    index, total = 0, len(records)
    while index < total:
        record = records[index]
        derived, tags = record[:_DERIVED], record[-1]
        contracts, states = [record[_DERIVED:-1]], [record[-1] >> _STATE_SHIFT]
        index += 1
        while index < total and records[index].startswith(derived):
            record = records[index]
            contract, tags = record[_DERIVED:-1], tags | record[-1]
            if contract != contracts[-1]:
                contracts.append(contract)
                states.append(record[-1] >> _STATE_SHIFT)
            index += 1
        yield Merged(derived, bool(tags & PERSON), bool(tags & CANARY), contracts, states)
