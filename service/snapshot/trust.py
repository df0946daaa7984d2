"""Who may sign snapshots, and who may say so: the trust file (docs/trust_format.md). Pure.

Two roles of named people. `snapshot` signs manifests; `root` signs the trust file itself. Distinct *names* count
towards a threshold, so that one person with two keys still counts once, and a stolen key is not a second person.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
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
_TWO_DAYS: Final = dt.timedelta(days=2)


class RoleName(StrEnum):
    """The roles of a trust file."""

    ROOT = "root"
    SNAPSHOT = "snapshot"


class Person(msgspec.Struct, frozen=True):
    """One person and the keys they may sign with (several while they rotate)."""

    name: str
    keys: tuple[PublicKey, ...]


class Role(msgspec.Struct, frozen=True):
    """How many of which people it takes."""

    threshold: int
    signers: tuple[Person, ...]


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
        return tuple(person.name for person in self.roles[role].signers)

    def keys(self, role: RoleName) -> dict[str, PublicKey]:
        """The keys of a role by kid."""
        return {key.kid: key for person in self.roles[role].signers for key in person.keys}

    def signers_of(self, kids: Collection[str], role: RoleName) -> frozenset[str]:
        """The distinct people of a role among the holders of `kids`."""
        people = self.roles[role].signers
        return frozenset(person.name for person in people if any(key.kid in kids for key in person.keys))

    def check_unexpired(self, now: dt.datetime) -> None:
        """Raises `TrustRefused` once the file's end has come: nobody may vouch for ever."""
        if now >= self.expires_at:
            raise TrustRefused(f"the trust file expired on {_day(self.expires_at)}: publish its next version")

    def time_left(self, now: dt.datetime) -> dt.timedelta:
        """How long the file still vouches for anything; zero or less once it has expired."""
        return self.expires_at - now

    def expiry_warning(self, now: dt.datetime, within_days: int) -> str | None:
        """What to tell operators while the end is at most `within_days` away, or past; else None.

        Told before it happens, because a next version takes several people who must be found.
        """
        left = self.time_left(now)
        if left > dt.timedelta(days=within_days):
            return None
        what = f"the trust file, version {self.version},"
        if left <= dt.timedelta(0):
            return f"{what} expired on {_day(self.expires_at)}: nothing loads and no restarted server opens a snapshot"
        when = f"{left.days} days" if left >= _TWO_DAYS else f"{left // dt.timedelta(hours=1)} hours"
        return f"{what} expires in {when}, on {_day(self.expires_at)}: its root people must sign the next one before"


class _PersonObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    keys: tuple[dict[str, Any], ...]


class _RoleObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    threshold: int
    signers: tuple[_PersonObject, ...]


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
    _check_people(person for role in roles.values() for person in role.signers)
    return Trust(parsed.version, parsed.expires_at, roles, sha256_b64u(payload))


def parse_draft(document: bytes, *, demo: bool = False) -> Trust:
    """What a trust file says, signed or not: *nobody's word yet*. For people to look at and sign.

    Raises `TrustRefused` or `SignatureRejected`.
    """
    if len(document) > MAX_TRUST_BYTES:
        raise TrustRefused(f"a trust file is at most {MAX_TRUST_BYTES} bytes")
    return parse_trust(unverified_payload(document), demo=demo)


def root_signers(document: bytes, trust: Trust) -> frozenset[str]:
    """Who of a version's root people signed a document, that version's own or its successor's.

    Raises `SignatureRejected` where a signature by a key of theirs does not hold.
    """
    _, kids = verify_general(document, TRUST_TYP, trust.keys(RoleName.ROOT))
    return trust.signers_of(kids, RoleName.ROOT)


def verify_signed(document: bytes, *, demo: bool = False) -> Trust:
    """A trust file signed by its own root threshold, expired or not: what a next version may follow.

    Raises `TrustRefused` or `SignatureRejected`.
    """
    trust = parse_draft(document, demo=demo)
    _check_signed(document, trust, "its own")
    return trust


def verify_trust(document: bytes, now: dt.datetime, *, demo: bool = False) -> Trust:
    """The trust file a home stands on: signed by its own root threshold and not expired.

    Its authenticity is the operator's who put it there; the self-signature shows that nobody edited it since.
    Raises `TrustRefused` or `SignatureRejected`.
    """
    trust = verify_signed(document, demo=demo)
    trust.check_unexpired(now)
    return trust


def verify_next_trust(current: Trust, document: bytes, now: dt.datetime, *, demo: bool = False) -> Trust:
    """The version after `current`, signed by the root thresholds of both, and not expired.

    Raises `TrustRefused` or `SignatureRejected`. The current file may have expired: its people may still hand over.
    """
    return verify_succession(current, [document], now, demo=demo)[-1]


def verify_succession(
    current: Trust, documents: Sequence[bytes], now: dt.datetime, *, demo: bool = False
) -> tuple[Trust, ...]:
    """The versions after `current`, each following the one before; only the last must not have expired.

    A node that slept through a version takes the next along with it, as a TUF client does (TUF specification, §5.3).
    Raises `TrustRefused` or `SignatureRejected`.
    """
    versions: list[Trust] = []
    for document in documents:
        versions.append(verify_successor(versions[-1] if versions else current, document, demo=demo))
    versions[-1].check_unexpired(now)
    return tuple(versions)


def verify_successor(current: Trust, document: bytes, *, demo: bool = False) -> Trust:
    """The version after `current`, signed by the root thresholds of both, expired or not.

    Raises `TrustRefused` or `SignatureRejected`.
    """
    if len(document) > MAX_TRUST_BYTES:
        raise TrustRefused(f"a trust file is at most {MAX_TRUST_BYTES} bytes")
    # The old root first: what a stranger wrote is not parsed.
    _check_signed(document, current, f"version {current.version}'s")
    following = verify_signed(document, demo=demo)
    if following.version != current.version + 1:
        raise TrustRefused(f"expected trust version {current.version + 1}, found {following.version}")
    return following


def folded(name: str) -> str:
    """What two spellings of one person's name have in common: "Zoé" typed on two keyboards, or in capitals."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _check_signed(document: bytes, trust: Trust, whose: str) -> None:
    names, threshold = root_signers(document, trust), trust.threshold(RoleName.ROOT)
    if len(names) < threshold:
        raise SignatureRejected(
            f"the trust file needs {threshold} of {whose} root signers, and has {_listed(names)}",
        )


def _parse_role(role: RoleName, parsed: _RoleObject, *, demo: bool) -> Role:
    people = tuple(_parse_person(role, person) for person in parsed.signers)
    least = 1 if demo else MIN_THRESHOLD
    if not least <= parsed.threshold <= len(people):
        raise TrustRefused(
            f"the {role} threshold must lie between {least} and its {len(people)} people, not {parsed.threshold}"
        )
    if len({folded(person.name) for person in people}) != len(people):
        raise TrustRefused(f"the {role} role names one person twice")
    return Role(parsed.threshold, people)


def _parse_person(role: RoleName, parsed: _PersonObject) -> Person:
    if parsed.name != parsed.name.strip() or not parsed.name.isprintable():
        raise TrustRefused(f"a name of the {role} role has spaces around it or characters that do not show")
    if not parsed.keys:
        raise TrustRefused(f"{parsed.name} of the {role} role has no key")
    return Person(parsed.name, tuple(_parse_key(role, jwk) for jwk in parsed.keys))


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


def _check_people(people: Iterable[Person]) -> None:
    """One key belongs to one person, across both roles; else a single key could count as two people."""
    holder: dict[str, str] = {}
    for person in people:
        for key in person.keys:
            if holder.setdefault(key.kid, folded(person.name)) != folded(person.name):
                raise TrustRefused("one key stands under two names")


def _role_members(role: Role) -> dict[str, Any]:
    people = [{"name": person.name, "keys": [_key_members(key) for key in person.keys]} for person in role.signers]
    return {"threshold": role.threshold, "signers": people}


def _key_members(key: PublicKey) -> dict[str, str]:
    return {**key.jwk, "alg": key.alg, "use": "sig", "kid": key.kid}


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _day(instant: dt.datetime) -> str:
    return f"{instant.astimezone(dt.UTC):%Y-%m-%d}"
