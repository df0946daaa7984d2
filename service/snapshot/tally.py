"""Counts of a build: in all and for each AMC, as of that AMC's extract date. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from service.rights.model import Amc
from service.snapshot.entries import AMC_SLICE
from service.snapshot.manifest import AmcEntry
from service.snapshot.merge import Merged, State

_PEOPLE: Final = len(State)


class Tally:
    """Counts entries as they are sealed. People and contracts are those of the entries by NIR, so none counts twice."""

    def __init__(self, amcs: Iterable[str]) -> None:
        self.entries = 0
        self.people = 0
        self.contracts = 0
        self._by_amc: dict[bytes, list[int]] = {amc.encode("ascii"): [0] * (_PEOPLE + 1) for amc in amcs}

    def add(self, entry: Merged) -> None:
        """One more entry."""
        self.entries += 1
        if not entry.person:
            return
        self.people += 1
        self.contracts += len(entry.contracts)
        seen: set[bytes] = set()
        for contract, state in zip(entry.contracts, entry.states, strict=True):
            amc = contract[AMC_SLICE]
            counts = self._by_amc[amc]
            counts[state] += 1
            if amc not in seen:
                seen.add(amc)
                counts[_PEOPLE] += 1

    def amc_entries(self, amcs: Mapping[str, Amc]) -> tuple[AmcEntry, ...]:
        """The AMCs as a manifest lists them."""
        return tuple(self._amc_entry(amc) for amc in amcs.values())

    def _amc_entry(self, amc: Amc) -> AmcEntry:
        counts = self._by_amc[amc.number.encode("ascii")]
        return AmcEntry(
            amc=amc.number,
            name=amc.name,
            extracted_at=amc.extracted_at,
            people=counts[_PEOPLE],
            contracts=sum(counts[:_PEOPLE]),
            open=counts[State.OPEN],
            closed=counts[State.CLOSED],
            suspended=counts[State.SUSPENDED],
            stand_in=amc.stand_in,
        )
