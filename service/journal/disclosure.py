"""What an answer gave away about a person, by category, and whom it was about. Pure.

An entry alone tells how much was given away at most; what is sealed in it tells exactly what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from service.errors import JournalDamaged
from service.identifiers import amc_identity, nir_identity
from service.journal.entries import Disclosed, Entry


class Category(StrEnum):
    """Categories of personal data an answer can hold. Names, addresses and bank details are in none of them."""

    IDENTITY = "identity"
    STATUS = "status"
    INSURER = "insurer"
    CLOSURE = "closure"
    MEMBER = "member"
    ROUTING = "routing"
    VALIDITY = "validity"
    COVER = "cover"


#: Category by member of a contract in an answer (docs/http.md). What is not here says nothing about a person.
MEMBERS: Final[Mapping[str, Category]] = {
    "amc": Category.INSURER,
    "amc_name": Category.INSURER,
    "closed_on": Category.CLOSURE,
    "member": Category.MEMBER,
    "convention": Category.ROUTING,
    "csr": Category.ROUTING,
    "valid_from": Category.VALIDITY,
    "valid_to": Category.VALIDITY,
    "card_valid_to": Category.VALIDITY,
    "payer_rank": Category.COVER,
    "responsible": Category.COVER,
    "domains": Category.COVER,
    "rate_base": Category.COVER,
    "rates": Category.COVER,
    "guarantee": Category.COVER,
}
#: What an entry of each kind can have given away at most.
_AT_MOST: Final[Mapping[str, frozenset[Category]]] = {
    Disclosed.NONE: frozenset(),
    Disclosed.STATUS: frozenset({Category.IDENTITY, Category.STATUS, Category.INSURER, Category.CLOSURE}),
    Disclosed.CONTRACT: frozenset(Category),
}


def at_most(entry: Entry) -> frozenset[Category]:
    """The categories an entry can have given away, without opening it."""
    return _AT_MOST.get(entry.disclosed, frozenset(Category))


def given_away(answer: Mapping[str, Any]) -> frozenset[Category]:
    """The categories an answer gave away: none if it knew nobody.

    Whatever it says of a contract also confirms that the identity asked for exists (`identity`) and how it stands.
    """
    contracts = answer["contracts"]
    if not contracts and answer["status"] == "unknown":
        return frozenset()
    found = {Category.IDENTITY, Category.STATUS}
    for contract in contracts:
        found |= of_contract(contract)
    return frozenset(found)


def of_contract(contract: Mapping[str, Any]) -> frozenset[Category]:
    """The categories one contract of an answer gives away; an empty text gives nothing away."""
    return frozenset(MEMBERS[name] for name, value in contract.items() if name in MEMBERS and value not in ("", None))


def identity(query: Mapping[str, Any]) -> str:
    """The canonical identity a recorded question is about (docs/journal_format.md).

    A person asked for by NIR and again by AMC and member number has two. Raises `JournalDamaged`, which quotes nothing.
    """
    try:
        person = query["beneficiary"]
        if "nir" in person:
            return nir_identity(person["nir"], person["birth_date"], person["birth_rank"])
        return amc_identity(person["amc"], person["member"], person["birth_date"], person["birth_rank"])
    except (KeyError, TypeError):
        raise JournalDamaged("what is sealed in an entry is no question") from None


def to_mask(categories: Iterable[Category]) -> int:
    """Categories as bits, to be joined by `|`."""
    mask = 0
    for category in categories:
        mask |= _BITS[category]
    return mask


def from_mask(mask: int) -> tuple[Category, ...]:
    """The categories in bits, in their order."""
    return tuple(category for category, bit in _BITS.items() if mask & bit)


_BITS: Final[Mapping[Category, int]] = {category: 1 << number for number, category in enumerate(Category)}
