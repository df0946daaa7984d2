"""What was verified by hashing, so that every worker need not read ten gigabytes again.

A note lies beside the node, never in a snapshot, and says of each data file: under this device, inode, size and times
it had this SHA-256. Whoever opens the file again compares what the system says of it now; any difference, and it is
hashed. A note is sealed (HMAC) under the pepper, which lies outside the home, so that writing a note takes more than
writing to the home's disk. It proves nothing to another machine, and nothing against whoever can change a file and
its times below the file system: docs/trust_format.md.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import msgspec

from service.base64url import b64u
from service.files import write_durable
from service.snapshot.manifest import Digest, Manifest
from service.strictjson import canonical

#: The folder of the notes, in `Home.node`.
NOTES_FOLDER: Final = "verified"
#: A tick of the clock that file times are taken from is at most this long.
SETTLE_SECONDS: Final = 0.02
_LABEL: Final = b"relais-verified-1"
_MAX_NOTE_BYTES: Final = 64 * 1024


class Sighting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it was while it was hashed: where it lies, when it last changed (nanoseconds), its SHA-256."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: Digest

    @classmethod
    def of(cls, state: os.stat_result, sha256: str) -> Self:
        """What the system says of a file, and its digest."""
        return cls(state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns, sha256)

    def is_of(self, state: os.stat_result) -> bool:
        """Whether the file is the same one, unchanged since."""
        return self == Sighting.of(state, self.sha256)


Sightings = Mapping[str, Sighting]


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    files: dict[str, Sighting]
    mac: Digest
    sequence: int


class Notes:
    """`<home>/node/verified`: one note a sequence. A note that is missing, torn or not ours says nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, sequence: int, pepper: bytes) -> Sightings:
        """What was noted of a snapshot's files; nothing where the note does not hold in every byte."""
        try:
            with self._path(sequence).open("rb") as file:
                note = msgspec.json.decode(file.read(_MAX_NOTE_BYTES), type=_Note)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {}
        genuine = hmac.compare_digest(note.mac, _mac(sequence, note.files, pepper))
        return note.files if genuine and note.sequence == sequence else {}

    def write(self, sequence: int, files: Sightings, pepper: bytes) -> None:
        """Note the files of a snapshot. Raises `OSError`."""
        self._make_folder()
        note = {**_content(sequence, files), "mac": _mac(sequence, files, pepper)}
        write_durable(self._path(sequence), canonical(note) + b"\n")

    def forget(self, sequence: int) -> None:
        """Whoever opens this snapshot next hashes it. Raises `OSError`."""
        self._path(sequence).unlink(missing_ok=True)

    def forget_all(self) -> None:
        """Whoever opens any snapshot next hashes it. Raises `OSError`."""
        for path in self._folder.glob("*.json"):
            path.unlink(missing_ok=True)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            return
        # A command that root ran must not keep the servers' user from renewing its notes.
        owner = self._folder.parent.stat()
        with suppress(PermissionError):
            os.chown(self._folder, owner.st_uid, owner.st_gid)

    def _path(self, sequence: int) -> Path:
        return self._folder / f"{sequence}.json"


class Seen:
    """What this process has hashed itself, and what the notes say, if it goes by them."""

    def __init__(self, notes: Notes | None = None) -> None:
        self._notes = notes
        self._own: dict[int, dict[str, Sighting]] = {}

    def files(self, manifest: Manifest, pepper: bytes | None) -> Sightings:
        """What is known of a snapshot's files by their names.

        A note counts where it says what the signers say; what this process hashed counts whatever it found, so that a
        damaged file is not read over and over.
        """
        noted = {} if self._notes is None or pepper is None else self._notes.read(manifest.sequence, pepper)
        signed = {entry.name: entry.sha256 for entry in manifest.files}
        good = {name: sighting for name, sighting in noted.items() if sighting.sha256 == signed.get(name)}
        return {**good, **self._own.get(manifest.sequence, {})}

    def add(self, sequence: int, name: str, sighting: Sighting) -> None:
        """A file was just hashed by this process."""
        self._own.setdefault(sequence, {})[name] = sighting


def settle() -> None:
    """Wait before files are hashed to be noted: a change within the tick of the one before would not show."""
    time.sleep(SETTLE_SECONDS)


def _content(sequence: int, files: Sightings) -> dict[str, object]:
    return {"files": msgspec.to_builtins(dict(files)), "sequence": sequence}


def _mac(sequence: int, files: Sightings, pepper: bytes) -> str:
    key = hmac.digest(pepper, _LABEL, hashlib.sha512)
    return b64u(hmac.digest(key, canonical(_content(sequence, files)), hashlib.sha256))
