"""What a client was told in a period, counted: what a notification under GDPR art. 33 has to say. It names nobody.

With an officer's key people are counted exactly. Without it a person counts once in each segment (a day of one
worker), so the counts are upper bounds. Memory does not grow with the journal: people are set aside (`partitions`).
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from service.base64url import b64u_decode
from service.errors import JournalDamaged
from service.journal.damage import Evidence
from service.journal.disclosure import Category, at_most, given_away, identity, to_mask
from service.journal.entries import Entry
from service.journal.officer import Opened
from service.journal.partitions import PARTS, Partitions
from service.journal.selection import Reading
from service.paris import paris_date

FORMAT: Final = "relais-breach-report/1"
_PERSON_BYTES: Final = 16
_LABEL_BYTES: Final = 4
_KEY_BYTES: Final = _PERSON_BYTES + _LABEL_BYTES


class People(msgspec.Struct, frozen=True):
    """Distinct people: asked about, about whom anything was disclosed, whose contract was; by category."""

    asked: int
    disclosed: int
    contract: int
    categories: dict[str, int]


class Summary(msgspec.Struct, frozen=True):
    """A client's answers, or everybody's (`client` null); the counts of `statuses` … `snapshots` are answers.

    `modes` are those of the answers where they could be opened, else what their reasons tell. `snapshots` counts by
    sequence; answers that rest on none stand under `none`. `fictitious` answers are about nobody.
    """

    client: str | None
    answers: int
    fictitious: int
    first: str | None
    last: str | None
    people: People
    disclosed: dict[str, int]
    statuses: dict[str, int]
    modes: dict[str, int]
    snapshots: dict[str, int]
    finess: dict[str, int]
    days: dict[str, int]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report. `exact`: people are counted exactly; `sealed`, `broken_off`: what was not opened, not read.

    `pruned` are segments of the period whose entries were forgotten: they are in no count.
    """

    at: str
    since: str | None
    until: str | None
    exact: bool
    journal: Evidence
    sealed: dict[str, str]
    broken_off: dict[str, str]
    pruned: tuple[str, ...]
    total: Summary
    clients: tuple[Summary, ...]
    format: str = FORMAT


class _Counts:
    """What is counted of one client as entries pass."""

    def __init__(self) -> None:
        self.answers = self.fictitious = 0
        self.first: str | None = None
        self.last: str | None = None
        self.disclosed: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.snapshots: Counter[str] = Counter()
        self.finess: Counter[str] = Counter()
        self.days: Counter[str] = Counter()

    def take(self, entry: Entry, mode: str, day: str) -> None:
        """One entry more."""
        self.answers += 1
        self.fictitious += entry.subject is None
        self.first = entry.at if self.first is None else min(self.first, entry.at)
        self.last = entry.at if self.last is None else max(self.last, entry.at)
        self.disclosed[entry.disclosed] += 1
        self.statuses[entry.status] += 1
        self.modes[mode] += 1
        self.snapshots["none" if entry.snapshot is None else str(entry.snapshot)] += 1
        self.finess[entry.finess] += 1
        self.days[day] += 1

    def add(self, other: _Counts) -> None:
        """Take in another client's."""
        self.answers += other.answers
        self.fictitious += other.fictitious
        self.first = min((at for at in (self.first, other.first) if at is not None), default=None)
        self.last = max((at for at in (self.last, other.last) if at is not None), default=None)
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))

    def summary(self, client: str | None, people: People) -> Summary:
        """The same as a value, every counter by name."""
        counters = {name: dict(sorted(getattr(self, name).items())) for name in _COUNTERS}
        return Summary(
            client=client,
            answers=self.answers,
            fictitious=self.fictitious,
            first=self.first,
            last=self.last,
            people=people,
            **counters,
        )


_COUNTERS: Final = ("disclosed", "statuses", "modes", "snapshots", "finess", "days")


class Tally:
    """Takes entries one by one; `people` keeps who they were about, by pseudonyms under `key`, this run's own."""

    def __init__(self, people: Partitions, key: bytes) -> None:
        self._people = people
        self._key = key
        self._clients: dict[str, tuple[bytes, _Counts]] = {}
        self._day = _Days()

    def take(self, opened: Opened) -> None:
        """One entry. Raises `JournalDamaged` if what is sealed in it is no answer; then nothing of it is counted."""
        entry, content = opened.entry, opened.content
        person, mask, mode = (_sealed if content is None else self._content)(entry, content or {})
        label, counts = self._client(entry.client)
        counts.take(entry, mode, self._day.of(entry.at))
        if person is not None:
            self._people.put(person, person + label + mask.to_bytes(2, "big"))

    def summaries(self, report: Callable[[int, int], None]) -> tuple[Summary, tuple[Summary, ...]]:
        """Everybody's, then each client's, those with the most people first; `report` hears of it. Raises OSError."""
        names = {label: name for name, (label, _) in self._clients.items()}
        masks: dict[str, Counter[int]] = {name: Counter() for name in self._clients}
        everybody: Counter[int] = Counter()
        for number, part in enumerate(self._people.parts(), 1):
            report(number, PARTS)
            whole, each = _joined(part)
            everybody.update(whole.values())
            for key, mask in each.items():
                masks[names[key[_PERSON_BYTES:]]][mask] += 1
        total = _Counts()
        for _, counts in self._clients.values():
            total.add(counts)
        clients = [counts.summary(name, _people(masks[name])) for name, (_, counts) in self._clients.items()]
        clients.sort(key=lambda one: (-one.people.asked, one.client or ""))
        return total.summary(None, _people(everybody)), tuple(clients)

    def _client(self, name: str) -> tuple[bytes, _Counts]:
        known = self._clients.get(name)
        if known is None:
            known = self._clients[name] = (len(self._clients).to_bytes(_LABEL_BYTES, "big"), _Counts())
        return known

    def _content(self, entry: Entry, content: Mapping[str, Any]) -> tuple[bytes, int, str]:
        try:
            answer = content["answer"]
            person, mask, mode = identity(content["query"]), to_mask(given_away(answer)), str(answer["mode"])
        except (KeyError, TypeError, AttributeError):
            # From None, because the cause could quote a person.
            raise JournalDamaged(f"what is sealed in entry {entry.n} is no answer") from None
        return hmac.digest(self._key, person.encode("utf-8"), "sha256")[:_PERSON_BYTES], mask, mode


def summarise(
    reading: Reading,
    evidence: Evidence,
    *,
    at: str,
    since: str,
    until: str,
    key: bytes,
    aside: Path | None = None,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Read everything and report. `key` is 32 random bytes; people are set aside in a file in `aside` (TMPDIR).

    `report` is told of the counting that follows the reading. Raises OSError.
    """
    with Partitions(aside) as people:
        tally = Tally(people, key)
        for journal, opened in reading.entries():
            try:
                tally.take(opened)
            except JournalDamaged as error:
                reading.damaged(journal, error.detail)
        total, clients = tally.summaries(report)
    return Report(
        at=at,
        since=since or None,
        until=until or None,
        exact=not reading.sealed,
        journal=evidence,
        sealed=reading.sealed,
        broken_off=reading.broken_off,
        pruned=tuple(reading.pruned),
        total=total,
        clients=clients,
    )


class _Days:
    """The Europe/Paris day of an instant; entries come in order, so the last one is nearly always the same."""

    def __init__(self) -> None:
        self._hour, self._name = "", ""

    def of(self, at: str) -> str:
        """As YYYY-MM-DD. A day of Paris begins at a full hour of UTC."""
        hour = at[:13]
        if hour != self._hour:
            self._hour, self._name = hour, paris_date(dt.datetime.fromisoformat(at)).isoformat()
        return self._name


def _sealed(entry: Entry, _content: Mapping[str, Any]) -> tuple[bytes | None, int, str]:
    """Pseudonym, categories at most, and mode of an entry that stayed sealed."""
    mode = "degraded" if "upstream_disabled" in entry.reasons else "live"
    person = None if entry.subject is None else b64u_decode(entry.subject)[:_PERSON_BYTES]
    return person, to_mask(at_most(entry)), mode


def _joined(part: Iterable[bytes]) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """Categories by person, and by person and client."""
    whole: dict[bytes, int] = {}
    each: dict[bytes, int] = {}
    for record in part:
        person, key, mask = record[:_PERSON_BYTES], record[:_KEY_BYTES], int.from_bytes(record[_KEY_BYTES:], "big")
        whole[person] = whole.get(person, 0) | mask
        each[key] = each.get(key, 0) | mask
    return whole, each


#: What only a contract's card block gives away.
_CARD: Final = frozenset({Category.MEMBER, Category.VALIDITY, Category.COVER, Category.ROUTING})


def _people(masks: Mapping[int, int]) -> People:
    """Counts by combination of categories, summed up."""

    def count(bits: int) -> int:
        return sum(people for mask, people in masks.items() if mask & bits)

    return People(
        asked=sum(masks.values()),
        disclosed=count(to_mask(Category)),
        contract=count(to_mask(_CARD)),
        categories={one.value: count(to_mask({one})) for one in Category},
    )
