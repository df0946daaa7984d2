"""The last steps of whatever makes a snapshot's folder: beside its target until it is whole, then by its name."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service.base64url import b64u
from service.errors import BuildError
from service.files import sync_directory, write_durable
from service.jws import sign_general
from service.rights.model import Amc
from service.snapshot.folder import MANIFEST_FILE
from service.snapshot.manifest import MANIFEST_TYP, MAX_INTEGER, MAX_VALID_DAYS, FileEntry, Manifest, encode_manifest
from service.snapshot.policy import load_policy

DEFAULT_VALID_DAYS: Final = 7
#: In the working folder: what becomes the snapshot, and what is said about its rows.
LAYER_FOLDER: Final = "layer"
REJECTS_FILE: Final = "rejects.ndjson"


def check_target(out: Path, sequence: int, valid_for_days: int) -> None:
    """Whether a snapshot can be made there, under that number, for so long. Raises `BuildError`."""
    if not 1 <= sequence <= MAX_INTEGER:
        raise BuildError("a sequence is a positive integer")
    if not 1 <= valid_for_days <= MAX_VALID_DAYS:
        raise BuildError(f"a snapshot is valid for 1 to {MAX_VALID_DAYS} days")
    if os.path.lexists(out):
        raise BuildError(f"{out} exists: a snapshot is never built over another")
    if not out.absolute().parent.is_dir():
        raise BuildError(f"{out.parent} is no folder: make it first, {out.name} is made in it")


def load_amcs(policy: Path, created_at: dt.datetime) -> dict[str, Amc]:
    """The AMCs of a policy file. Raises `BuildError`, also for an extract later than the snapshot."""
    amcs = load_policy(policy)
    late = [amc.number for amc in amcs.values() if amc.extracted_at > created_at]
    if late:
        raise BuildError(f"the extract of AMC {late[0]} lies in the future")
    return amcs


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, gone at the end. An error of the disk names it if it names nothing."""
    # By chance, not by process: in a container every build may be the same number.
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".build", dir=out.absolute().parent))
    try:
        (work / LAYER_FOLDER).mkdir(mode=0o755)
        yield work
    except OSError as error:
        if error.filename is None:
            error.filename = str(out)
        raise
    except MemoryError as error:
        raise BuildError("the memory does not suffice: build with fewer --jobs") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def file_entry(path: Path) -> FileEntry:
    """How a manifest names a data file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return FileEntry(path.name, path.stat().st_size, b64u(digest))


def put_in_place(work: Path, manifest: Manifest, out: Path) -> Path | None:
    """Write the manifest, unsigned, and give the folder its name; where the rejects are listed, if there are any.

    Rejects first: a snapshot that is there is complete, with what was said about it.
    """
    layer, rejects = work / LAYER_FOLDER, work / REJECTS_FILE
    write_durable(layer / MANIFEST_FILE, sign_general(encode_manifest(manifest), MANIFEST_TYP, []), mode=0o444)
    target = out.with_name(f"{out.name}.rejects.ndjson")
    target.unlink(missing_ok=True)  # of an earlier build by this name
    listed = rejects.exists()
    if listed:
        rejects.rename(target)
    try:
        layer.rename(out)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    sync_directory(out.parent)
    return target if listed else None
