"""A block of households: who lives there, and which source rows they come to. Pure.

The population is this block over and over, with other numbers, dates and insurers each time. One person in the
sense of a snapshot is one (NIR, birth date, rank): a child under both parents' NIRs is two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final

from stubs import civil, contracts
from stubs.civil import Shape
from stubs.contracts import Kind


class Role(IntEnum):
    """A person's place in the household, which settles birth date and rank."""

    INSURED = auto()
    PARTNER = auto()
    ELDER = auto()
    YOUNGER = auto()
    TWIN = auto()
    SECOND_TWIN = auto()


@dataclass(frozen=True, slots=True)
class Cover:
    """A contract: its life, its insurer (0 and 1 are the household's two), who pays first."""

    kind: Kind
    insurer: int = 0
    payer_rank: int = 1


@dataclass(frozen=True, slots=True)
class Person:
    """A member of a household, on the NIR of its `parent`-th insured."""

    role: Role
    covers: tuple[Cover, ...]
    parent: int = 0


@dataclass(frozen=True, slots=True)
class Household:
    """NIR shape of its insured, the years before today in which the earliest may be born, its people."""

    people: tuple[Person, ...]
    shape: Shape = civil.METROPOLITAN
    eldest: int = 49
    #: Households of the example queries take the first AMC, whose policy keeps them as they are for days.
    vouched: bool = False


@dataclass(frozen=True, slots=True)
class Seat:
    """One source row of the block: its person, its household and the household's insured, numbered in the block."""

    cover: Cover
    role: Role
    insured: int
    household: int
    shape: Shape
    eldest: int
    vouched: bool


def _single(*kinds: Kind, shape: Shape = civil.METROPOLITAN, eldest: int = 49, vouched: bool = False) -> Household:
    covers = tuple(Cover(kind, index, 1) for index, kind in enumerate(kinds))
    return Household((Person(Role.INSURED, covers),), shape, eldest, vouched)


def _people(kind: Kind, *roles: Role, shape: Shape = civil.METROPOLITAN) -> Household:
    return Household(tuple(Person(role, (Cover(kind),)) for role in roles), shape)


def _two_parents() -> Household:
    """Children under both parents' NIRs: the first parent's insurer pays first, the second's completes."""
    first, second = Cover(contracts.plain, 0, 1), Cover(contracts.plain, 1, 2)
    children = [Person(role, (cover,), parent) for parent, cover in enumerate((first, second)) for role in _CHILDREN]
    parents = (Person(Role.INSURED, (first,)), Person(Role.INSURED, (Cover(contracts.plain, 1),), 1))
    return Household((*parents, *children))


def _like_twins() -> Household:
    """A brother and a sister born together, both rank 1: one key, one member number, two different rights."""
    both = (Cover(contracts.plain), Cover(contracts.terminated))
    return Household((Person(Role.INSURED, (Cover(contracts.plain),)), Person(Role.TWIN, both)))


_CHILDREN: Final = (Role.ELDER, Role.YOUNGER)
_TWINS: Final = (Role.TWIN, Role.SECOND_TWIN)
_PAID_TWICE: Final = (Cover(contracts.plain, 0, 1), Cover(contracts.endless, 1, 2))
_SECOND_ONLY: Final = (Cover(contracts.terminated, 0, 1), Cover(contracts.plain, 1, 2))

#: The first two are the examples' open and closed people; a population cut short keeps the first households.
BLOCK: Final = (
    _single(contracts.plain, vouched=True),
    _single(contracts.terminated, vouched=True),
    _single(contracts.hospital),
    _people(contracts.plain, Role.INSURED, Role.PARTNER, *_CHILDREN),
    _people(contracts.plain, Role.INSURED, *_TWINS),
    _two_parents(),
    _like_twins(),
    Household((Person(Role.INSURED, _PAID_TWICE), Person(Role.PARTNER, _PAID_TWICE))),
    Household((Person(Role.INSURED, _SECOND_ONLY),)),
    _single(contracts.left, contracts.joined),
    _single(contracts.left, contracts.joined, shape=civil.CORSICAN),
    _single(contracts.leaving, contracts.joining),
    _single(contracts.plain, contracts.former),
    _single(contracts.lapsed, contracts.former, eldest=73),
    _single(contracts.terminated, eldest=73),
    _single(contracts.terminated),
    _single(contracts.terminated, shape=civil.OVERSEAS),
    _people(contracts.terminated, Role.INSURED, Role.YOUNGER),
    _single(contracts.terminating),
    _single(contracts.suspended),
    _single(contracts.suspended, shape=civil.CORSICAN, eldest=73),
    _single(contracts.suspended_endless),
    _single(contracts.resumed),
    _single(contracts.not_started, eldest=42),
    _single(contracts.renewing),
    _people(contracts.renewing, Role.INSURED, Role.PARTNER),
    _single(contracts.shortened),
    _single(contracts.lapsed),
    _single(contracts.lapsed, eldest=73),
    _single(contracts.sight),
    _single(contracts.listed),
    _single(contracts.plain, shape=civil.UNKNOWN_MONTH, eldest=73),
    _people(contracts.plain, Role.INSURED, *_CHILDREN, shape=civil.UNKNOWN_MONTH),
    _single(contracts.plain, shape=civil.TEMPORARY),
    _single(contracts.plain, shape=civil.MIGRANT),
    _single(contracts.endless, shape=civil.PROVISIONAL),
    _single(contracts.plain, shape=civil.ABROAD),
    _single(contracts.endless, shape=civil.OVERSEAS),
    _people(contracts.plain, Role.INSURED, Role.PARTNER, *_TWINS, shape=civil.CORSICAN),
    _people(contracts.endless, Role.INSURED, Role.PARTNER, Role.YOUNGER),
    *(_single(contracts.plain, eldest=73 + 8 * (index % 3)) for index in range(6)),
    *(_single(contracts.endless) for _ in range(3)),
    *(_people(contracts.plain, Role.INSURED, *_CHILDREN) for _ in range(2)),
)


def _seats() -> Iterator[tuple[int, Seat]]:
    """Every row with the number of its person, both counted over the block."""
    person = insured = -1
    for number, household in enumerate(BLOCK):
        first = insured + 1
        for member in household.people:
            person += 1
            insured = max(insured, first + member.parent)
            for cover in member.covers:
                place = (first + member.parent, number, household.shape, household.eldest, household.vouched)
                yield person, Seat(cover, member.role, *place)


_NUMBERED: Final = tuple(_seats())
#: The rows of a block, in the order of its people, and how many people there are.
SEATS: Final = tuple(seat for _, seat in _NUMBERED)
PEOPLE_PER_BLOCK: Final = _NUMBERED[-1][0] + 1
#: An order number that no insured of any block is given.
NOBODY: Final = civil.ORDERS_PER_BLOCK - 1


def rows_of(people: int) -> int:
    """How many rows the first `people` people of a block come to."""
    return sum(1 for person, _ in _NUMBERED if person < people)
