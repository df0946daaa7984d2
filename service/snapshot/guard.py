"""What a snapshot is judged against: the highest one ever activated (docs/trust_format.md). Pure.

The floor stops rollback, equivocation and fast-forward; the guard stops a correctly signed snapshot that would take
the rights of many people away, or promise more than before, because an extract went wrong.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from service.errors import SnapshotRefused
from service.rights.model import Guarantee, OnUnknown, StandIn
from service.snapshot.manifest import AmcEntry, Digest, Manifest, Sequence
from service.snapshot.steps import Step

#: A sequence further ahead is a mistake or an attack that would leave no room for the snapshots to come.
MAX_AHEAD: Final = 1_000
PEOPLE_PERCENT: Final = 10
#: A small AMC may change by a large share without anything being wrong.
PEOPLE_IGNORED: Final = 500
OPEN_POINTS: Final = 3


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The highest snapshot ever activated: sequence, payload digest, and its AMCs' counts, extract and policy."""

    sequence: Sequence
    digest: Digest
    amcs: tuple[AmcEntry, ...]


class Finding(msgspec.Struct, frozen=True):
    """One rule of the guard that a snapshot breaks, for one AMC."""

    rule: str
    amc: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.rule} (AMC {self.amc}: {self.before} → {self.after})"


def floor_of(manifest: Manifest, digest: str) -> Floor:
    """The floor a snapshot leaves once it was activated."""
    return Floor(manifest.sequence, digest, manifest.amcs)


def higher_floor(one: Floor | None, other: Floor | None) -> Floor | None:
    """The higher of what the control store and the node remember.

    Raises `SnapshotRefused` where they remember two different snapshots under one sequence: one of them was misled.
    """
    if one is None or other is None:
        return one or other
    if one.sequence == other.sequence and one.digest != other.digest:
        raise SnapshotRefused(
            Step.SEQUENCE, f"one floor, sequence {one.sequence} digest {one.digest}", f"also digest {other.digest}"
        )
    return one if one.sequence >= other.sequence else other


def check_floor(sequence: int, digest: str, floor: Floor | None) -> None:
    """Raises `SnapshotRefused` for a rollback, an equivocation or a leap. A node's first load has no floor."""
    if floor is None:
        return
    if sequence < floor.sequence:
        raise SnapshotRefused(Step.SEQUENCE, f"sequence {floor.sequence} or above", f"{sequence}: a rollback")
    if sequence == floor.sequence and digest != floor.digest:
        expected = f"digest {floor.digest} for sequence {sequence}"
        raise SnapshotRefused(Step.SEQUENCE, expected, f"digest {digest}: two snapshots under one sequence")
    if sequence > floor.sequence + MAX_AHEAD:
        expected = f"sequence {floor.sequence + MAX_AHEAD} or below"
        raise SnapshotRefused(Step.SEQUENCE, expected, f"{sequence}: more than {MAX_AHEAD} ahead")


def check_guard(manifest: Manifest, floor: Floor | None) -> tuple[Finding, ...]:
    """Every rule the snapshot breaks against the floor, AMC by AMC; none on a node's first load."""
    if floor is None:
        return ()
    following = {entry.amc: entry for entry in manifest.amcs}
    found: list[Finding] = []
    for before in floor.amcs:
        after = following.get(before.amc)
        if after is None:
            found.append(Finding("an AMC may not vanish", before.amc, f"{before.people} people", "absent"))
        else:
            found.extend(_judge(before, after))
    return tuple(found)


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
    found.extend(
        Finding(f"the policy may not loosen: {name}", before.amc, *values)
        for name, values in _loosened(before.stand_in, after.stand_in).items()
    )
    return found


def _open_share_fell(before: AmcEntry, after: AmcEntry) -> bool:
    # In whole numbers: before - after > 3/100, both shares brought to one denominator.
    if not before.contracts:
        return False
    denominator = max(after.contracts, 1)
    fall = before.open * denominator - after.open * before.contracts
    return fall * 100 > OPEN_POINTS * before.contracts * denominator


def _share(entry: AmcEntry) -> str:
    return f"{100 * entry.open / max(entry.contracts, 1):.1f} % open"


def _loosened(before: StandIn, after: StandIn) -> dict[str, tuple[str, str]]:
    """Members of a policy that now allow more than before. A tightening is nobody's risk and passes."""
    looser = {
        "allowed": after.allowed and not before.allowed,
        "renewal_grace_days": after.renewal_grace_days > before.renewal_grace_days,
        "closed_trust_days": after.closed_trust_days > before.closed_trust_days,
        "max_age_days": after.max_age_days > before.max_age_days,
        "history_days": after.history_days > before.history_days,
        # A patient who pays is refunded later; a card that convinces commits the AMC at once.
        "on_unknown": (before.on_unknown, after.on_unknown) == (OnUnknown.PATIENT_PAYS, OnUnknown.CHECK_CARD),
        "guarantee": _guarantee_loosened(before.guarantee, after.guarantee),
    }
    values = {name: (getattr(before, name), getattr(after, name)) for name, broken in looser.items() if broken}
    return {name: (_shown(old), _shown(new)) for name, (old, new) in values.items()}


def _guarantee_loosened(before: Guarantee | None, after: Guarantee | None) -> bool:
    if after is None:
        return False
    if before is None or after.basis != before.basis:
        return True
    return (after.until or dt.date.max) > (before.until or dt.date.max) or _exceeds(
        after.ceiling_cents, before.ceiling_cents
    )


def _exceeds(after: int | None, before: int | None) -> bool:
    """Whether a ceiling rose; none means without limit."""
    return before is not None and (after is None or after > before)


def _shown(value: object) -> str:
    if isinstance(value, Guarantee):
        return f"{value.basis}, until {value.until or 'open end'}, ceiling {value.ceiling_cents or 'none'}"
    return "none" if value is None else str(value)
