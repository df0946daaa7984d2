"""Faults below the product: the nth call that changes a disk fails, or is the last thing a process does."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from service.cli.main import _run
from service.control.store import SqliteOrderStore

#: What changes a disk, in the standard library's names. An order is one call, for SQLite makes it one change.
CHANGING: Final = ("fsync", "fdatasync", "write", "rename", "replace", "mkdir", "unlink", "rmdir", "fchmod", "chmod")


@contextmanager
def failing_at(nth: int, action: Callable[[], object], only: tuple[str, ...] = CHANGING) -> Iterator[list[str]]:
    """`action` before the nth call of those `only`; yields the names of the calls made."""
    made: list[str] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            made.append(name)
            if len(made) == nth:
                action()
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in only:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        patch.setattr(SqliteOrderStore, "append", wrap("order", SqliteOrderStore.append))
        yield made


def kill() -> None:
    """kill -9, of oneself."""
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full() -> NoReturn:
    """As a disk without room answers."""
    raise OSError(errno.ENOSPC, "No space left on device")


def disk_error() -> NoReturn:
    """As a disk that is failing answers."""
    raise OSError(errno.EIO, "Input/output error")


def in_child(work: Callable[[], int], log: Path) -> int:
    """The exit status of `work` in a process of its own (negative: the signal that ended it); what it says in `log`."""
    child = os.fork()
    if not child:
        status = 99
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for standard in (1, 2):
                os.dup2(descriptor, standard)
            sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            status = work()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def relais(home: Path, *words: str) -> int:
    """A command of the product in this process; its exit status."""
    return _run([*words, "--home", str(home)])
