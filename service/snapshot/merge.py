"""Records between the passes of a build, and their merging: all contracts of one identity become one entry. Pure.

A record is the first 60 derived bytes of its identity, a tag, one encoded contract and, in the build of a delta, the
identity. Sorted as bytes, records of one identity lie side by side, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import chain, islice
from operator import eq, itemgetter
from typing import Final

from service.snapshot.entries import AMC_SLICE

_DERIVED: Final = 60
_CONTRACT: Final = _DERIVED + 1
#: The kind of a record: its tag and its contract up to the AMC number, all that a tally asks of it.
kind_of: Final = itemgetter(slice(_DERIVED, _CONTRACT + AMC_SLICE.stop))
_KIND_AMC: Final = slice(AMC_SLICE.start + 1, AMC_SLICE.stop + 1)

#: Bits of a tag: a canary's record; a record of the identity by NIR, under which a person is counted.
CANARY: Final = 0b01
PERSON: Final = 0b10
_STATE_SHIFT: Final = 2

_TAGS: Final = [tag.to_bytes() for tag in range(256)]
_OF_IDENTITY: Final = itemgetter(slice(0, _DERIVED))

#: One identity: a record of it, whether it is a canary, its distinct contracts in order of their bytes, and all its
#: records where it has several.
Merged = tuple[bytes, bool, list[bytes], Sequence[bytes]]


class State(IntEnum):
    """What a contract was on the day of its AMC's extract."""

    OPEN = 0
    CLOSED = 1
    SUSPENDED = 2
    NOT_STARTED = 3


def pack_record(derived: bytes, tag: int, contract: bytes, identity: bytes = b"") -> bytes:
    """A record to be spilled."""
    return b"".join((derived[:_DERIVED], _TAGS[tag], contract, identity, _TAGS[len(identity)]))


def pack_tag(state: State, *, canary: bool) -> int:
    """The tag of a contract's records; `PERSON` is added for the identity by NIR."""
    return state << _STATE_SHIFT | (CANARY if canary else 0)


def person_of(kind: bytes) -> bool:
    """Whether a kind is of an identity by NIR."""
    return bool(kind[0] & PERSON)


def state_of(kind: bytes) -> int:
    """The `State` in a kind."""
    return kind[0] >> _STATE_SHIFT


def amc_of(kind: bytes) -> bytes:
    """The AMC number in a kind."""
    return kind[_KIND_AMC]


def identity_of(record: bytes) -> str:
    """The canonical identity of a record that holds it."""
    return record[-1 - record[-1] : -1].decode("ascii")


def contract_of(record: bytes) -> bytes:
    """The encoded contract of a record."""
    return record[_CONTRACT : -1 - record[-1]]


def merge(records: list[bytes]) -> Iterator[Merged]:
    """Identities of a partition in the order of their derived bytes; sorts `records` in place.

    A contract delivered twice, byte for byte, is one contract. Most identities have one record, so that is quick.
    """
    records.sort()
    twins = map(eq, map(_OF_IDENTITY, records), map(_OF_IDENTITY, islice(records, 1, None)))
    group: list[bytes] = []
    for record, goes_on in zip(records, chain(twins, (False,)), strict=False):
        if goes_on or group:
            group.append(record)
            if not goes_on:
                canary = any(member[_DERIVED] & CANARY for member in group)
                yield record, canary, sorted(set(map(contract_of, group))), group
                group = []
        else:
            yield record, bool(record[_DERIVED] & CANARY), [record[_CONTRACT : -1 - record[-1]]], ()
