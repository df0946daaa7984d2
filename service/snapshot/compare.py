"""Two snapshots side by side: what a person looks at before one follows the other. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from service.errors import SnapshotRefused
from service.snapshot.guard import Finding, Floor, check_floor, check_guard
from service.snapshot.manifest import AmcEntry, Manifest
from service.snapshot.terms import loosened, member_text

Effect = Literal["loosened", "tightened"]


class Side(msgspec.Struct, frozen=True):
    """One of the two. `signers` are the people whose signatures hold; None where no trust file tells who they are."""

    manifest: Manifest
    digest: str
    signers: tuple[str, ...] | None


class PolicyChange(msgspec.Struct, frozen=True):
    """A member of an AMC's policy that differs, in words. What only changed its basis counts as loosened."""

    member: str
    before: str
    after: str
    effect: Effect


class AmcComparison(msgspec.Struct, frozen=True):
    """One AMC in both; `before` None: it was added, `after` None: it vanished."""

    amc: str
    before: AmcEntry | None
    after: AmcEntry | None
    policy: tuple[PolicyChange, ...]

    @property
    def sides(self) -> tuple[AmcEntry | None, AmcEntry | None]:
        """Before and after."""
        return self.before, self.after


class Refusal(msgspec.Struct, frozen=True):
    """What verification would refuse, at which step."""

    step: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"refused at step {self.step}: expected {self.expected}; found {self.found}"


class Comparison(msgspec.Struct, frozen=True):
    """`after` beside `before` (None: nothing to compare with), and what would keep it from following a floor.

    `rollback` is what the floor refuses; `findings` are the guard's, which an operator may accept.
    """

    before: Side | None
    after: Side
    amcs: tuple[AmcComparison, ...]
    rollback: Refusal | None
    findings: tuple[Finding, ...]

    @property
    def vanished(self) -> tuple[str, ...]:
        """The AMCs that only the former has."""
        return tuple(one.amc for one in self.amcs if one.after is None)

    @property
    def added(self) -> tuple[str, ...]:
        """The AMCs that only the following has."""
        return tuple(one.amc for one in self.amcs if one.before is None)


def compare(before: Side | None, after: Side, floor: Floor | None) -> Comparison:
    """The two side by side, AMC by AMC in the order of their numbers; `after` judged against `floor`."""
    former = {} if before is None else {entry.amc: entry for entry in before.manifest.amcs}
    following = {entry.amc: entry for entry in after.manifest.amcs}
    return Comparison(
        before=before,
        after=after,
        amcs=tuple(
            _compare_amc(number, former.get(number), following.get(number)) for number in sorted({*former, *following})
        ),
        rollback=_floor_refusal(after, floor),
        findings=check_guard(after.manifest, floor),
    )


def percent(before: int, after: int) -> float | None:
    """By how much a count changed, to a tenth; None from nothing."""
    return round(100 * (after - before) / before, 1) if before else None


def _compare_amc(amc: str, before: AmcEntry | None, after: AmcEntry | None) -> AmcComparison:
    changes: list[PolicyChange] = []
    if before is not None and after is not None:
        looser = loosened(before.stand_in, after.stand_in)
        tightened = [member for member in loosened(after.stand_in, before.stand_in) if member not in looser]
        effects: dict[str, Effect] = {**dict.fromkeys(looser, "loosened"), **dict.fromkeys(tightened, "tightened")}
        for member, effect in effects.items():
            texts = member_text(before.stand_in, member), member_text(after.stand_in, member)
            changes.append(PolicyChange(member, *texts, effect))
    return AmcComparison(amc, before, after, tuple(changes))


def _floor_refusal(after: Side, floor: Floor | None) -> Refusal | None:
    try:
        check_floor(after.manifest.sequence, after.digest, floor)
    except SnapshotRefused as error:
        return Refusal(str(error.step), error.expected, error.found)
    return None
