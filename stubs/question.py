"""A question for rights: the body of `POST /v1/rights`, judged as strictly as the service does, and as it counts. Pure.

What the published pages say of a body (docs/http.md), read a second time: this shares no line with the service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, NoReturn

import orjson

#: Who a question without `finess` is from: a sandbox knows no clients whose pharmacy it could be.
SANDBOX_FINESS: Final = "750012346"

_TEXT_LENGTH: Final = 64
_BENEFITS: Final = 50
_DIGITS: Final = 18
_MEMBERS: Final = frozenset({"beneficiary", "amc", "service_date", "domain", "benefits", "finess"})
_OF_PERSON: Final = frozenset({"nir", "amc", "member", "birth_date", "birth_rank"})
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_AMC: Final = re.compile(r"\d{8,10}", re.ASCII)
_MEMBER: Final = re.compile(r"[0-9A-Z./-]{1,20}", re.ASCII)
_DOMAIN: Final = re.compile(r"[0-9A-Z]{1,16}", re.ASCII)
_BENEFIT: Final = re.compile(r"[0-9A-Z]{1,10}", re.ASCII)
_FINESS: Final = re.compile(r"(?:\d{2}|2A|2B)\d{7}", re.ASCII)
# With a key that belongs to it; months from 20 on mean "not known".
_NIR: Final = re.compile(r"[1-4]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d{2}|2A|2B)\d{6}", re.ASCII)
# Passing migrants, provisional and provisional agricultural numbers: any key will do.
_NIR_WITHOUT_KEY: Final = re.compile(r"[5-8][12]\d{11}|5{6}\d{7}", re.ASCII)
# Given for secrecy: they stand for nobody.
_FICTITIOUS: Final = re.compile(r"25{6}\d{3}0(?:30|42)|5{6}\d{7}", re.ASCII)


class RefusedError(Exception):
    """A body that is no question: a code of the catalogue, what is wrong, and where (RFC 6901)."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.code, self.detail, self.pointer = code, detail, pointer


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its defaults filled in. `person` is the beneficiary in one of its two shapes."""

    person: Mapping[str, Any]
    finess: str
    service_date: str
    domain: str
    amc: str | None
    benefits: list[str] = field(default_factory=list)

    @property
    def fictitious(self) -> bool:
        """Whether the NIR is one of those given for secrecy."""
        return _FICTITIOUS.fullmatch(self.person.get("nir", "")) is not None

    def normalised(self) -> bytes:
        """The RFC 8785 bytes that an answer's `asked` commits to."""
        members: dict[str, Any] = {
            "beneficiary": dict(self.person),
            "finess": self.finess,
            "service_date": self.service_date,
        }
        members |= {"domain": self.domain, "benefits": self.benefits, "amc": self.amc}
        return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)


def parse_question(body: bytes, today: str) -> Question:
    """The question a body asks; `today` is the service date of one that names none. Raises `RefusedError`."""
    document = _object(_json(body), _MEMBERS, "")
    person = _object(_needed(document, "beneficiary", ""), _OF_PERSON, "/beneficiary")
    amc = _optional(document, "amc", "/amc", _amc)
    identity = _identity(person)
    if "amc" in identity:
        if amc not in (None, identity["amc"]):
            _refuse("amc and beneficiary.amc differ", "/amc")
        amc = identity["amc"]
    birth_date = _text(_needed(person, "birth_date", "/beneficiary"), "/beneficiary/birth_date")
    if not _DATE.fullmatch(birth_date):
        _refuse("a birth date is written YYYY-MM-DD", "/beneficiary/birth_date")
    identity |= {"birth_date": birth_date, "birth_rank": _rank(person)}
    return Question(
        person=identity,
        finess=_optional(document, "finess", "/finess", _finess) or SANDBOX_FINESS,
        service_date=_optional(document, "service_date", "/service_date", _day) or today,
        domain=_optional(document, "domain", "/domain", _domain) or "PHAR",
        amc=amc,
        benefits=_benefits(document),
    )


def _json(body: bytes) -> Any:
    try:
        # A number of 5,000 digits is out of range, not malformed.
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_constant=_refuse_constant,
            parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else digits,
        )
    except (ValueError, RecursionError):
        raise RefusedError("malformed_json", "not one JSON text in UTF-8 with distinct keys") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has one member twice")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _object(value: Any, known: frozenset[str], pointer: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse("not an object", pointer)
    if not value.keys() <= known:
        _refuse("a field that is not known here", pointer)
    return value


def _needed(document: Mapping[str, Any], name: str, pointer: str) -> Any:
    return document[name] if name in document else _refuse(f"the field {name} is missing", pointer)


def _optional(document: Mapping[str, Any], name: str, pointer: str, parse: Callable[[str, str], str]) -> str | None:
    return parse(_text(document[name], pointer), pointer) if name in document else None


def _text(value: Any, pointer: str) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_LENGTH:
        _refuse("of the wrong type or out of range", pointer)
    return value


def _identity(person: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: _text(person[name], f"/beneficiary/{name}") for name in ("nir", "amc", "member") if name in person}
    if set(given) == {"nir"}:
        return {"nir": _nir(given["nir"], "/beneficiary/nir")}
    if set(given) == {"amc", "member"}:
        member = _capitals(given["member"], "/beneficiary/member").replace(" ", "")
        if not _MEMBER.fullmatch(member):
            _refuse("a member number has 1 to 20 of the characters 0-9 A-Z . / -", "/beneficiary/member")
        return {"amc": _amc(given["amc"], "/beneficiary/amc"), "member": member}
    return _refuse("give either nir, or amc and member", "/beneficiary")


def _nir(text: str, pointer: str) -> str:
    written = _capitals(text, pointer).replace(" ", "").replace(".", "")
    nir, key = written[:13], written[13:]
    if key and not re.fullmatch(r"\d{2}", key, re.ASCII):
        _refuse("a NIR has 13 characters, or 15 with its key", pointer)
    if _NIR_WITHOUT_KEY.fullmatch(nir):
        return nir
    if not _NIR.fullmatch(nir):
        _refuse("not the shape of a NIR", pointer)
    if key and int(key) != 97 - int(nir.replace("2A", "19").replace("2B", "18")) % 97:
        _refuse("the key does not belong to this NIR", pointer)
    return nir


def _rank(person: Mapping[str, Any]) -> int:
    rank = person.get("birth_rank", 1)
    if type(rank) is not int or not 1 <= rank <= 9:
        _refuse("a birth rank is an integer from 1 to 9", "/beneficiary/birth_rank")
    return rank


def _amc(text: str, pointer: str) -> str:
    return text.zfill(10) if _AMC.fullmatch(text) else _refuse("an AMC number has 8 to 10 digits", pointer)


def _finess(text: str, pointer: str) -> str:
    finess = _capitals(text, pointer)
    return finess if _FINESS.fullmatch(finess) else _refuse("a FINESS number has 9 characters", pointer)


def _domain(text: str, pointer: str) -> str:
    return text if _DOMAIN.fullmatch(text) else _refuse("not a code of capital letters and digits", pointer)


def _day(text: str, pointer: str) -> str:
    # Any day of the calendar: whoever reconciles asks for days long gone.
    with suppress(ValueError):
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    return _refuse("not a calendar date YYYY-MM-DD", pointer)


def _benefits(document: Mapping[str, Any]) -> list[str]:
    codes = document.get("benefits", [])
    if not isinstance(codes, list) or len(codes) > _BENEFITS:
        _refuse("of the wrong type or out of range", "/benefits")
    for number, code in enumerate(codes):
        if not _BENEFIT.fullmatch(_text(code, f"/benefits/{number}")):
            _refuse("not a code of capital letters and digits", f"/benefits/{number}")
    return sorted(set(codes))


def _capitals(text: str, pointer: str) -> str:
    # Before any change of case: a long s would become S.
    return text.upper() if text.isascii() else _refuse("written in ASCII", pointer)


def _refuse(detail: str, pointer: str) -> NoReturn:
    raise RefusedError("invalid_field", detail, pointer)
