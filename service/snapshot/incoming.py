"""`<home>/incoming`: downloads under way, which a cut, a kill or the next run resumes, and what must go from there."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from service.errors import SnapshotRefused
from service.files import sync_directory, write_durable
from service.locks import ALONE, locked
from service.snapshot.stage import remove
from service.snapshot.steps import Step

#: A file that has not all its bytes yet.
PART_SUFFIX: Final = ".part"
#: How long a download that nobody asks for any more may be resumed.
LEFT_BEHIND_SECONDS: Final = 3 * 24 * 3600
_TAG_SUFFIX: Final = ".tag"
_FOLDER: Final = re.compile(r"([1-9][0-9]{0,15})-[A-Za-z0-9_-]{16}", re.ASCII)
_PART_MODE: Final = 0o600
_FILE_MODE: Final = 0o444
_FOLDER_MODE: Final = 0o755


class Incoming:
    """One folder a snapshot, named as in the depot; its data file's tag lies beside it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One download at a time, until what came was taken. Raises `OperatorError` while another is under way."""
        self._root.mkdir(mode=0o700, exist_ok=True)
        with locked(self._root / ".lock", ALONE, "another download is under way in this home: wait for it to end"):
            yield

    def folder(self, name: str, files: Collection[str]) -> Path:
        """The folder of a snapshot, made if it is not there, without what a killed run left beside its files."""
        folder = self._root / name
        folder.mkdir(exist_ok=True)
        folder.chmod(_FOLDER_MODE)
        for entry in folder.iterdir():
            if entry.name.removesuffix(PART_SUFFIX) not in files:
                entry.unlink()
        return folder

    def tag(self, name: str) -> str:
        """The tag of the object that the bytes of a snapshot came from; empty where none is known."""
        try:
            return self._tag_path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def note_tag(self, name: str, tag: str) -> None:
        """Remember it before the first byte is written."""
        write_durable(self._tag_path(name), tag.encode())

    def drop(self, name: str) -> None:
        """Forget a snapshot, because it was taken or because it was refused for its bytes."""
        remove(self._root / name)
        self._tag_path(name).unlink(missing_ok=True)

    def check_room(self, needed: int, spare: int) -> None:
        """Raises `SnapshotRefused` where the bytes that are missing would leave less than `spare` bytes free.

        The journal is written to the same disk, and an answer that cannot be recorded is not given.
        """
        free = shutil.disk_usage(self._root).free
        if needed and free < needed + spare:
            expected = f"room for {needed} bytes, leaving {spare} free (sync.spare_bytes)"
            raise SnapshotRefused(Step.FOLDER, expected, f"{free} bytes free")

    def sweep(self, keep: Collection[str], sequence: int, now: float) -> None:
        """Remove what is not to be kept and lies below a sequence, or was not touched for three days."""
        for entry in self._root.iterdir():
            match = _FOLDER.fullmatch(entry.name.removesuffix(_TAG_SUFFIX))
            if match is None or match[0] in keep:
                continue
            with suppress(FileNotFoundError):
                if int(match[1]) < sequence or _touched(entry) < now - LEFT_BEHIND_SECONDS:
                    self.drop(match[0])

    def _tag_path(self, name: str) -> Path:
        return self._root / f"{name}{_TAG_SUFFIX}"


@contextmanager
def open_part(path: Path) -> Iterator[io.FileIO]:
    """The unfinished file for `path`, to be written on. Whole and durable when `finish_part` gives it its name."""
    part = _part_path(path)
    with suppress(FileNotFoundError):
        part.chmod(_PART_MODE)  # a kill may have come between its last two steps
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _PART_MODE)
    with io.FileIO(descriptor, "r+") as file:
        yield file


def finish_part(path: Path, file: io.FileIO) -> None:
    """Make the bytes durable and give the file its name, read-only."""
    os.fchmod(file.fileno(), _FILE_MODE)
    os.fsync(file.fileno())
    _part_path(path).rename(path)
    sync_directory(path.parent)


def present(path: Path) -> int:
    """How many bytes of a file are there, finished or not."""
    for one in (path, _part_path(path)):
        with suppress(FileNotFoundError):
            return one.stat(follow_symlinks=False).st_size
    return 0


def drop_part(path: Path) -> None:
    """Forget an unfinished file, and give its room back."""
    _part_path(path).unlink(missing_ok=True)


def _part_path(path: Path) -> Path:
    return path.with_name(f"{path.name}{PART_SUFFIX}")


def _touched(entry: Path) -> float:
    """When a folder or a file in it was last written."""
    files = list(entry.iterdir()) if entry.is_dir() else []
    return max(one.stat(follow_symlinks=False).st_mtime for one in (entry, *files))
