"""What a snapshot is judged against: the highest one ever activated (docs/trust_format.md). Pure.

The floor stops rollback, equivocation and fast-forward; the guard stops a correctly signed snapshot that would take
the rights of many people away, or promise more than before, because an extract went wrong.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import msgspec

from service.errors import SnapshotRefused
from service.snapshot.manifest import AmcEntry, Digest, Manifest, Sequence
from service.snapshot.steps import Step
from service.snapshot.terms import loosened, member_text, tighter

#: A sequence further ahead is a mistake or an attack that would leave no room for the snapshots to come.
MAX_AHEAD: Final = 1_000
#: Where a first load may begin at most: a date and a minute written as a number fit, and what is left of 2^53 cannot
#: be used up in steps of a thousand.
MAX_FIRST: Final = 10**12
PEOPLE_PERCENT: Final = 10
#: A small AMC may change by a large share without anything being wrong; from this many people on, it may not.
PEOPLE_IGNORED: Final = 500
OPEN_POINTS: Final = 3
#: What a finding about the whole names instead of an AMC.
EVERY_AMC: Final = "*"


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The highest snapshot ever activated: sequence, payload digest, and its AMCs' counts, extract and policy."""

    sequence: Sequence
    digest: Digest
    amcs: tuple[AmcEntry, ...]


class Finding(msgspec.Struct, frozen=True):
    """One rule of the guard that a snapshot breaks, for one AMC (`*`: for all of them together)."""

    rule: str
    amc: str
    before: str
    after: str

    def __str__(self) -> str:
        subject = "in all" if self.amc == EVERY_AMC else f"AMC {self.amc}"
        return f"{self.rule} ({subject}: {self.before} → {self.after})"


def floor_of(manifest: Manifest, digest: str) -> Floor:
    """The floor a snapshot leaves once it was activated."""
    return Floor(manifest.sequence, digest, manifest.amcs)


def higher_floor(one: Floor | None, other: Floor | None) -> Floor | None:
    """The higher of what the control store and the node remember; of one snapshot, the larger counts of the two.

    Raises `SnapshotRefused` where they remember two different snapshots under one sequence: one of them was misled.
    """
    if one is None or other is None:
        return one or other
    if one.sequence != other.sequence:
        return one if one.sequence > other.sequence else other
    if one.digest != other.digest:
        raise SnapshotRefused(
            Step.SEQUENCE, f"one floor, sequence {one.sequence} digest {one.digest}", f"also digest {other.digest}"
        )
    return one if one.amcs == other.amcs else Floor(one.sequence, one.digest, _larger_counts(one.amcs, other.amcs))


def check_floor(
    sequence: int, digest: str, floor: Floor | None, *, at_least: int = 1, quarantine: str | None = None
) -> None:
    """Raises `SnapshotRefused` for a rollback, an equivocation or a leap.

    A node's first load has no floor. `at_least` is the lowest sequence its operator expects: what a person who knows
    what served elsewhere can tell a node that knows nothing. `quarantine` says why the floor's own snapshot may not
    come back, where a pin left it behind.
    """
    if sequence < at_least:
        raise SnapshotRefused(Step.SEQUENCE, f"sequence {at_least} or above, as asked for", f"{sequence}")
    if floor is None:
        if sequence > MAX_FIRST:
            raise SnapshotRefused(Step.SEQUENCE, f"a first sequence of {MAX_FIRST} or below", f"{sequence}")
        return
    if sequence < floor.sequence:
        raise SnapshotRefused(Step.SEQUENCE, f"sequence {floor.sequence} or above", f"{sequence}: a rollback")
    if sequence == floor.sequence and digest != floor.digest:
        expected = f"digest {floor.digest} for sequence {sequence}"
        raise SnapshotRefused(Step.SEQUENCE, expected, f"digest {digest}: two snapshots under one sequence")
    if sequence == floor.sequence and quarantine is not None:
        raise SnapshotRefused(Step.SEQUENCE, f"sequence {sequence + 1} or above", f"{sequence}: {quarantine}")
    if sequence > floor.sequence + MAX_AHEAD:
        expected = f"sequence {floor.sequence + MAX_AHEAD} or below"
        raise SnapshotRefused(Step.SEQUENCE, expected, f"{sequence}: more than {MAX_AHEAD} ahead")


def check_guard(manifest: Manifest, floor: Floor | None) -> tuple[Finding, ...]:
    """Every rule the snapshot breaks, by AMC number. A node's first load has no floor: it may only not be empty."""
    found = [] if manifest.counts.people else [_empty(floor)]
    following = {entry.amc: entry for entry in manifest.amcs}
    for before in sorted(floor.amcs if floor else (), key=lambda entry: entry.amc):
        after = following.get(before.amc)
        if after is None:
            found.append(Finding("an AMC may not vanish", before.amc, f"{before.people} people", "absent"))
        else:
            found.extend(_judge(before, after))
    return tuple(found)


def open_share(entry: AmcEntry) -> float:
    """The share of an AMC's contracts that were open at its extract, in percent; 0 where it has none."""
    return 100 * entry.open / max(entry.contracts, 1)


def _judge(before: AmcEntry, after: AmcEntry) -> list[Finding]:
    found = []
    change = abs(after.people - before.people)
    if change >= PEOPLE_IGNORED and change * 100 > before.people * PEOPLE_PERCENT:
        rule = f"people may not change by more than {PEOPLE_PERCENT} %"
        found.append(Finding(rule, before.amc, str(before.people), str(after.people)))
    if _open_share_fell(before, after):
        rule = f"the open share may not fall by more than {OPEN_POINTS} points"
        found.append(Finding(rule, before.amc, _share(before), _share(after)))
    if after.extracted_at < before.extracted_at:
        times = (before.extracted_at.isoformat(), after.extracted_at.isoformat())
        found.append(Finding("extracted_at may not go back", before.amc, *times))
    for member in loosened(before.stand_in, after.stand_in):
        values = (member_text(policy, member) for policy in (before.stand_in, after.stand_in))
        found.append(Finding(f"the policy may not loosen: {member}", before.amc, *values))
    return found


def _open_share_fell(before: AmcEntry, after: AmcEntry) -> bool:
    # In whole numbers: before - after > 3/100, both shares brought to one denominator.
    if not before.contracts:
        return False
    denominator = max(after.contracts, 1)
    fall = before.open * denominator - after.open * before.contracts
    return fall * 100 > OPEN_POINTS * before.contracts * denominator


def _share(entry: AmcEntry) -> str:
    return f"{open_share(entry):.1f} % open"


def _empty(floor: Floor | None) -> Finding:
    before = "no snapshot" if floor is None else f"{sum(entry.people for entry in floor.amcs)} people"
    return Finding("a snapshot may not be empty", EVERY_AMC, before, "0 people")


def _larger_counts(one: tuple[AmcEntry, ...], other: tuple[AmcEntry, ...]) -> tuple[AmcEntry, ...]:
    """Two memories of one snapshot that differ, as one that asks no less than either: nobody can tell which is true."""
    by_number = {entry.amc: entry for entry in one}
    for entry in other:
        known = by_number.setdefault(entry.amc, entry)
        by_number[entry.amc] = _larger(known, entry)
    return tuple(by_number[number] for number in sorted(by_number))


def _larger(one: AmcEntry, other: AmcEntry) -> AmcEntry:
    """The most people, the higher open share with its own contracts, the later extract, the tighter policy."""
    return msgspec.structs.replace(
        max(one, other, key=_openness),
        people=max(one.people, other.people),
        extracted_at=max(one.extracted_at, other.extracted_at),
        stand_in=tighter(one.stand_in, other.stand_in),
    )


def _openness(entry: AmcEntry) -> tuple[Fraction, int, int, int, str]:
    """The open share, then whatever else tells two memories apart, so that their order does not matter."""
    share = Fraction(entry.open, max(entry.contracts, 1))
    return share, entry.contracts, entry.closed, entry.suspended, entry.name
