"""Evil snapshots: a copy of a good signed one in which exactly one thing is bent.

Where an attack supposes that something is correctly signed (a stolen build machine, signers who did not look), the
home's own signers sign what was bent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lmdb

from service.jwk import PrivateKey
from service.keyfiles import KeyUse, load_private, write_new_key
from service.snapshot.seal import LayerKey
from service.snapshot.writer import LayerWriter

SIGNERS: Final = ("signer-1", "signer-2")
MANIFEST_TYP: Final = "relais-snapshot+jws"
MANIFEST: Final = "manifest.json"
RECORDS: Final = "records.lmdb"


@dataclass(frozen=True, slots=True)
class Forge:
    """Bends copies of snapshots; has the keys of a home, and a room outside it to work in."""

    home: Path
    room: Path

    # Copies, and the bytes in them

    def copy(self, good: Path, name: str = "candidate") -> Path:
        """A copy whose files may be written to; whatever had the name before is gone."""
        folder = self.room / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        for path in folder.iterdir():
            path.chmod(0o644)
        return folder

    def put(self, path: Path, data: bytes) -> None:
        """Other bytes under the same name."""
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def flip(self, path: Path, place: int, bit: int = 0) -> None:
        """One bit."""
        data = bytearray(path.read_bytes())
        data[place] ^= 1 << bit
        self.put(path, bytes(data))

    # Manifests

    def payload(self, folder: Path) -> dict[str, Any]:
        """What the manifest says."""
        members: dict[str, Any] = json.loads(decoded(self.document(folder)["payload"]))
        return members

    def document(self, folder: Path) -> dict[str, Any]:
        """The manifest as it lies there, signatures included."""
        document: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        return document

    def digest(self, folder: Path) -> str:
        """The digest that names a snapshot."""
        return sha256(decoded(self.document(folder)["payload"]))

    def sign(
        self, folder: Path, payload: bytes, signers: Iterable[str | PrivateKey] = SIGNERS, typ: str = MANIFEST_TYP
    ) -> Path:
        """These bytes as the manifest, honestly signed."""
        signatures = [self.signature(payload, signer, typ=typ) for signer in signers]
        self.put(folder / MANIFEST, self.general(payload, signatures))
        return folder

    def general(self, payload: bytes, signatures: Iterable[Mapping[str, Any]]) -> bytes:
        """A JWS in General JSON Serialization, whatever its signatures are."""
        return encoded_json({"payload": encoded(payload), "signatures": list(signatures)})

    def signature(self, payload: bytes, signer: str | PrivateKey, **header: Any) -> dict[str, str]:
        """One signature made outside the product, its protected header bent by `header` (None: left out)."""
        key = self.key(signer) if isinstance(signer, str) else signer
        members = {"alg": key.public.alg, "kid": key.kid, "typ": MANIFEST_TYP, **header}
        return _signed(
            payload, encoded_json({name: value for name, value in members.items() if value is not None}), key
        )

    def respelt(self, payload: bytes, signer: str) -> dict[str, str]:
        """A second valid signature of one key: the same header, written with spaces."""
        key = self.key(signer)
        members = {"alg": key.public.alg, "kid": key.kid, "typ": MANIFEST_TYP}
        return _signed(payload, json.dumps(members, indent=1).encode(), key)

    def key(self, name: str) -> PrivateKey:
        """A private key of the home; a name that has none gets a new one, outside it."""
        path = self.home / "keys" / f"{name}.jwk"
        if not path.exists():
            path = self.room / f"{name}.jwk"
        if not path.exists():
            write_new_key(KeyUse.SNAPSHOT, path)
        return load_private(path)

    def rewrite(self, folder: Path, **members: Any) -> Path:
        """Members of the manifest changed, honestly signed."""
        return self.sign(folder, encoded_json({**self.payload(folder), **members}))

    def refit(self, folder: Path, **members: Any) -> Path:
        """The manifest brought up to the data file as it lies there now, and honestly signed."""
        data = (folder / RECORDS).read_bytes()
        files = [{"name": RECORDS, "size": len(data), "sha256": sha256(data)}]
        return self.rewrite(folder, files=files, **members)

    def trust_payload(self) -> bytes:
        """What the home's trust file says."""
        return decoded(json.loads((self.home / "trust.json").read_bytes())["payload"])

    # Records

    def layer_key(self, folder: Path) -> LayerKey:
        """The key of a snapshot's layer under the home's pepper: what a stolen build machine knows."""
        payload = self.payload(folder)
        peppers = json.loads((self.home / "keys" / "pepper.jwk").read_bytes())["keys"]
        pepper = next(one["k"] for one in peppers if one["kid"] == payload["pepper_kid"])
        return LayerKey(decoded(pepper), decoded(payload["salt"]))

    def records(self, folder: Path) -> dict[bytes, bytes]:
        """Sealed values by record key, read by the engine itself."""
        path = str(folder / RECORDS)
        with (
            lmdb.open(path, subdir=False, readonly=True, lock=False, lib_version=0) as environment,
            environment.begin() as transaction,
        ):
            return dict(transaction.cursor())

    def write_records(self, folder: Path, records: Mapping[bytes, bytes]) -> Path:
        """These records as the data file, the manifest brought up to it and honestly signed."""
        (folder / RECORDS).unlink()
        writer = LayerWriter(folder / RECORDS, 1 << 24)
        writer.append(sorted(records.items()))
        writer.finish()
        counts = {**self.payload(folder)["counts"], "entries": len(records) - 1}
        return self.refit(folder, counts=counts)


def _signed(payload: bytes, header: bytes, key: PrivateKey) -> dict[str, str]:
    head = encoded(header)
    signature = key.key.sign(f"{head}.{encoded(payload)}".encode())  # type: ignore[call-arg]
    return {"protected": head, "signature": encoded(signature)}


def encoded(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The bytes behind base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sha256(data: bytes) -> str:
    """SHA-256 in base64url."""
    return encoded(hashlib.sha256(data).digest())


def encoded_json(value: Any) -> bytes:
    """JSON with sorted members, all in ASCII, so that half a character can be written too."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
