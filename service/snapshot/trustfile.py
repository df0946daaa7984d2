"""Trust files on disk: made, signed and merged by their root people, read at every start. An adapter around trust."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from service.errors import TrustError, TrustRefused
from service.jwk import PublicKey
from service.jws import sign_general
from service.signer import Signer
from service.snapshot.trust import (
    MAX_TRUST_BYTES,
    TRUST_TYP,
    Person,
    Role,
    RoleName,
    Trust,
    encode_trust,
    parse_draft,
    verify_trust,
)

#: Ten years: beyond it nobody remembers who the people were.
MAX_TRUST_DAYS: Final = 3650


def read_trust(path: Path) -> bytes:
    """The bytes of a trust file. Raises `TrustRefused` where it is missing or too large."""
    try:
        with path.open("rb") as file:
            document = file.read(MAX_TRUST_BYTES + 1)
    except FileNotFoundError as error:
        raise TrustRefused(f"{path} is missing: relais trust new says who may sign") from error
    if len(document) > MAX_TRUST_BYTES:
        raise TrustRefused(f"{path}: a trust file is at most {MAX_TRUST_BYTES} bytes")
    return document


def load_trust(path: Path, now: dt.datetime, *, demo: bool = False) -> Trust:
    """The verified trust file of a home. Raises `TrustRefused` naming it; nothing is trusted without."""
    document = read_trust(path)
    try:
        return verify_trust(document, now, demo=demo)
    except TrustError as error:
        raise TrustRefused(f"{path}: {error.detail}") from error


def role_of(people: Iterable[tuple[str, PublicKey]], threshold: int) -> Role:
    """A role from names and keys; a name given twice is one person with two keys."""
    keys: dict[str, list[PublicKey]] = {}
    for name, key in people:
        keys.setdefault(name, []).append(key)
    return Role(threshold, tuple(Person(name, tuple(held)) for name, held in keys.items()))


def draft_trust(
    roles: Mapping[RoleName, Role],
    signers: Sequence[Signer],
    now: dt.datetime,
    *,
    expires_days: int,
    version: int = 1,
    demo: bool = False,
) -> bytes:
    """A trust file that keeps every rule of its content, signed by whoever is at hand. Raises `TrustRefused`."""
    if not 1 <= expires_days <= MAX_TRUST_DAYS:
        raise TrustRefused(f"a trust file lives between 1 and {MAX_TRUST_DAYS} days")
    expires_at = (now + dt.timedelta(days=expires_days)).replace(microsecond=0)
    document = sign_general(encode_trust(version, expires_at, roles), TRUST_TYP, signers)
    parse_draft(document, demo=demo)
    return document


def new_trust(
    roles: Mapping[RoleName, Role],
    signers: Sequence[Signer],
    now: dt.datetime,
    *,
    expires_days: int,
    demo: bool = False,
) -> bytes:
    """A first trust file that verifies by itself. Raises `TrustRefused` or `SignatureRejected` before it exists."""
    document = draft_trust(roles, signers, now, expires_days=expires_days, demo=demo)
    verify_trust(document, now, demo=demo)
    return document
