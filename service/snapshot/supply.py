"""How a node's supply of snapshots stands: one time a stage, what went wrong last, and what will soon (docs/http.md).

Pure. Looked at, changed, activated are three things: a bucket that answers with yesterday's snapshot was looked at, and
nothing changed. A warning comes while there is still time to act on it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import takewhile
from typing import Any, Final

import msgspec

#: How many AMCs a warning names; the status lists them all.
_NAMED: Final = 3


class Code(StrEnum):
    """What a warning is about."""

    SNAPSHOT_EXPIRED = "snapshot_expired"
    SNAPSHOT_EXPIRING = "snapshot_expiring"
    FREEZE = "freeze"
    EXTRACT_AGING = "extract_aging"
    TRUST_EXPIRED = "trust_expired"
    TRUST_EXPIRING = "trust_expiring"
    TRUST_REFUSED = "trust_refused"
    LOAD_REFUSED = "load_refused"


class Trouble(msgspec.Struct, frozen=True):
    """A look that failed: when, at which step of verification or by which error's code, and in which words."""

    at: dt.datetime
    step: str
    text: str


class Look(msgspec.Struct, frozen=True):
    """The latest time a load or a sync looked for news, when that last brought some, and what went wrong."""

    at: dt.datetime
    changed_at: dt.datetime | None
    trouble: Trouble | None


class Extract(msgspec.Struct, frozen=True):
    """The extract of an AMC, and from when its policy does not let us answer from it (row 3 of the decision)."""

    amc: str
    extracted_at: dt.datetime
    too_old_at: dt.datetime


class Served(msgspec.Struct, frozen=True):
    """What of the snapshot that serves matters here; `extracts` with the first to end first."""

    signed_at: dt.datetime
    valid_until: dt.datetime
    extracts: tuple[Extract, ...]


class TrustState(msgspec.Struct, frozen=True):
    """When the trust file ends; None where it cannot be relied on."""

    expires_at: dt.datetime | None


class Facts(msgspec.Struct, frozen=True):
    """What a node knows; None where it does not."""

    activated_at: dt.datetime | None = None
    served: Served | None = None
    looks: tuple[Look, ...] = ()
    trust: TrustState | None = None


class Limits(msgspec.Struct, frozen=True):
    """How long before an end to warn, and how long after the last news (`stale`; zero: never)."""

    expiry: dt.timedelta
    stale: dt.timedelta
    trust: dt.timedelta


class Warned(msgspec.Struct, frozen=True):
    """A warning: its code, and what is known. Public, so it names no person and no place on the machine."""

    code: Code
    detail: str


class Supply(msgspec.Struct, frozen=True):
    """The status: when it was looked for news, when some came, when what serves was chosen, and what is wrong."""

    checked: dt.datetime | None
    changed: dt.datetime | None
    activated: dt.datetime | None
    last_error: Trouble | None
    expires: dt.datetime | None
    time_left_seconds: int | None
    warnings: tuple[Warned, ...]


def served_extracts(extracts: Iterable[tuple[str, dt.datetime, int]]) -> tuple[Extract, ...]:
    """Extracts by AMC number, instant, and the whole days its policy allows: with the first to end first.

    Sorted once, because every heartbeat asks which are near their end.
    """
    made = (Extract(amc, at, at + dt.timedelta(days=days + 1)) for amc, at, days in extracts)
    return tuple(sorted(made, key=lambda one: (one.too_old_at, one.amc)))


def supply_of(facts: Facts, limits: Limits, now: dt.datetime) -> Supply:
    """The status that facts make at an instant."""
    served = facts.served
    changes = [look.changed_at for look in facts.looks if look.changed_at is not None]
    trouble = _last_trouble(facts.looks)
    return Supply(
        checked=max((look.at for look in facts.looks), default=None),
        changed=max(changes, default=facts.activated_at),
        activated=facts.activated_at,
        last_error=trouble,
        expires=None if served is None else served.valid_until,
        time_left_seconds=None if served is None else max(0, (served.valid_until - now) // dt.timedelta(seconds=1)),
        warnings=tuple(
            Warned(code, detail)
            for found in (_of_what_serves(served, limits, now), _of_trust(facts.trust, limits, now), _of_looks(trouble))
            for code, detail in found
        ),
    )


def public_members(supply: Supply) -> dict[str, Any]:
    """The status for anybody: the words of an error stay inside, for they name signers and counts."""
    trouble = supply.last_error
    return {
        "checked": _text(supply.checked),
        "changed": _text(supply.changed),
        "activated": _text(supply.activated),
        "last_error": None if trouble is None else {"at": _text(trouble.at), "step": trouble.step},
        "expires": _text(supply.expires),
        "time_left_seconds": supply.time_left_seconds,
        "warnings": [{"code": one.code.value, "detail": one.detail} for one in supply.warnings],
    }


def members(supply: Supply) -> dict[str, Any]:
    """The status for those who operate, the words of the last error included."""
    public = public_members(supply)
    if supply.last_error is not None:
        public["last_error"]["text"] = supply.last_error.text
    return public


def _last_trouble(looks: tuple[Look, ...]) -> Trouble | None:
    """The latest failure that no later success cleared."""
    cleared = max((look.at for look in looks if look.trouble is None), default=None)
    troubles = [look.trouble for look in looks if look.trouble is not None]
    latest = max(troubles, key=lambda trouble: trouble.at, default=None)
    return None if latest is None or (cleared is not None and cleared > latest.at) else latest


def _of_what_serves(served: Served | None, limits: Limits, now: dt.datetime) -> Iterator[tuple[Code, str]]:
    if served is None:
        return
    if now >= served.valid_until:
        # Nothing is answered from it any more: how old it is besides does not matter.
        yield Code.SNAPSHOT_EXPIRED, f"since {_text(served.valid_until)}"
        return
    if served.valid_until - now <= limits.expiry:
        yield Code.SNAPSHOT_EXPIRING, f"at {_text(served.valid_until)}"
    if limits.stale and now - served.signed_at > limits.stale:
        yield Code.FREEZE, f"nothing newer serves than what was made at {_text(served.signed_at)}"
    aged = _aging(served.extracts, limits, now)
    if aged:
        more = f" and {len(aged) - _NAMED} more" if len(aged) > _NAMED else ""
        named = ", ".join(f"AMC {one.amc} from {_text(one.too_old_at)}" for one in aged[:_NAMED])
        yield Code.EXTRACT_AGING, f"too old for answers: {named}{more}"


def _aging(extracts: Iterable[Extract], limits: Limits, now: dt.datetime) -> list[Extract]:
    """Those whose end is near: as near as for a snapshot, and in its last quarter, for a policy may allow one day."""
    near = takewhile(lambda one: one.too_old_at - now <= limits.expiry, extracts)
    return [one for one in near if one.too_old_at - now <= (one.too_old_at - one.extracted_at) / 4]


def _of_trust(trust: TrustState | None, limits: Limits, now: dt.datetime) -> Iterator[tuple[Code, str]]:
    if trust is None:
        return
    if trust.expires_at is None:
        yield Code.TRUST_REFUSED, "the trust file is missing or does not hold"
    elif now >= trust.expires_at:
        yield Code.TRUST_EXPIRED, f"since {_text(trust.expires_at)}"
    elif trust.expires_at - now <= limits.trust:
        yield Code.TRUST_EXPIRING, f"at {_text(trust.expires_at)}"


def _of_looks(trouble: Trouble | None) -> Iterator[tuple[Code, str]]:
    if trouble is not None:
        yield Code.LOAD_REFUSED, f"{trouble.step}, at {_text(trouble.at)}"


def _text(instant: dt.datetime | None) -> str | None:
    return None if instant is None else f"{instant.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
