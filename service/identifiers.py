"""Identifiers of people, insurers, pharmacies and clients, and the canonical identity a record is kept under. Pure.

Only ASCII passes: `str.isdigit` and a regular expression's digit class without its ASCII flag also take
Arabic-Indic and full-width digits, and one person would then have several keys. No error text holds what was given.
"""

from __future__ import annotations

import re

from service.errors import InvalidField

# Month 20-99 stands for an unknown one; departments are not checked, they change more often than this code.
_NIR = re.compile(r"[1-4]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d{2}|2A|2B)\d{6}", re.ASCII)
# As most extracts and tills write it: digits only, its key included.
_PLAIN_NIR = re.compile(r"[1-4]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)\d{10}", re.ASCII)
# Passing migrants, provisional numbers, provisional agricultural numbers: their key means nothing.
_NIR_WITHOUT_KEY = re.compile(r"[5-8][12]\d{11}|555555\d{7}", re.ASCII)
# Given for secrecy (minors, abortion, contraception), and provisional agricultural numbers.
_NIR_FICTITIOUS = re.compile(r"2555555\d{3}0(?:30|42)|555555\d{7}", re.ASCII)
_KEY = re.compile(r"\d{2}", re.ASCII)
_BIRTH_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_AMC = re.compile(r"\d{8,10}", re.ASCII)
_MEMBER = re.compile(r"[0-9A-Z./-]{1,20}", re.ASCII)
_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FINESS = re.compile(r"(?:\d{2}|2A|2B)\d{7}", re.ASCII)

_NIR_LENGTH = 13
_AMC_LENGTH = 10
_CORSICA_IN_NIR = {"2A": "19", "2B": "18"}
_CORSICA_IN_FINESS = {"2A": "21", "2B": "22"}
_MASKED_LENGTH = 64


def parse_nir(text: str) -> str:
    """The 13 characters of a NIR written with or without key, spaces, dots and capitals. Raises `InvalidField`."""
    if _PLAIN_NIR.fullmatch(text):
        number, control = divmod(int(text), 100)
        # They add up to a multiple of 97 (see `_nir_key`).
        if (number + control) % 97 == 0 and 1 <= control <= 97:
            return text[:_NIR_LENGTH]
    written = _ascii(text, "a NIR").replace(" ", "").replace(".", "").upper()
    nir, key = written[:_NIR_LENGTH], written[_NIR_LENGTH:]
    if key and not _KEY.fullmatch(key):
        raise InvalidField("a NIR has 13 characters, or 15 with its key")
    if _NIR_WITHOUT_KEY.fullmatch(nir):
        return nir
    if not _NIR.fullmatch(nir):
        raise InvalidField("not the shape of a NIR")
    if key and int(key) != _nir_key(nir):
        raise InvalidField("the key does not belong to this NIR")
    return nir


def is_fictitious(nir: str) -> bool:
    """Whether a parsed NIR stands for nobody: never to be looked up, sent upstream, cached or recorded."""
    return "555555" in nir[:7] and _NIR_FICTITIOUS.fullmatch(nir) is not None


def parse_birth_date(text: str) -> str:
    """A birth date of the shape YYYY-MM-DD, as text: lunar dates lie beyond the calendar. Raises `InvalidField`."""
    if not _BIRTH_DATE.fullmatch(text):
        raise InvalidField("a birth date is written YYYY-MM-DD")
    return text


def parse_birth_rank(value: int) -> int:
    """A birth rank from 1 to 9. Raises `InvalidField`, also for `true`, which Python takes for 1."""
    if type(value) is not int or not 1 <= value <= 9:
        raise InvalidField("a birth rank is an integer from 1 to 9")
    return value


def parse_amc(text: str) -> str:
    """An AMC number of 8 to 10 digits, zero-padded to 10. It has no check digit. Raises `InvalidField`."""
    if not _AMC.fullmatch(text):
        raise InvalidField("an AMC number has 8 to 10 digits")
    return text.zfill(_AMC_LENGTH)


def parse_member(text: str) -> str:
    """A numéro adhérent in capitals without spaces. Raises `InvalidField`."""
    if _MEMBER.fullmatch(text):
        return text
    member = _ascii(text, "a member number").replace(" ", "").upper()
    if not _MEMBER.fullmatch(member):
        raise InvalidField("a member number has 1 to 20 of the characters 0-9 A-Z . / -")
    return member


def check_finess(text: str) -> str:
    """A FINESS number in capitals; its key is not checked (`finess_has_valid_key`). Raises `InvalidField`."""
    finess = _ascii(text, "a FINESS number").upper()
    if not _FINESS.fullmatch(finess):
        raise InvalidField("a FINESS number has 9 digits, or 2A or 2B and 7 digits")
    return finess


def is_client_id(text: str) -> bool:
    """Whether a text has the shape of a client's id: 1 to 64 of a-z, 0-9, `.`, `_`, `-`."""
    return _CLIENT_ID.fullmatch(text) is not None


def finess_has_valid_key(finess: str) -> bool:
    """Whether Luhn's sum holds. No official rule says it must, so a failure is a warning, never a refusal."""
    digits = _CORSICA_IN_FINESS.get(finess[:2], finess[:2]) + finess[2:]
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


def nir_identity(nir: str, birth_date: str, birth_rank: int) -> str:
    """The canonical identity of a beneficiary under the insured's NIR."""
    return f"nir|{nir}|{birth_date}|{birth_rank}"


def amc_identity(amc: str, member: str, birth_date: str, birth_rank: int) -> str:
    """The canonical identity of a beneficiary under an AMC and a member number, as printed on the card."""
    return f"amc|{amc}|{member}|{birth_date}|{birth_rank}"


def mask(text: str) -> str:
    """The shape of an identifier, for logs: separators stay, every other character is a star."""
    return "".join(character if character in " .-/|" else "*" for character in text[:_MASKED_LENGTH])


def _nir_key(nir: str) -> int:
    department = _CORSICA_IN_NIR.get(nir[5:7], nir[5:7])
    return 97 - int(nir[:5] + department + nir[7:]) % 97


def _ascii(text: str, what: str) -> str:
    """Before any change of case: a long s would become S, and full-width letters would pass."""
    if not text.isascii():
        raise InvalidField(f"{what} is written in ASCII")
    return text
