"""What the sentinel is told of one answer: 40 bits that name nobody. Pure.

A worker makes a mark and forgets who was asked for. Each of a mark's three places is a keyed hash cut so short that
many people share it: of 33 million people some 2,000 have the same `person`, and 8,000 each `number`. So a mark, and
whatever is counted from marks, identifies nobody even to somebody who holds both keys.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

PERSON_BITS: Final = 14
NUMBER_BITS: Final = 12
PERSONS: Final = 1 << PERSON_BITS
NUMBERS: Final = 1 << NUMBER_BITS
#: Sex, year and month of birth, department and commune: what is left to count through is the order number.
_NIR_BLOCK: Final = 10
#: Member numbers are counted up too; a hundred of them are neighbours.
_MEMBER_TAIL: Final = 2
_UNKNOWN: Final = 1
_CANARY: Final = 2
_BLOCK_AT: Final = 2
_NUMBER_AT: Final = _BLOCK_AT + NUMBER_BITS
_PERSON_AT: Final = _NUMBER_AT + NUMBER_BITS


class Mark(NamedTuple):
    """Places of the person, of the number they were asked for by and of its block; what the answer was."""

    person: int
    number: int
    block: int
    unknown: bool
    canary: bool

    def packed(self) -> int:
        """As one integer of 40 bits, for a queue or a table."""
        places = self.person << _PERSON_AT | self.number << _NUMBER_AT | self.block << _BLOCK_AT
        return places | _CANARY * self.canary | _UNKNOWN * self.unknown


def unpack(packed: int) -> Mark:
    """The mark behind `Mark.packed`."""
    low = NUMBERS - 1
    return Mark(
        packed >> _PERSON_AT & (PERSONS - 1),
        packed >> _NUMBER_AT & low,
        packed >> _BLOCK_AT & low,
        bool(packed & _UNKNOWN),
        bool(packed & _CANARY),
    )


class Marker:
    """Makes marks, the same in every worker that has the same keys (16 to 64 bytes each).

    `day_key` is of one day and hides numbers. `period_key` is of some weeks, because whether a person was asked for
    before can be told in no shorter time; when it changes, everybody is new to everybody at once, which the sentinel,
    judging against the fleet, does not mind.
    """

    def __init__(self, day_key: bytes, period_key: bytes) -> None:
        if min(len(day_key), len(period_key)) < 16:
            raise ValueError("a key of marks has 16 bytes at least")
        self._day_key = day_key
        self._period_key = period_key

    def nir(self, nir: str, birth_date: str, birth_rank: int, *, unknown: bool, canary: bool = False) -> Mark:
        """The mark of an answer about somebody asked for by NIR, as normalised (13 characters)."""
        person = f"{nir}|{birth_date}|{birth_rank}"
        return self._mark(person, nir, nir[:_NIR_BLOCK], unknown=unknown, canary=canary)

    def member(
        self, amc: str, member: str, birth_date: str, birth_rank: int, *, unknown: bool, canary: bool = False
    ) -> Mark:
        """The mark of an answer about somebody asked for by AMC and member number, as normalised."""
        number = f"{amc}|{member}"
        person = f"{number}|{birth_date}|{birth_rank}"
        return self._mark(person, number, number[:-_MEMBER_TAIL], unknown=unknown, canary=canary)

    def _mark(self, person: str, number: str, block: str, *, unknown: bool, canary: bool) -> Mark:
        return Mark(
            _place(person, self._period_key) % PERSONS,
            _place(number, self._day_key) % NUMBERS,
            _place(block, self._day_key) % NUMBERS,
            unknown,
            canary,
        )


def _place(text: str, key: bytes) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=4, key=key).digest(), "big")
