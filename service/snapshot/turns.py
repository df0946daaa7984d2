"""Whose turn it is among a home's snapshots: one load at a time, and nothing is removed under a pin's feet.

The kernel frees the lock of a process that dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import OperatorError


@contextmanager
def loading(root: Path) -> Iterator[None]:
    """One load, or prune, at a time. Raises `OperatorError` while another is under way."""
    with _locked(root / ".lock", fcntl.LOCK_EX | fcntl.LOCK_NB, "another load"):
        yield


@contextmanager
def pinning(root: Path) -> Iterator[None]:
    """What is held stays, from the look at it to the order that pins it. Never waits for a load, which may be long."""
    with _locked(root / ".pin", fcntl.LOCK_SH, "a prune"):
        yield


@contextmanager
def pruning(root: Path) -> Iterator[None]:
    """Nobody loads or pins. Raises `OperatorError` while somebody does."""
    with loading(root), _locked(root / ".pin", fcntl.LOCK_EX | fcntl.LOCK_NB, "a pin"):
        yield


@contextmanager
def _locked(path: Path, how: int, who: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError as error:
            raise OperatorError(f"{who} is under way in this home: wait for it to end") from error
        yield
    finally:
        os.close(descriptor)
