"""What happened, hour by hour, for whoever investigates an incident: orders, segments, counts of answers. No identity.

Orders and suspicions come as plain objects from the caller; from the journal only counts are taken, so no pseudonym
leaves it either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from service.journal.damage import Finding
from service.journal.segment import peek_header, segment_paths
from service.journal.selection import Reading

#: Members of an order's body that are keys: they say nothing about what happened.
_LEFT_OUT: Final = frozenset({"keys", "jwk", "jwks"})
#: Members of a suspicion that are told; its FINESS is not.
_OF_SUSPICION: Final = ("clients", "step", "rules", "detail", "held")


class Event(msgspec.Struct, frozen=True):
    """One line: when, what (`order`, `suspicion`, `segment`, `answers`, `damage`), and what is to be said of it.

    Of `answers`, `at` is the hour in which they were recorded.
    """

    at: str
    event: str
    data: dict[str, Any]


def of_order(order: Mapping[str, Any]) -> Event:
    """An order, whoever gave it (`sentinel` included): its body without keys."""
    body = {name: value for name, value in order["body"].items() if name not in _LEFT_OUT}
    told = {name: order[name] for name in ("version", "actor", "kind", "scope", "reason", "until", "approved_by")}
    return Event(at=order["at"], event="order", data={**told, "body": body})


def of_suspicion(at: str, told: Mapping[str, Any]) -> Event:
    """What the sentinel noticed, and whether it acted: `held` says why it only told. Not for which pharmacy."""
    return Event(at=at, event="suspicion", data={name: told[name] for name in _OF_SUSPICION})


def of_segments(directory: Path) -> Iterator[Event]:
    """When each segment was begun, by which worker: starts and restarts show here. Raises OSError."""
    for path in segment_paths(directory):
        header = peek_header(path)
        if header is not None:
            said = {"journal": header.journal, "node": header.node, "worker": header.worker}
            yield Event(at=header.at, event="segment", data=said)


def of_damage(finding: Finding, at: str) -> Event:
    """A finding of `relais journal verify`, which found it `at`."""
    return Event(at=at, event="damage", data={"cause": finding.cause.value, "text": str(finding)})


def of_answers(reading: Reading) -> Iterator[Event]:
    """Answers by hour: how many, by status, by what they disclosed. Raises OSError."""
    hours: dict[str, tuple[Counter[str], Counter[str]]] = {}
    for _, opened in reading.entries():
        entry = opened.entry
        statuses, disclosed = hours.setdefault(entry.at[:13], (Counter(), Counter()))
        statuses[entry.status] += 1
        disclosed[entry.disclosed] += 1
    for hour, (statuses, disclosed) in hours.items():
        counts = {"answers": statuses.total(), "statuses": dict(statuses), "disclosed": dict(disclosed)}
        yield Event(at=f"{hour}:00:00.000Z", event="answers", data=counts)


def in_order(events: Iterable[Event], since: str, until: str) -> list[Event]:
    """Those of a period ("": without a limit), oldest first; those of one instant in the order they came.

    Answers were chosen by their own instants: of an hour that began before the period, what is counted lies in it.
    """
    wanted = (event for event in events if event.event == "answers" or _within(event, since, until))
    return sorted(wanted, key=lambda event: event.at)


def _within(event: Event, since: str, until: str) -> bool:
    return since <= event.at and (not until or event.at < until)
