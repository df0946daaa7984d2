"""A stand-in answer beside what the upstream says to the same question, contract by contract. Pure.

What one side does not show is unknown there: absence is never a "no" (docs/reconcile.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from service.rights.heard import Heard, Told
from service.rights.model import Status

#: Whom an outcome is counted under where neither side shows a contract and no AMC was asked for.
NO_AMC: Final = "none"


class Verdict(StrEnum):
    """How a contract as we answered it stands to the contract as the upstream tells it."""

    CONFIRMED = "confirmed"
    WRONGLY_OPEN = "wrongly_open"
    WRONGLY_CLOSED = "wrongly_closed"
    UNKNOWN_NOW_OPEN = "unknown_now_open"
    UNKNOWN_NOW_CLOSED = "unknown_now_closed"
    STILL_UNKNOWN = "still_unknown"
    OPEN_NOW_UNKNOWN = "open_now_unknown"
    CLOSED_NOW_UNKNOWN = "closed_now_unknown"


class Shown(msgspec.Struct, frozen=True):
    """One contract as an answer shows it: `member` is None where it is hidden, `rates` are there only if open."""

    amc: str
    status: Status
    member: str | None = None
    rates: Mapping[str, int | None] | None = None
    rate_base: str = ""


class Said(msgspec.Struct, frozen=True):
    """What one side says to a question: the status of the whole and the contracts shown."""

    status: Status
    contracts: tuple[Shown, ...]


class Outcome(NamedTuple):
    """One comparison: the AMC it counts for, the verdict, and whether both sides are open at different rates."""

    amc: str
    verdict: Verdict
    other_rates: bool = False


Pair = tuple[Shown | None, Shown | None]

_VERDICTS: Final = {
    (Status.OPEN, Status.OPEN): Verdict.CONFIRMED,
    (Status.CLOSED, Status.CLOSED): Verdict.CONFIRMED,
    (Status.OPEN, Status.CLOSED): Verdict.WRONGLY_OPEN,
    (Status.CLOSED, Status.OPEN): Verdict.WRONGLY_CLOSED,
    (Status.UNKNOWN, Status.OPEN): Verdict.UNKNOWN_NOW_OPEN,
    (Status.UNKNOWN, Status.CLOSED): Verdict.UNKNOWN_NOW_CLOSED,
    (Status.UNKNOWN, Status.UNKNOWN): Verdict.STILL_UNKNOWN,
    (Status.OPEN, Status.UNKNOWN): Verdict.OPEN_NOW_UNKNOWN,
    (Status.CLOSED, Status.UNKNOWN): Verdict.CLOSED_NOW_UNKNOWN,
}


def said_by(heard: Heard) -> Said:
    """The upstream's answer as one side of a comparison."""
    return Said(heard.status, tuple(map(_told, heard.contracts)))


def compare(ours: Said, theirs: Said, amc: str | None) -> tuple[Outcome, ...]:
    """One outcome a contract, whichever side shows it, by AMC; one for the whole where neither shows any.

    `amc` is the one asked for. The order of contracts on either side makes no difference.
    """
    if not ours.contracts and not theirs.contracts:
        return (Outcome(amc or NO_AMC, _VERDICTS[ours.status, theirs.status]),)
    # Who shows no contract at all says the same of each: a "closed" to an AMC asked for closes what we held open.
    absent_here = Status.UNKNOWN if ours.contracts else ours.status
    absent_there = Status.UNKNOWN if theirs.contracts else theirs.status
    return tuple(
        _outcome(name, pair, absent_here, absent_there) for name, pair in _pairs(ours.contracts, theirs.contracts)
    )


def _told(told: Told) -> Shown:
    contract = told.contract
    if told.status is Status.CLOSED:
        return Shown(contract.amc, told.status)
    return Shown(contract.amc, told.status, contract.member or None, told.rates, contract.rate_base)


def _outcome(amc: str, pair: Pair, absent_here: Status, absent_there: Status) -> Outcome:
    mine, told = pair
    here = absent_here if mine is None else mine.status
    there = absent_there if told is None else told.status
    return Outcome(amc, _VERDICTS[here, there], _other_rates(mine, told))


def _other_rates(mine: Shown | None, told: Shown | None) -> bool:
    """Whether both are open and say what they pay, and it is not the same."""
    if mine is None or told is None or mine.rates is None or told.rates is None:
        return False
    return (mine.rate_base, mine.rates) != (told.rate_base, told.rates)


def _pairs(ours: Iterable[Shown], theirs: Iterable[Shown]) -> Iterator[tuple[str, Pair]]:
    """By AMC, the contracts of both sides side by side; one that has no counterpart stands alone."""
    mine, told = _by_amc(ours), _by_amc(theirs)
    for amc in sorted(mine.keys() | told.keys()):
        for pair in _matched(mine[amc], told[amc]):
            yield amc, pair


def _by_amc(contracts: Iterable[Shown]) -> defaultdict[str, list[Shown]]:
    groups: defaultdict[str, list[Shown]] = defaultdict(list)
    for shown in sorted(contracts, key=_order):
        groups[shown.amc].append(shown)
    return groups


def _order(shown: Shown) -> tuple[str, str, str, str]:
    rates = sorted((benefit, -1 if rate is None else rate) for benefit, rate in (shown.rates or {}).items())
    return shown.status, shown.member or "", shown.rate_base, repr(rates)


def _same_member(mine: Shown, told: Shown) -> bool:
    return mine.member is not None and mine.member == told.member


def _hidden(mine: Shown, told: Shown) -> bool:
    """Whether one side hides the member, as every closed contract does: then the AMC is all there is to go by."""
    return mine.member is None or told.member is None


def _alike(mine: Shown, told: Shown) -> bool:
    return (mine.status, mine.rates, mine.rate_base) == (told.status, told.rates, told.rate_base)


def _same_status(mine: Shown, told: Shown) -> bool:
    return mine.status is told.status


#: From the surest to the weakest sign that two contracts of one AMC are the same one. Of several that a person has
#: there, those that agree are taken first: a difference is reported only where no agreement explains it.
_SIGNS: Final[Sequence[Sequence[Callable[[Shown, Shown], bool]]]] = (
    (_same_member, _alike),
    (_same_member, _same_status),
    (_same_member,),
    (_hidden, _same_status),
    (_hidden,),
)


def _matched(mine: list[Shown], told: list[Shown]) -> Iterator[Pair]:
    """The pairs of one AMC, the surest first; then what is left of each side."""
    for signs in _SIGNS:
        for shown in tuple(mine):
            found = next((other for other in told if all(sign(shown, other) for sign in signs)), None)
            if found is not None:
                mine.remove(shown)
                told.remove(found)
                yield shown, found
    yield from ((shown, None) for shown in mine)
    yield from ((None, shown) for shown in told)
