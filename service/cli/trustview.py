"""A trust file as people and machines see it: who, how many, until when, and who has signed."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.cli.common import open_home
from service.clock import SystemClock
from service.errors import OperatorError, RelaisError, TrustError
from service.settings import Home, TrustSettings, load_settings
from service.snapshot.succession import Standing, differences, standing
from service.snapshot.trust import Trust, parse_draft, verify_signed
from service.snapshot.trustfile import read_trust
from service.snapshot.truststore import TrustStore


@dataclass(frozen=True, slots=True)
class View:
    """A trust file, signed enough or not, beside the version before it where that is known here."""

    document: bytes
    trust: Trust
    former: Trust | None
    now: dt.datetime
    warning_days: int

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How far the root people of the version before, and of this one, have signed."""
        return tuple(standing(self.document, one) for one in (self.former, self.trust) if one is not None)

    @property
    def complete(self) -> bool | None:
        """Whether no signature is missing; None where the version before is not known here and nothing else is."""
        if not all(one.reached for one in self.standings):
            return False
        return True if self.former is not None or self.trust.version == 1 else None

    @property
    def changes(self) -> tuple[str, ...]:
        """What differs from the version before."""
        return () if self.former is None else differences(self.former, self.trust)

    @property
    def warning(self) -> str | None:
        """What to say of its end while it is near or past."""
        return self.trust.expiry_warning(self.now, self.warning_days)

    def lines(self) -> list[str]:
        """For people: what a signer reads before signing, and reads out by telephone."""
        trust = self.trust
        left = f"{self._days_left} days left" if trust.time_left(self.now) > dt.timedelta(0) else "expired"
        said = [f"trust version {trust.version}, expires {trust.expires_at:%Y-%m-%d} ({left}), digest {trust.digest}"]
        for name, role in trust.roles.items():
            said.append(f"{name}: {role.threshold} of {len(role.signers)}")
            said += [f"  {person.name}: {', '.join(key.kid for key in person.keys)}" for person in role.signers]
        if self.former is not None:
            said.append(f"changes from version {self.former.version}:")
            said += [f"  {change}" for change in self.changes] or ["  none"]
        for one in self.standings:
            names = ", ".join(one.signed) or "none"
            said.append(f"root people of version {one.version}: {len(one.signed)} of {one.threshold} needed: {names}")
        if self.former is None and trust.version > 1:
            said.append(f"root people of version {trust.version - 1}: not known here (--from)")
        return said

    def members(self) -> dict[str, Any]:
        """For machines."""
        trust = self.trust
        return {
            "version": trust.version,
            "expires_at": f"{trust.expires_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
            "days_left": self._days_left,
            "warning": self.warning,
            "digest": trust.digest,
            "roles": {
                name.value: {
                    "threshold": role.threshold,
                    "signers": [{"name": one.name, "keys": [key.kid for key in one.keys]} for one in role.signers],
                }
                for name, role in trust.roles.items()
            },
            "changes": list(self.changes),
            "signed": [
                {"version": one.version, "threshold": one.threshold, "signed": list(one.signed), "reached": one.reached}
                for one in self.standings
            ],
            "complete": self.complete,
        }

    @property
    def _days_left(self) -> int:
        return max(self.trust.time_left(self.now).days, 0)


def view_of(document: bytes, before: Path | None, home: Path) -> View:
    """A trust file beside the version before it: `before`, or else the one in the home where that is the one.

    Raises `TrustRefused` or `SignatureRejected` for what is no trust file, `OperatorError` where `before` is another.
    """
    demo = is_demo(home)
    trust = parse_draft(document, demo=demo)
    former = _former(trust, before, home, demo=demo)
    return View(document, trust, former, SystemClock().now(), warning_days(home))


def is_demo(home: Path) -> bool:
    """Thresholds of one are for a demo home only; without a home the strict rule holds."""
    place = Home(home)
    return place.settings.exists() and load_settings(place, os.environ).instance.demo


def warning_days(home: Path) -> int:
    """From how many days before a trust file's end to warn: the home's setting, or the default without a home."""
    place = Home(home)
    return (load_settings(place, os.environ).trust if place.settings.exists() else TrustSettings()).expiry_warning_days


def _former(trust: Trust, before: Path | None, home: Path, *, demo: bool) -> Trust | None:
    if before is not None:
        former = named(before, read_trust(before), demo=demo)
        if former.version != trust.version - 1:
            raise OperatorError(f"{before} is version {former.version}, not the one before version {trust.version}")
        return former
    if not Home(home).trust.exists():
        return None
    place, _ = open_home(home)
    store = TrustStore.of(place, demo=demo)
    path = store.kept(trust.version - 1)
    try:
        former = verify_signed(read_trust(path), demo=demo) if path.exists() else store.current()
    except RelaisError:
        # What stands in the home is not judged here; the commands that rest on it do.
        return None
    return former if former.version == trust.version - 1 else None


def named(path: Path, document: bytes, *, demo: bool) -> Trust:
    """A trust file signed by its own root threshold, expired or not. Raises `OperatorError` that names the file."""
    try:
        return verify_signed(document, demo=demo)
    except TrustError as error:
        raise OperatorError(f"{path}: {error}") from error
