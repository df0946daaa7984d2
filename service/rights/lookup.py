"""One query against what is known: where the record comes from, then the decision."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from service.rights.decide import Decision, decide
from service.rights.model import Absence, Contract, Knowledge, Query, Stance


class Records(Protocol):
    """Sealed records by canonical identity. A record that cannot be opened is `UNREADABLE`, never absent."""

    def find(self, identity: str) -> tuple[Contract, ...] | Absence:
        """The contracts of an identity, or why there are none."""
        ...


def look_up(
    records: Records, knowledge: Knowledge, identity: str | None, query: Query, stance: Stance, now: dt.datetime
) -> Decision:
    """Decide a query from the snapshot. `identity` None is a fictitious NIR: it is never looked up.

    Once the snapshot has expired nothing is looked up at all: its records no longer speak.
    """
    if identity is None or now > knowledge.valid_until:
        record: tuple[Contract, ...] | Absence = Absence.NOT_SEARCHABLE if identity is None else Absence.NO_RECORD
    else:
        record = records.find(identity)
    return decide(record, query, knowledge, stance, now)
