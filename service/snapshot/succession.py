"""From one version of the trust file to the next: who goes, who comes, what differs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from service.errors import TrustRefused
from service.jwk import PublicKey
from service.snapshot.trust import Person, Role, RoleName, Trust, folded, root_signers

_DAY: Final = "%Y-%m-%d"


def without_person(role: Role, name: str) -> Role:
    """The role without a person. Raises `TrustRefused` where nobody of it has that name."""
    leaving = _person(role, name)
    return replace(role, signers=tuple(person for person in role.signers if person is not leaving))


def without_key(role: Role, name: str, kid: str) -> Role:
    """The role after one key of a person is revoked; perhaps they have none left, until one is added.

    Raises `TrustRefused` where nobody of it has that name, or they do not have that key.
    """
    person = _person(role, name)
    kept = tuple(key for key in person.keys if key.kid != kid)
    if len(kept) == len(person.keys):
        raise TrustRefused(f"{person.name} has no key {kid}")
    return _exchanged(role, person, Person(person.name, kept))


def with_key(role: Role, name: str, key: PublicKey) -> Role:
    """The role with a new person, or with a further key of one who is there. Raises `TrustRefused` for a key they have.

    A name in other capitals is the same person.
    """
    person = _find(role, name)
    if person is None:
        return replace(role, signers=(*role.signers, Person(name, (key,))))
    if any(held.kid == key.kid for held in person.keys):
        raise TrustRefused(f"{person.name} has key {key.kid} already")
    return _exchanged(role, person, Person(person.name, (*person.keys, key)))


def differences(former: Trust, following: Trust) -> tuple[str, ...]:
    """What the next version changes, one line each: what its signers agree to."""
    return tuple(_differences(former, following))


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a document is signed by the root people of one version. `signed` names them."""

    version: int
    threshold: int
    signed: tuple[str, ...]

    @property
    def reached(self) -> bool:
        """Whether that is enough of them."""
        return len(self.signed) >= self.threshold


def standing(document: bytes, trust: Trust) -> Standing:
    """How far the root people of `trust` have signed a document. Raises as `root_signers`."""
    return Standing(trust.version, trust.threshold(RoleName.ROOT), tuple(sorted(root_signers(document, trust))))


def _differences(former: Trust, following: Trust) -> Iterator[str]:
    for role in RoleName:
        before, after = former.threshold(role), following.threshold(role)
        if before != after:
            yield f"{role} threshold {before} -> {after}"
        held, holds = _held(former, role), _held(following, role)
        yield from (f"- {role} {name} {kid}" for name, kid in held if (name, kid) not in holds)
        yield from (f"+ {role} {name} {kid}" for name, kid in holds if (name, kid) not in held)
    ends = [f"{trust.expires_at:{_DAY}}" for trust in (former, following)]
    if ends[0] != ends[1]:
        yield f"expires {ends[0]} -> {ends[1]}"


def _held(trust: Trust, role: RoleName) -> list[tuple[str, str]]:
    return [(person.name, key.kid) for person in trust.roles[role].signers for key in person.keys]


def _find(role: Role, name: str) -> Person | None:
    return next((person for person in role.signers if folded(person.name) == folded(name)), None)


def _person(role: Role, name: str) -> Person:
    person = _find(role, name)
    if person is None:
        raise TrustRefused(f"nobody of the role is called {name}: it has {', '.join(one.name for one in role.signers)}")
    return person


def _exchanged(role: Role, former: Person, following: Person) -> Role:
    return replace(role, signers=tuple(following if person is former else person for person in role.signers))
