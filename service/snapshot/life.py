"""A held snapshot's life: staged → verified → active → superseded, and which superseded ones stay. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, StrEnum
from typing import Final

import msgspec

from service.snapshot.manifest import Manifest


class State(StrEnum):
    """Where a held snapshot stands in its life."""

    STAGED = "staged"
    VERIFIED = "verified"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"
    DAMAGED = "damaged"


class Unknown(Enum):
    """What a snapshot lies over whose manifest cannot be read."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
#: The sequence of the base a snapshot lies over; None: it is a base.
Base = int | Unknown | None


class Held(msgspec.Struct, frozen=True):
    """One snapshot of the home. `problem` says why a damaged one is; its manifest is then absent."""

    sequence: int
    state: State
    digest: str = ""
    manifest: Manifest | None = None
    signers: tuple[str, ...] = ()
    expired: bool = False
    problem: str = ""


class Standing(msgspec.Struct, frozen=True):
    """What the orders say of sequences: which one serves, and which are in quarantine."""

    active: int | None = None
    quarantine: tuple[Collection[int], ...] = ()

    def quarantines(self, sequence: int) -> bool:
        """Whether a pin left it above itself: never to be served again."""
        return any(sequence in left for left in self.quarantine)

    def state_of(self, sequence: int) -> State:
        """The state of a snapshot that is held and whole."""
        if self.quarantines(sequence):
            return State.QUARANTINED
        if self.active is None or sequence > self.active:
            return State.VERIFIED
        return State.ACTIVE if sequence == self.active else State.SUPERSEDED


def surplus(held: Mapping[int, Base], standing: Standing, keep: int) -> tuple[int, ...]:
    """The sequences that may go, highest first, of those `held`, by what each lies over.

    The active one, those above it, the latest `keep` below it that a pin could go back to, what is in quarantine among
    these, and the bases all of them lie over stay. Where one that stays cannot be read, nothing goes: it could be what
    it lies over.
    """
    if standing.active is None:
        return ()
    earlier = sorted((sequence for sequence in held if sequence < standing.active), reverse=True)
    readable = [sequence for sequence in earlier if held[sequence] is not UNKNOWN]
    rollback = [sequence for sequence in readable if not standing.quarantines(sequence)][:keep]
    # Room for going back is not taken by what nobody may go back to, and that is not cleared away on the first night.
    oldest = min(rollback, default=standing.active)
    staying = {*(one for one in readable if one >= oldest), *(one for one in held if one >= standing.active)}
    bases = [held[sequence] for sequence in staying]
    if UNKNOWN in bases:
        return ()
    return tuple(sequence for sequence in earlier if sequence not in staying and sequence not in bases)
