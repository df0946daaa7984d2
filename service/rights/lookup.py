"""Where an answer comes from: the upstream where the mode is live, else the snapshot. The one place that chooses."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

import msgspec

from service.rights.decide import Decision, decide, is_expired
from service.rights.heard import Consulted
from service.rights.live import decide_heard
from service.rights.model import Absence, Contract, Knowledge, Mode, Query, Stance


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


def goes_upstream(query: Query, identity: str | None, stance: Stance, knowledge: Knowledge) -> bool:
    """Whether the upstream is to be asked: never with a fictitious NIR, nor for an AMC of another operator.

    An AMC that an order suspended is none to ask for either: its queries are of mode `degraded` (`View.mode_for`).
    """
    return stance.mode is Mode.LIVE and identity is not None and query.amc not in knowledge.out_of_scope


def decide_from(
    consulted: Consulted | None,
    record: tuple[Contract, ...] | Absence,
    query: Query,
    knowledge: Knowledge,
    stance: Stance,
    now: dt.datetime,
) -> tuple[Decision, Knowledge]:
    """The decision on what the upstream said where that counts, else on the record; and what it rests on.

    The mode may have changed while the upstream was asked: what it said then counts no more. A query that should have
    been answered by the upstream and was not carries `upstream_failed` in its stance.
    """
    if consulted is None or stance.mode is not Mode.LIVE:
        return decide(record, query, knowledge, stance, now), knowledge
    decision = decide_heard(consulted.heard, consulted.kind, record, query, knowledge, stance, now)
    return decision, msgspec.structs.replace(knowledge, kind=consulted.kind)
