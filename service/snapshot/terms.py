"""Which of two stand-in policies allows less, member by member (docs/trust_format.md, Guard). Pure.

One order serves both questions asked of it: what a policy loosened, and which of two memories of it to hold on to.
"""

from __future__ import annotations

from service.rights.model import Guarantee, OnUnknown, StandIn


def tighter(one: StandIn, other: StandIn) -> StandIn:
    """The most that both policies allow."""
    # A patient who pays is refunded later; a card that convinces commits the AMC at once.
    patient_pays = OnUnknown.PATIENT_PAYS in (one.on_unknown, other.on_unknown)
    return StandIn(
        allowed=one.allowed and other.allowed,
        renewal_grace_days=min(one.renewal_grace_days, other.renewal_grace_days),
        closed_trust_days=min(one.closed_trust_days, other.closed_trust_days),
        max_age_days=min(one.max_age_days, other.max_age_days),
        on_unknown=OnUnknown.PATIENT_PAYS if patient_pays else OnUnknown.CHECK_CARD,
        history_days=min(one.history_days, other.history_days),
        guarantee=_tighter_guarantee(one.guarantee, other.guarantee),
    )


def loosened(before: StandIn, after: StandIn) -> tuple[str, ...]:
    """The members in which `after` allows more than `before`; for those that `after` tightens, ask the other way.

    A guarantee on another basis is loosened both ways: nobody can say which of the two promises more.
    """
    both = tighter(before, after)
    return tuple(name for name in StandIn.__struct_fields__ if getattr(after, name) != getattr(both, name))


def member_text(policy: StandIn, member: str) -> str:
    """One member of a policy, for people."""
    value = getattr(policy, member)
    if isinstance(value, Guarantee):
        basis = "".join(letter if letter.isprintable() else "?" for letter in value.basis)
        ceiling = "none" if value.ceiling_cents is None else f"{value.ceiling_cents} cents"
        return f"{basis}, until {value.until or 'open end'}, ceiling {ceiling}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _tighter_guarantee(one: Guarantee | None, other: Guarantee | None) -> Guarantee | None:
    if one is None or other is None or one.basis != other.basis:
        return None
    # None is without end, and without limit.
    ends = [until for until in (one.until, other.until) if until is not None]
    ceilings = [ceiling for ceiling in (one.ceiling_cents, other.ceiling_cents) if ceiling is not None]
    return Guarantee(one.basis, min(ends, default=None), min(ceilings, default=None))
