"""An honest builder and its people, which a test bends in one line: the other side of verification."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.base64url import b64u, sha256_b64u
from service.jwk import PrivateKey, parse_private_jwk, private_jwk
from service.jws import sign_general
from service.rights.model import Contract, OnUnknown, StandIn
from service.snapshot.guard import Floor, floor_of
from service.snapshot.manifest import MANIFEST_TYP, AmcEntry, BaseRef, Counts, FileEntry, Manifest, encode_manifest
from service.snapshot.seal import LayerKey
from service.snapshot.signing import read_draft
from service.snapshot.trust import Person, Role, RoleName, Trust, encode_trust, parse_trust
from service.snapshot.verify import Conditions
from tests.unit.snapshot.layer_maker import People, base_items, delta_items, write_layer

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
AMC = "0775671993"
IDENTITY = "nir|1850575116001|1985-05-12|1"
PEPPER_KID = "pepper-2024"
SALT = bytes(range(16))
DELTA_SALT = bytes(range(16, 32))
POLICY = StandIn(
    allowed=True, renewal_grace_days=60, closed_trust_days=3, max_age_days=30, on_unknown=OnUnknown.CHECK_CARD
)


def key_of(number: int) -> PrivateKey:
    """The same key for the same number, so that a failing test can be repeated."""
    return parse_private_jwk(private_jwk(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)))


ALICE, ALICE_NEW, BOB, CAROL, STRANGER, ROOT_1, ROOT_2 = (key_of(number) for number in range(1, 8))


def trust_roles(threshold: int = 2) -> dict[RoleName, Role]:
    people = (
        Person("alice", (ALICE.public, ALICE_NEW.public)),
        Person("bob", (BOB.public,)),
        Person("carol", (CAROL.public,)),
    )
    roots = (Person("root-1", (ROOT_1.public,)), Person("root-2", (ROOT_2.public,)))
    return {RoleName.ROOT: Role(2, roots), RoleName.SNAPSHOT: Role(threshold, people)}


def trust(expires_at: dt.datetime = NOW + dt.timedelta(days=365)) -> Trust:
    return parse_trust(encode_trust(1, expires_at, trust_roles()))


def contract(**changes: Any) -> Contract:
    values: dict[str, Any] = {
        "amc": AMC,
        "member": "M1",
        "csr": "",
        "convention": "RO",
        "payer_rank": 1,
        "valid_from": dt.date(2023, 1, 1),
        "valid_to": dt.date(2024, 12, 31),
        "card_valid_to": None,
        "closed_on": None,
        "suspended": (),
        "responsible": True,
        "domains": ("PHAR",),
        "rates": {"PH7": 100},
        "rate_base": "TR",
    }
    return Contract(**{**values, **changes})


def amc_entry(**changes: Any) -> AmcEntry:
    values: dict[str, Any] = {
        "amc": AMC,
        "name": "Mutuelle de démonstration",
        "extracted_at": NOW - dt.timedelta(hours=8),
        "people": 10_000,
        "contracts": 10_000,
        "open": 9_000,
        "closed": 900,
        "suspended": 100,
        "stand_in": POLICY,
    }
    return AmcEntry(**{**values, **changes})


class SnapshotMaker:
    """Builds and signs small snapshots under `root`; every member may be changed before `make`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pepper = b"p" * 32
        self.signers = [ALICE, BOB]
        self.typ = MANIFEST_TYP
        self.people = {IDENTITY: (contract(),)}

    def make(self, name: str = "source", **changes: Any) -> Path:
        """A signed folder; `changes` are members of the manifest that lie."""
        directory = self.root / name
        directory.mkdir()
        self._write_layer(directory / "records.lmdb")
        manifest = msgspec.structs.replace(self.manifest(directory / "records.lmdb"), **changes)
        self.sign(directory, manifest)
        return directory

    def make_delta(self, base: Path, people: People, name: str = "delta", /, **changes: Any) -> Path:
        """A signed delta of sequence 6 over a made base; nobody changes in an empty one."""
        directory = self.root / name
        directory.mkdir()
        named = read_draft(base)
        lower = LayerKey(self.pepper, named.manifest.salt_bytes)
        data = directory / "records.lmdb"
        if people:
            key = LayerKey(self.pepper, DELTA_SALT)
            write_layer(data, key, delta_items(key, lower, people))
        members = {
            "kind": "delta",
            "sequence": 6,
            "base": BaseRef(named.manifest.sequence, named.digest),
            "salt": b64u(DELTA_SALT) if people else None,
            "files": self.manifest(data).files if people else (),
            "counts": Counts(entries=len(people), people=1, contracts=1, rejected=0, dropped=0),
        }
        whole = self.manifest(base / "records.lmdb")
        self.sign(directory, msgspec.structs.replace(whole, **{**members, **changes}))
        return directory

    def manifest(self, data: Path) -> Manifest:
        content = data.read_bytes()
        return Manifest(
            format="relais-snapshot/1",
            kind="base",
            sequence=5,
            created_at=NOW - dt.timedelta(hours=1),
            valid_until=NOW + dt.timedelta(days=7),
            base=None,
            salt=b64u(SALT),
            pepper_kid=PEPPER_KID,
            files=(FileEntry("records.lmdb", len(content), b64u(hashlib.sha256(content).digest())),),
            counts=Counts(entries=1, people=1, contracts=1, rejected=0, dropped=0),
            amcs=(amc_entry(),),
        )

    def sign(self, directory: Path, manifest: Manifest) -> None:
        document = sign_general(encode_manifest(manifest), self.typ, self.signers)
        path = directory / "manifest.json"
        path.unlink(missing_ok=True)
        path.write_bytes(document)

    def _write_layer(self, path: Path) -> None:
        key = LayerKey(self.pepper, SALT)
        write_layer(path, key, base_items(key, self.people))


def conditions(**changes: Any) -> Conditions:
    values: dict[str, Any] = {"trust": trust(), "peppers": {PEPPER_KID: b"p" * 32}, "now": NOW}
    return Conditions(**{**values, **changes})


def floor(**changes: Any) -> Floor:
    """A floor that the maker's snapshot passes."""
    values: dict[str, Any] = {"sequence": 4, "digest": sha256_b64u(b"the one before"), "amcs": (amc_entry(),)}
    return Floor(**{**values, **changes})


def floor_left_by(manifest: Manifest) -> Floor:
    return floor_of(manifest, sha256_b64u(encode_manifest(manifest)))
