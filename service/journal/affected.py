"""The people a client was told about in a period, by AMC: whom a communication under GDPR art. 34 has to reach.

Each AMC alone knows the addresses of its people, so each gets a file of its own and nobody else's. A person stands in
it once, under each identity they were asked for by. What is not written yet is set aside sealed (`partitions`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

import msgspec

from service.errors import JournalDamaged
from service.journal.disclosure import Category, from_mask, identity, of_contract, to_mask
from service.journal.entries import Entry
from service.journal.partitions import PARTS, Partitions
from service.journal.selection import Reading

#: Where an answer gave something away and names no AMC.
NO_AMC: Final = "none"
_NUMBER: Final = re.compile(r"[0-9]{10}")
_KEY_BYTES: Final = 16


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an AMC's file: one person, what was given away about them, when, how often.

    `nir`, or `member` asked for, with birth date and rank are what was asked; `members` are the member numbers that
    were shown (also where the person was asked for by NIR): they find the person in the AMC's own books.
    """

    amc: str
    birth_date: str
    birth_rank: int
    nir: str | None
    member: str | None
    members: tuple[str, ...]
    categories: tuple[str, ...]
    answers: int
    first: str
    last: str


class Sink(Protocol):
    """Where lines go: a file for each AMC. Raises OSError."""

    def write(self, amc: str, line: bytes) -> None:
        """One more line of an AMC's file."""
        ...


class Listed(msgspec.Struct, frozen=True):
    """What became of a run: people by AMC, answers read, and those that gave nothing away (`nothing`).

    `sealed` and `broken_off` say by segment what could not be listed, `pruned` names those of the period whose entries
    were forgotten: where there are any, the list is not complete.
    """

    people: dict[str, int]
    answers: int
    nothing: int
    fictitious: int
    sealed: dict[str, str]
    broken_off: dict[str, str]
    pruned: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nobody can be missing for want of a key or a line."""
        return not (self.sealed or self.broken_off or self.pruned)


class _Sighting(msgspec.Struct, frozen=True, array_like=True):
    """What one answer gave away about one person to whom one AMC belongs."""

    amc: str
    person: dict[str, Any]
    members: tuple[str, ...]
    mask: int
    at: str


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Sighting)


def list_affected(
    reading: Reading,
    sink: Sink,
    aside: Partitions,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Listed:
    """Read everything and write each AMC's people. `report` is told of the writing. Raises OSError."""
    answers = nothing = fictitious = 0
    for journal, opened in reading.entries():
        answers += 1
        if opened.entry.subject is None:
            fictitious += 1
        elif opened.content is not None:
            try:
                nothing += not _set_aside(opened.entry, opened.content, aside)
            except JournalDamaged as error:
                reading.damaged(journal, error.detail)
    people: dict[str, int] = {}
    for number, part in enumerate(aside.parts(), 1):
        report(number, PARTS)
        for line in _joined(part):
            sink.write(line.amc, _ENCODER.encode(line) + b"\n")
            people[line.amc] = people.get(line.amc, 0) + 1
    return Listed(
        people=dict(sorted(people.items())),
        answers=answers,
        nothing=nothing,
        fictitious=fictitious,
        sealed=reading.sealed,
        broken_off=reading.broken_off,
        pruned=tuple(reading.pruned),
    )


def _set_aside(entry: Entry, content: Mapping[str, Any], aside: Partitions) -> bool:
    """Whether the answer gave anything away."""
    who = identity(content["query"]).encode("utf-8") if "query" in content else b""
    try:
        sightings = list(_sightings(entry, content["answer"], content["query"]))
    except (KeyError, TypeError, AttributeError):
        # From None, because the cause could quote a person.
        raise JournalDamaged(f"what is sealed in entry {entry.n} is no answer") from None
    for sighting in sightings:
        # The AMC in the key, too: otherwise one person's records of all AMCs would fill one part.
        key = hashlib.sha256(sighting.amc.encode("utf-8") + b"|" + who).digest()[:_KEY_BYTES]
        aside.put(key, key + _ENCODER.encode(sighting))
    return bool(sightings)


def _sightings(entry: Entry, answer: Mapping[str, Any], query: Mapping[str, Any]) -> Iterator[_Sighting]:
    """One for each AMC whose contracts the answer shows; a status without a contract is that of the AMC asked for."""
    masks: dict[str, int] = {}
    members: dict[str, set[str]] = {}
    for contract in answer["contracts"]:
        amc = _number(contract["amc"])
        told = of_contract(contract) | {Category.IDENTITY, Category.STATUS}
        masks[amc] = masks.get(amc, 0) | to_mask(told)
        members.setdefault(amc, set()).update([contract["member"]] if contract.get("member") else [])
    if not masks and answer["status"] != "unknown":
        masks[NO_AMC if query["amc"] is None else _number(query["amc"])] = to_mask({Category.IDENTITY, Category.STATUS})
    for amc, mask in masks.items():
        yield _Sighting(amc, dict(query["beneficiary"]), tuple(sorted(members.get(amc, ()))), mask, entry.at)


def _number(amc: str) -> str:
    """An AMC number in its canonical form: it will name a file."""
    if _NUMBER.fullmatch(amc) is None:
        raise JournalDamaged("an entry names an AMC that is none")
    return amc


def _joined(part: list[bytes]) -> Iterator[Affected]:
    """Each person of each AMC once."""
    found: dict[bytes, list[_Sighting]] = {}
    for record in part:
        found.setdefault(record[:_KEY_BYTES], []).append(_DECODER.decode(record[_KEY_BYTES:]))
    for sightings in found.values():
        yield _line(sightings)


def _line(sightings: list[_Sighting]) -> Affected:
    mask = 0
    for sighting in sightings:
        mask |= sighting.mask
    person = sightings[0].person
    return Affected(
        amc=sightings[0].amc,
        birth_date=person["birth_date"],
        birth_rank=person["birth_rank"],
        nir=person.get("nir"),
        member=person.get("member"),
        members=tuple(sorted({member for sighting in sightings for member in sighting.members})),
        categories=tuple(category.value for category in from_mask(mask)),
        answers=len(sightings),
        first=min(sighting.at for sighting in sightings),
        last=max(sighting.at for sighting in sightings),
    )
