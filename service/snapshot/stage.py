"""The copy of a snapshot into the home, which alone is verified and served: the source may change at any time."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from service.files import sync_directory
from service.snapshot.folder import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    Folder,
    Progress,
    check_size,
    parts,
    quiet,
)
from service.snapshot.manifest import Manifest
from service.snapshot.verify import Examination, check_names, check_sizes

#: Never a sequence, so that nothing takes a copy under way for a snapshot.
STAGING_PREFIX: Final = ".staging-"
_FILE_MODE: Final = 0o444
_FOLDER_MODE: Final = 0o755


def stage(source: Path, root: Path, examination: Examination, progress: Progress = quiet) -> Path:
    """A durable copy of `source` in a fresh folder under `root`, not yet verified.

    The manifest is copied first and taken through steps 1 to 6; then exactly the bytes it vouches for are copied, so
    that an endless or foreign file costs nothing. Raises `SnapshotRefused`, or `OSError` where there is no room or no
    right, and leaves nothing behind.
    """
    root.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=root))
    try:
        with Folder(source) as folder:
            sizes = check_sizes(folder)
            document = folder.read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
            manifest = examination.read_manifest(document)
            check_names(manifest, sizes)
            _write_manifest(directory, document)
            _copy_files(folder, manifest, directory, progress)
        directory.chmod(_FOLDER_MODE)
        sync_directory(directory)
    except BaseException:
        remove(directory)
        raise
    return directory


def remove(directory: Path) -> None:
    """Take away a folder, or what is there instead. A process that still maps its files keeps them until it lets go."""
    if directory.is_symlink() or directory.is_file():
        directory.unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)


def _write_manifest(directory: Path, document: bytes) -> None:
    with _created(directory / MANIFEST_FILE) as file:
        file.write(document)
        os.fsync(file.fileno())


def _copy_files(folder: Folder, manifest: Manifest, directory: Path, progress: Progress) -> None:
    for entry in manifest.files:
        with folder.open(entry.name) as source, _created(directory / entry.name) as target:
            check_size(entry.name, entry.size, os.fstat(source.fileno()).st_size)
            done = 0
            for part in parts(entry.name, source, entry.size):
                _write_all(target.fileno(), part)
                done += len(part)
                progress(done, entry.size)
            # An fsync that fails is not tried again: the kernel may have dropped the pages it could not write.
            os.fsync(target.fileno())


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _created(path: Path) -> io.FileIO:
    return io.FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE), "w")
