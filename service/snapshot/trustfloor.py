"""The version a home's trust file may not fall below: an old file put back would bring revoked signers back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from service.errors import TrustRefused
from service.files import write_durable
from service.snapshot.trust import Trust
from service.strictjson import canonical

#: Its name among what a node remembers (`<home>/node`).
TRUST_FLOOR_FILE: Final = "trust-floor.json"


class TrustFloor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version installed last, and the digest of its payload."""

    version: int
    digest: str

    def check(self, trust: Trust) -> Trust:
        """The file itself. Raises `TrustRefused` for a lower version, or for another file of the same one."""
        if trust.version < self.version:
            raise TrustRefused(
                f"expected trust version {self.version} or above, as installed here; found {trust.version}: a rollback"
            )
        if trust.version == self.version and trust.digest != self.digest:
            raise TrustRefused(f"expected trust version {self.version} of digest {self.digest}; found {trust.digest}")
        return trust


def load_trust_floor(path: Path) -> TrustFloor | None:
    """The floor at `path`; None where no next version was ever installed.

    One that is there but cannot be read raises `TrustRefused`: to forget it would allow a rollback.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrustFloor)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrustRefused(
            f"{path} cannot be read: restore it, or remove it once you know that trust.json is the latest version"
        ) from error


def raise_trust_floor(path: Path, trust: Trust) -> None:
    """Remember an installed version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durable(path, canonical({"version": trust.version, "digest": trust.digest}))
