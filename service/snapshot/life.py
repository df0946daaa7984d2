"""A held snapshot's life: staged → verified → active → superseded, and which superseded ones stay. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path

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


class Held(msgspec.Struct, frozen=True):
    """One snapshot of the home. `problem` says why a damaged one is; its manifest is then absent."""

    sequence: int
    state: State
    directory: Path
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


def surplus(bases: Mapping[int, int | None], unreadable: Collection[int], standing: Standing, keep: int) -> list[int]:
    """The sequences that may go, highest first.

    `bases` tells the base of each held snapshot (None: it is one), `unreadable` those of which nobody knows. The active
    one, those above it, the latest `keep` below it that a pin could go back to, and the bases all these lie over stay.
    Where one that stays cannot be read, nothing goes: it could be what it lies over.
    """
    if standing.active is None:
        return []
    held = sorted({*bases, *unreadable}, reverse=True)
    earlier = [sequence for sequence in held if sequence < standing.active]
    rollback = [sequence for sequence in earlier if sequence in bases and not standing.quarantines(sequence)]
    staying = {*rollback[:keep], *(sequence for sequence in held if sequence >= standing.active)}
    if not staying.isdisjoint(unreadable):
        return []
    staying.update(base for sequence in list(staying) if (base := bases[sequence]) is not None)
    return [sequence for sequence in earlier if sequence not in staying]
