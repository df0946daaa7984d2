"""From a question to the whole response, as the service that is stood in for gives it (docs/http.md)."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import random
import secrets
import zoneinfo
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from stubs.question import Question
from stubs.register import Register
from stubs.truth import Finding, find, nobody

PARIS: Final = zoneinfo.ZoneInfo("Europe/Paris")
CLIENT: Final = "sandbox"
_FRESH, _AGING = dt.timedelta(hours=24), dt.timedelta(hours=72)


class Answers:
    """Answers from a register. `names` are those of the AMCs by number; one that is not among them is its number."""

    def __init__(self, register: Register, names: Mapping[str, str], chance: random.Random) -> None:
        self._register, self._names, self._chance = register, names, chance

    def response(self, question: Question, now: dt.datetime, behind: dt.timedelta) -> bytes:
        """The response to a question at an instant, from data that are said to be `behind` old."""
        found = nobody() if question.fictitious else self._found(question)
        opening = secrets.token_bytes(16)
        answer = _answer(question, found, now)
        answer["asked"] = _b64u(hmac.digest(opening, question.normalised(), "sha256"))
        answer["source"] = _source(answer["contracts"], now, behind)
        for contract in answer["contracts"]:
            contract["amc_name"] = self._names.get(contract["amc"], contract["amc"])
            if contract["status"] != "closed":
                contract |= {name: answer["source"][name] for name in ("extracted_at", "freshness")}
        whole = {"answer": answer, "counter_text": found.counter_text, "receipt": None, "opening": _b64u(opening)}
        return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)

    def _found(self, question: Question) -> Finding:
        rows = self._register.rows(question.person)
        return find(rows, question.service_date, question.domain, question.amc, question.benefits)

    def about_another(self, question: Question) -> Question:
        """The same question about somebody else of the register."""
        other = self._register.line(self._chance.randrange(len(self._register)))
        person = {"nir": other["nir"][:13], "birth_date": other["birth_date"], "birth_rank": other["birth_rank"]}
        if person == question.person:
            person["birth_rank"] = person["birth_rank"] % 9 + 1
        return replace(question, person=person)


def _answer(question: Question, found: Finding, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": _uuid7(now, secrets.token_hex(9)),
        "at": f"{now.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z",
        "for": {"client": CLIENT, "finess": question.finess},
        "service_date": question.service_date,
        "mode": "live",
        "mode_order": None,
        "status": found.status,
        "advice": found.advice,
        "degraded": False,
        "reasons": found.reasons,
        "contracts": found.contracts,
        "notices": [],
    }


def _source(contracts: list[dict[str, Any]], now: dt.datetime, behind: dt.timedelta) -> dict[str, Any]:
    """Its data are those of this moment, if nothing is wrong, and hold until the day in Paris is over."""
    tomorrow = now.astimezone(PARIS).date() + dt.timedelta(days=1)
    freshness = "fresh" if behind <= _FRESH else "aging" if behind <= _AGING else "stale"
    return {
        "kind": "upstream",
        "snapshot": None,
        "signed_at": None,
        "valid_until": _instant(dt.datetime.combine(tomorrow, dt.time(), PARIS)),
        "extracted_at": _instant(now - behind) if contracts else None,
        "freshness": freshness if contracts else None,
    }


def _instant(value: dt.datetime) -> str:
    return f"{value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _uuid7(now: dt.datetime, rest: str) -> str:
    """RFC 9562 §5.7: the time in milliseconds in front of random hexadecimal digits."""
    time = f"{int(now.timestamp() * 1000):012x}"
    return f"{time[:8]}-{time[8:]}-7{rest[:3]}-8{rest[3:6]}-{rest[6:18]}"


def _b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
