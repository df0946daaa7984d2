"""Who may sign snapshots, and who may say so: the trust file (docs/trust_format.md). Pure.

Two roles of named people. `snapshot` signs manifests; `root` signs the trust file itself. Distinct *names* count
towards a threshold, so that one person with two keys still counts once, and a stolen key is not a second person.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from service.base64url import sha256_b64u
from service.errors import KeyRejected, SignatureRejected, TrustRefused
from service.jwk import PublicKey, is_private_jwk, parse_public_jwk
from service.jws import unverified_payload, verify_general
from service.strictjson import canonical, parse_strict

TRUST_TYP: Final = "relais-trust+jws"
#: Fifty people with several keys each need a tenth of it; a trust file is parsed before its signatures can be checked.
MAX_TRUST_BYTES: Final = 256 * 1024
#: In production no single person publishes a snapshot or changes who may.
MIN_THRESHOLD: Final = 2
_MAX_VERSION: Final = 2**53 - 1


class RoleName(StrEnum):
    """The roles of a trust file."""

    ROOT = "root"
    SNAPSHOT = "snapshot"


class Signer(msgspec.Struct, frozen=True):
    """One person and the keys they may sign with (several while they rotate)."""

    name: str
    keys: tuple[PublicKey, ...]


class Role(msgspec.Struct, frozen=True):
    """How many of which people it takes."""

    threshold: int
    signers: tuple[Signer, ...]


class Trust(msgspec.Struct, frozen=True):
    """A parsed trust file. `digest` is the SHA-256 of its payload."""

    version: int
    expires_at: dt.datetime
    roles: Mapping[RoleName, Role]
    digest: str

    def threshold(self, role: RoleName) -> int:
        """How many distinct people the role takes."""
        return self.roles[role].threshold

    def names(self, role: RoleName) -> tuple[str, ...]:
        """The people of a role, in the file's order."""
        return tuple(signer.name for signer in self.roles[role].signers)

    def keys(self, role: RoleName) -> dict[str, PublicKey]:
        """The keys of a role by kid."""
        return {key.kid: key for signer in self.roles[role].signers for key in signer.keys}

    def signers_of(self, kids: Collection[str], role: RoleName) -> frozenset[str]:
        """The distinct people of a role among the holders of `kids`."""
        signers = self.roles[role].signers
        return frozenset(signer.name for signer in signers if any(key.kid in kids for key in signer.keys))

    def check_unexpired(self, now: dt.datetime) -> None:
        """Raises `TrustRefused` once the file's end has come: nobody may vouch for ever."""
        if now >= self.expires_at:
            raise TrustRefused(f"the trust file expired on {self.expires_at.isoformat()}: publish its next version")


class _SignerObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    keys: tuple[dict[str, Any], ...]


class _RoleObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    threshold: int
    signers: tuple[_SignerObject, ...]


class _RolesObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    root: _RoleObject
    snapshot: _RoleObject


class _TrustObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, msgspec.Meta(ge=1, le=_MAX_VERSION)]
    expires_at: Annotated[dt.datetime, msgspec.Meta(tz=True)]
    roles: _RolesObject


def encode_trust(version: int, expires_at: dt.datetime, roles: Mapping[RoleName, Role]) -> bytes:
    """The RFC 8785 payload to be signed by the root threshold."""
    return canonical(
        {
            "version": version,
            "expires_at": msgspec.to_builtins(expires_at.astimezone(dt.UTC)),
            "roles": {name.value: _role_members(roles[name]) for name in RoleName},
        }
    )


def parse_trust(payload: bytes, *, demo: bool = False) -> Trust:
    """The trust file in a payload, whoever signed it. Raises `TrustRefused`; thresholds of one only in a demo."""
    try:
        value = parse_strict(payload)
        parsed = msgspec.convert(value, _TrustObject)
    except (ValueError, msgspec.ValidationError) as error:
        raise TrustRefused(f"not a trust file: {error}") from error
    roles = {
        RoleName.ROOT: _parse_role(RoleName.ROOT, parsed.roles.root, demo=demo),
        RoleName.SNAPSHOT: _parse_role(RoleName.SNAPSHOT, parsed.roles.snapshot, demo=demo),
    }
    _check_people(signer for role in roles.values() for signer in role.signers)
    return Trust(parsed.version, parsed.expires_at, roles, sha256_b64u(payload))


def verify_trust(document: bytes, now: dt.datetime, *, demo: bool = False) -> Trust:
    """The trust file a home stands on: signed by its own root threshold and not expired.

    Its authenticity is the operator's who put it there; the self-signature shows that nobody edited it since.
    Raises `TrustRefused` or `SignatureRejected`.
    """
    if len(document) > MAX_TRUST_BYTES:
        raise TrustRefused(f"a trust file is at most {MAX_TRUST_BYTES} bytes")
    trust = parse_trust(unverified_payload(document), demo=demo)
    _check_signed(document, trust, "its own")
    trust.check_unexpired(now)
    return trust


def verify_next_trust(current: Trust, document: bytes, now: dt.datetime, *, demo: bool = False) -> Trust:
    """The version after `current`, signed by the root thresholds of both.

    Raises `TrustRefused` or `SignatureRejected`. The current file may have expired: its people may still hand over.
    """
    if len(document) > MAX_TRUST_BYTES:
        raise TrustRefused(f"a trust file is at most {MAX_TRUST_BYTES} bytes")
    # The old root first: what a stranger wrote is not parsed.
    _check_signed(document, current, "the current version's")
    following = verify_trust(document, now, demo=demo)
    if following.version != current.version + 1:
        raise TrustRefused(f"expected trust version {current.version + 1}, found {following.version}")
    return following


def _check_signed(document: bytes, trust: Trust, whose: str) -> None:
    _, kids = verify_general(document, TRUST_TYP, trust.keys(RoleName.ROOT))
    names, threshold = trust.signers_of(kids, RoleName.ROOT), trust.threshold(RoleName.ROOT)
    if len(names) < threshold:
        raise SignatureRejected(
            f"the trust file needs {threshold} of {whose} root signers, and has {_listed(names)}",
        )


def _parse_role(role: RoleName, parsed: _RoleObject, *, demo: bool) -> Role:
    signers = tuple(_parse_signer(role, signer) for signer in parsed.signers)
    least = 1 if demo else MIN_THRESHOLD
    if not least <= parsed.threshold <= len(signers):
        raise TrustRefused(
            f"the {role} threshold must lie between {least} and its {len(signers)} people, not {parsed.threshold}"
        )
    if len({_folded(signer.name) for signer in signers}) != len(signers):
        raise TrustRefused(f"the {role} role names one person twice")
    return Role(parsed.threshold, signers)


def _parse_signer(role: RoleName, parsed: _SignerObject) -> Signer:
    if parsed.name != parsed.name.strip() or not parsed.name.isprintable():
        raise TrustRefused(f"a name of the {role} role has spaces around it or characters that do not show")
    if not parsed.keys:
        raise TrustRefused(f"a person of the {role} role has no key")
    return Signer(parsed.name, tuple(_parse_key(role, jwk) for jwk in parsed.keys))


def _parse_key(role: RoleName, jwk: Mapping[str, Any]) -> PublicKey:
    if is_private_jwk(jwk):
        raise TrustRefused(f"a key of the {role} role is a private one: publish its public half")
    try:
        key = parse_public_jwk(jwk)
    except KeyRejected as error:
        raise TrustRefused(f"a key of the {role} role is refused: {error.detail}") from error
    if jwk.get("kid", key.kid) != key.kid:
        raise TrustRefused(f"a key of the {role} role has a kid that is not its RFC 7638 thumbprint")
    return key


def _check_people(signers: Iterable[Signer]) -> None:
    """One key belongs to one person, across both roles; else a single key could count as two people."""
    holder: dict[str, str] = {}
    for signer in signers:
        for key in signer.keys:
            if holder.setdefault(key.kid, _folded(signer.name)) != _folded(signer.name):
                raise TrustRefused("one key stands under two names")


def _folded(name: str) -> str:
    # "Zoé" typed on two keyboards, or in capitals, is still one person.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _role_members(role: Role) -> dict[str, Any]:
    signers = [{"name": signer.name, "keys": [_key_members(key) for key in signer.keys]} for signer in role.signers]
    return {"threshold": role.threshold, "signers": signers}


def _key_members(key: PublicKey) -> dict[str, str]:
    return {**key.jwk, "alg": key.alg, "use": "sig", "kid": key.kid}


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
