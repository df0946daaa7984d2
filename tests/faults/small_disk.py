"""A disk of its own for a home: full, out of inodes, read-only. A tmpfs where root runs the tests.

Elsewhere the same is asked of the process: files may not grow beyond a size, and what makes or changes them fails.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import pytest

from tests.faults.injection import disk_full

_PAGE: Final = 4096
#: What a verdict, a lock and a note take, and a copied snapshot does not fit into.
_SPARE_BYTES: Final = 16 * _PAGE


class Disk:
    """Where a home lies, and what can be done to the disk under it."""

    def __init__(self, root: Path, *, mounted: bool) -> None:
        self.root = root
        self.mounted = mounted

    @contextmanager
    def full(self) -> Iterator[None]:
        """No room for another snapshot."""
        if not self.mounted:
            with _limit(resource.RLIMIT_FSIZE, _SPARE_BYTES):
                yield
            return
        with _options(self.root, f"size={_used_bytes(self.root) + _SPARE_BYTES}"):
            yield

    @contextmanager
    def without_a_byte(self) -> Iterator[None]:
        """Not a page left."""
        if not self.mounted:
            with _limit(resource.RLIMIT_FSIZE, 0):
                yield
            return
        with _options(self.root, f"size={_used_bytes(self.root)}"):
            yield

    @contextmanager
    def out_of_inodes(self) -> Iterator[None]:
        """Neither a file nor a folder can be made."""
        if not self.mounted:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "mkdir", lambda *_, **__: disk_full())
                patch.setattr(os, "open", _unless(os.O_CREAT, disk_full))
                yield
            return
        state = os.statvfs(self.root)
        with _options(self.root, f"nr_inodes={state.f_files - state.f_ffree}"):
            yield

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be changed."""
        if not self.mounted:
            with pytest.MonkeyPatch.context() as patch:
                for name in ("mkdir", "rename", "replace", "unlink"):
                    patch.setattr(os, name, lambda *_, **__: _refuse())
                patch.setattr(os, "open", _unless(os.O_WRONLY | os.O_RDWR | os.O_CREAT, _refuse))
                yield
            return
        with _options(self.root, "ro", "rw"):
            yield


@contextmanager
def small_disk(root: Path) -> Iterator[Disk]:
    """An empty disk at `root`, let go at the end."""
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=10000,mode=0755", "tmpfs", str(root)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield Disk(root, mounted=mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(root)], check=True)


@contextmanager
def _options(root: Path, narrow: str, wide: str = "size=64m,nr_inodes=10000") -> Iterator[None]:
    subprocess.run(["mount", "-o", f"remount,{narrow}", str(root)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", f"remount,{wide}", str(root)], check=True)


@contextmanager
def _limit(what: int, value: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def _used_bytes(root: Path) -> int:
    state = os.statvfs(root)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def _refuse() -> NoReturn:
    raise OSError(errno.EROFS, "Read-only file system")


def _unless(flags: int, action: Callable[[], NoReturn]) -> Callable[..., int]:
    """`os.open` without those flags."""
    real = os.open

    def open_(path: object, how: int, *arguments: int, **named: int) -> int:
        if how & flags and not (flags == os.O_CREAT and os.path.lexists(str(path))):
            action()
        return real(path, how, *arguments, **named)

    return open_
