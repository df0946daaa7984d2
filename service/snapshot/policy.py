"""The policy file: the AMCs of a build, when each extracted its rows and what each allows while we stand in."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from service.errors import BuildError, InvalidField
from service.identifiers import parse_amc
from service.paris import paris_date
from service.rights.model import Amc, Guarantee, OnUnknown, StandIn

Days = Annotated[int, msgspec.Meta(ge=0, le=3660)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the policy file; a key we do not know may be a rule we would not keep, so it is refused."""


class _Guarantee(_Table, frozen=True, forbid_unknown_fields=True):
    basis: Text
    until: dt.date | None = None
    ceiling_cents: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None


class _StandIn(_Table, frozen=True, forbid_unknown_fields=True):
    allowed: bool
    renewal_grace_days: Days
    closed_trust_days: Days
    max_age_days: Days
    on_unknown: OnUnknown
    history_days: Days = 0
    guarantee: _Guarantee | None = None


class _AmcTable(_Table, frozen=True, forbid_unknown_fields=True):
    number: str
    name: Text
    extracted_at: dt.datetime
    stand_in: _StandIn


class _Policy(_Table, frozen=True, forbid_unknown_fields=True):
    amc: Annotated[tuple[_AmcTable, ...], msgspec.Meta(min_length=1)]


def load_policy(path: Path) -> dict[str, Amc]:
    """The AMCs of a policy file by 10-digit number, sorted. Raises `BuildError` naming the key at fault."""
    try:
        return parse_policy(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BuildError(f"the policy file {path} does not exist") from error
    except UnicodeDecodeError as error:
        raise BuildError("the policy file is not UTF-8") from error


def parse_policy(text: str) -> dict[str, Amc]:
    """The AMCs of a policy text by 10-digit number, sorted. Raises `BuildError` naming the key at fault."""
    try:
        document = tomllib.loads(text)
        for table in document.get("amc", ()):
            _check_instant(table)
        # strict, and only dates may stand for dates: a quoted one would hide a missing offset
        policy = msgspec.convert(document, _Policy, builtin_types=(dt.datetime, dt.date))
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"the policy file is not TOML: {error}") from error
    except (msgspec.ValidationError, TypeError) as error:
        raise BuildError(f"the policy file: {error}") from error
    amcs = [_amc(table) for table in policy.amc]
    if len({amc.number for amc in amcs}) != len(amcs):
        raise BuildError("the policy file names an AMC twice")
    return {amc.number: amc for amc in sorted(amcs, key=lambda amc: amc.number)}


def _check_instant(table: Any) -> None:
    """An extract has an instant, not a wall-clock time: in October, 02:30 happens twice."""
    extracted_at = table.get("extracted_at") if isinstance(table, dict) else None
    if not isinstance(extracted_at, dt.datetime) or extracted_at.tzinfo is None:
        raise BuildError("the policy file: extracted_at must be a date-time with its offset, 2024-01-28T22:00:00+01:00")


def _amc(table: _AmcTable) -> Amc:
    try:
        number = parse_amc(table.number)
    except InvalidField as error:
        raise BuildError("the policy file: the number of an AMC is a text of 8 to 10 digits") from error
    if not table.name.isprintable():
        raise BuildError(f"the policy file: the name of AMC {number} is not printable text")
    if table.stand_in.guarantee is not None and not table.stand_in.guarantee.basis.isprintable():
        raise BuildError(f"the policy file: the guarantee of AMC {number} is not printable text")
    extracted_at = table.extracted_at.astimezone(dt.UTC).replace(microsecond=0)
    return Amc(
        number=number,
        name=table.name,
        extracted_at=extracted_at,
        extract_date=paris_date(extracted_at),
        stand_in=_stand_in(table.stand_in),
    )


def _stand_in(table: _StandIn) -> StandIn:
    granted = table.guarantee
    return StandIn(
        allowed=table.allowed,
        renewal_grace_days=table.renewal_grace_days,
        closed_trust_days=table.closed_trust_days,
        max_age_days=table.max_age_days,
        on_unknown=table.on_unknown,
        history_days=table.history_days,
        guarantee=Guarantee(granted.basis, granted.until, granted.ceiling_cents) if granted else None,
    )
