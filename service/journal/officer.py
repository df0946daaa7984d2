"""The officer's side: opening what servers sealed. Runs offline, where the officer's private key is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.base64url import b64u, b64u_decode
from service.errors import JournalDamaged, KeyRejected, SignatureRejected
from service.journal.entries import Entry
from service.journal.keys import KEY_FORMAT, SUITE, SegmentKeys, derive, nonce, parse_officer_jwk
from service.journal.merkle import leaf_hash
from service.journal.segment import key_path, peek_header
from service.strictjson import canonical, parse_json_object


@dataclass(frozen=True, slots=True)
class OfficerPrivateKey:
    """An officer's private key. `repr` never shows the secret."""

    kid: str
    key: X25519PrivateKey

    def __repr__(self) -> str:
        return f"OfficerPrivateKey(kid={self.kid!r})"


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry and what was sealed in it: answer, opening and query; None for a fictitious NIR."""

    entry: Entry
    content: Mapping[str, Any] | None


def parse_officer_private_jwk(jwk: Mapping[str, Any]) -> OfficerPrivateKey:
    """The private key in a JWK. Raises `KeyRejected`."""
    public, secret = parse_officer_jwk(jwk), jwk.get("d")
    if not isinstance(secret, str):
        raise KeyRejected("the private part of the officer's key is missing")
    try:
        key = X25519PrivateKey.from_private_bytes(b64u_decode(secret))
    except (SignatureRejected, ValueError) as error:
        raise KeyRejected("the private part of the officer's key is not valid") from error
    if key.public_key() != public.key:
        raise KeyRejected("the private part does not belong to the public part")
    return OfficerPrivateKey(kid=public.kid, key=key)


def unwrap(key_file: bytes, journal: str, officer: OfficerPrivateKey) -> bytes:
    """The data key of a segment. Raises `KeyRejected` if it was not wrapped to this officer or does not open."""
    document = parse_json_object(key_file)
    if document.get("format") != KEY_FORMAT or document.get("journal") != journal:
        raise KeyRejected("not the key file of this segment")
    for item in document.get("keys", []):
        if item.get("kid") == officer.kid:
            try:
                return SUITE.decrypt(b64u_decode(item["sealed"]), officer.key, info=journal.encode("ascii"))
            except InvalidTag as error:
                raise KeyRejected("the data key does not open") from error
    raise KeyRejected("the segment was not sealed to this officer")


def open_entry(entry: Entry, seal: AESGCM, journal: str) -> Opened:
    """An entry with its content. Raises `JournalDamaged` if the seal does not open."""
    if entry.sealed is None:
        return Opened(entry=entry, content=None)
    try:
        plain = seal.decrypt(nonce(entry.n), b64u_decode(entry.sealed), journal.encode("ascii"))
    except (InvalidTag, SignatureRejected) as error:
        raise JournalDamaged(f"segment {journal}: entry {entry.n} does not open") from error
    return Opened(entry=entry, content=orjson.loads(plain))


def segment_keys(path: Path, officer: OfficerPrivateKey) -> SegmentKeys:
    """The keys of a segment. Raises `KeyRejected` if they do not open, `JournalDamaged` without a header, OSError."""
    header = peek_header(path)
    if header is None:
        raise JournalDamaged(f"segment {path.stem} does not begin with its header")
    return derive(unwrap(key_path(path).read_bytes(), header.journal, officer))


def contradictions(opened: Opened) -> tuple[str, ...]:
    """Fields of an entry that do not follow from what is sealed in it.

    Within a batch the hashes tell that a line was changed, not which one. The sealed content tells that too,
    to whoever can open it.
    """
    if opened.content is None:
        return ()
    answer, entry = opened.content["answer"], opened.entry
    told = {
        "client": entry.client == answer["for"]["client"],
        "finess": entry.finess == answer["for"]["finess"],
        "leaf": entry.leaf == b64u(leaf_hash(canonical(answer))),
        "reasons": list(entry.reasons) == list(answer["reasons"]),
        "status": entry.status == answer["status"],
    }
    return tuple(name for name, holds in told.items() if not holds)
