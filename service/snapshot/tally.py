"""Counts of a build: in all and for each AMC, as of that AMC's extract date. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from service.rights.model import Amc
from service.snapshot.manifest import AmcEntry
from service.snapshot.merge import State, amc_of, contract_of, kind_of, person_of, state_of


class Tally(msgspec.Struct):
    """Counts entries as they are sealed. People and contracts are those of the entries by NIR, so none counts twice."""

    #: Kinds of the entries with one contract, which are most, and of the contracts in the others.
    single: Counter[bytes] = msgspec.field(default_factory=Counter)
    shared: Counter[bytes] = msgspec.field(default_factory=Counter)
    #: The entries with several contracts; those by NIR; and these by AMC.
    several: int = 0
    people_shared: int = 0
    amcs_shared: Counter[bytes] = msgspec.field(default_factory=Counter)

    def count(self, records: Iterable[bytes]) -> None:
        """Records, as if each were an entry of its own: quick, because most are."""
        self.single.update(map(kind_of, records))

    def join(self, group: Iterable[bytes]) -> None:
        """Records counted before that are one entry together."""
        for record in group:
            self.single[kind_of(record)] -= 1
        kinds = list({contract_of(record): kind_of(record) for record in group}.values())
        if len(kinds) == 1:
            self.single[kinds[0]] += 1
            return
        self.several += 1
        if person_of(kinds[0]):
            self.people_shared += 1
            self.shared.update(kinds)
            self.amcs_shared.update({amc_of(kind) for kind in kinds})

    def merge(self, other: Tally) -> None:
        """Take in what another process counted."""
        self.single.update(other.single)
        self.shared.update(other.shared)
        self.several += other.several
        self.people_shared += other.people_shared
        self.amcs_shared.update(other.amcs_shared)

    @property
    def entries(self) -> int:
        """How many entries there are."""
        return self.single.total() + self.several

    @property
    def people(self) -> int:
        """How many of them are by NIR."""
        return self.people_shared + sum(number for kind, number in self.single.items() if person_of(kind))

    @property
    def contracts(self) -> int:
        """How many contracts those hold."""
        return self._contracts().total()

    def amc_entries(self, amcs: Mapping[str, Amc]) -> tuple[AmcEntry, ...]:
        """The AMCs as a manifest lists them."""
        contracts = self._contracts()
        people = self.amcs_shared + Counter[bytes]()
        for kind, number in self.single.items():
            if person_of(kind):
                people[amc_of(kind)] += number
        return tuple(_amc_entry(amc, people, contracts) for amc in amcs.values())

    def _contracts(self) -> Counter[tuple[bytes, int]]:
        """Contracts in entries by NIR, by AMC and state."""
        contracts: Counter[tuple[bytes, int]] = Counter()
        for kind, number in (*self.single.items(), *self.shared.items()):
            if person_of(kind):
                contracts[amc_of(kind), state_of(kind)] += number
        return contracts


def _amc_entry(amc: Amc, people: Counter[bytes], contracts: Counter[tuple[bytes, int]]) -> AmcEntry:
    number = amc.number.encode("ascii")
    states = [contracts[number, state] for state in State]
    return AmcEntry(
        amc=amc.number,
        name=amc.name,
        extracted_at=amc.extracted_at,
        people=people[number],
        contracts=sum(states),
        open=states[State.OPEN],
        closed=states[State.CLOSED],
        suspended=states[State.SUSPENDED],
        stand_in=amc.stand_in,
    )
