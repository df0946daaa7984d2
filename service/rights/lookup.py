"""Where the record behind an answer comes from."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from service.rights.decide import is_expired
from service.rights.model import Absence, Contract, Knowledge


class Records(Protocol):
    """Sealed records by canonical identity. A record that cannot be opened is `UNREADABLE`, never absent."""

    def find(self, identity: str) -> tuple[Contract, ...] | Absence:
        """The contracts of an identity, or why there are none."""
        ...


def find_record(
    records: Records, knowledge: Knowledge, identity: str | None, now: dt.datetime
) -> tuple[Contract, ...] | Absence:
    """What the snapshot holds on an identity; None is a fictitious NIR, which is never looked up.

    Once the snapshot has expired nothing is looked up at all: its records no longer speak.
    """
    if identity is None:
        return Absence.NOT_SEARCHABLE
    return Absence.NO_RECORD if is_expired(knowledge, now) else records.find(identity)
