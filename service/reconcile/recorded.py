"""A recorded stand-in answer, as reconciliation needs it: the question, what was shown, and where it is recorded. Pure.

What stands here was sealed: it lives in memory only, and no text of an error quotes it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from service.errors import JournalDamaged
from service.journal.officer import Opened, contradictions
from service.paris import paris_date
from service.reconcile.compare import Said, Shown
from service.rights import question
from service.rights.model import Query, SourceKind, Status
from service.strictjson import canonical

_DAY_SECONDS: Final = 86_400
_KEY_BYTES: Final = 16


class Place(msgspec.Struct, frozen=True):
    """Where an answer is recorded (segment, entry), its id and when it was given. It tells nothing of anybody."""

    journal: str
    n: int
    id: str
    at: str


class Recorded(msgspec.Struct, frozen=True):
    """A stand-in answer with its question. `key` tells equal questions from others, within one run's memory only.

    `day` is the Europe/Paris day it was given on, `age_days` the whole days of 24 hours its oldest extract was then
    old, None where it rests on no contract. `names` are the names of the AMCs it shows.
    """

    place: Place
    query: Query
    key: bytes
    said: Said
    day: str
    age_days: int | None
    names: Mapping[str, str]


def parse_recorded(journal: str, opened: Opened, content: Mapping[str, Any]) -> Recorded | None:
    """The stand-in answer in an opened entry's content; None for an answer of the upstream, kept or fresh.

    Raises `JournalDamaged` if what is sealed is no answer, or contradicts the entry.
    """
    try:
        if contradictions(opened):
            raise JournalDamaged(f"segment {journal}: entry {opened.entry.n} contradicts what is sealed in it")
        if content["answer"]["source"]["kind"] != SourceKind.SNAPSHOT:
            return None
        return _parse(journal, opened.entry.n, content["answer"], content["query"])
    except (KeyError, TypeError, ValueError, AttributeError):
        # From None, because the cause could quote a person.
        raise JournalDamaged(f"segment {journal}: what is sealed in entry {opened.entry.n} is no answer") from None


def _parse(journal: str, n: int, answer: Mapping[str, Any], asked: Mapping[str, Any]) -> Recorded:
    query = _query(asked)
    normalised = question.normalised(query)
    if normalised != canonical(asked):
        raise ValueError("not a normalised query")
    at = dt.datetime.fromisoformat(answer["at"])
    contracts = answer["contracts"]
    return Recorded(
        place=Place(journal, n, answer["id"], answer["at"]),
        query=query,
        key=hashlib.sha256(normalised).digest()[:_KEY_BYTES],
        said=Said(Status(answer["status"]), tuple(map(_shown, contracts))),
        day=paris_date(at).isoformat(),
        age_days=_age_days(at, answer["source"]["extracted_at"]),
        names={one["amc"]: one["amc_name"] for one in contracts if "amc_name" in one},
    )


def _query(asked: Mapping[str, Any]) -> Query:
    person = asked["beneficiary"]
    return Query(
        birth_date=person["birth_date"],
        birth_rank=person["birth_rank"],
        finess=asked["finess"],
        service_date=dt.date.fromisoformat(asked["service_date"]),
        domain=asked["domain"],
        benefits=tuple(asked["benefits"]),
        nir=person.get("nir"),
        member=person.get("member"),
        amc=asked["amc"],
    )


def _shown(contract: Mapping[str, Any]) -> Shown:
    return Shown(
        amc=contract["amc"],
        status=Status(contract["status"]),
        member=contract.get("member"),
        rates=contract.get("rates"),
        rate_base=contract.get("rate_base", ""),
    )


def _age_days(at: dt.datetime, extracted_at: str | None) -> int | None:
    if extracted_at is None:
        return None
    return int((at - dt.datetime.fromisoformat(extracted_at)).total_seconds() // _DAY_SECONDS)
