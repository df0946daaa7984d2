"""Locks between processes, as files. The kernel frees the lock of a process that dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service.errors import OperatorError
from service.files import PRIVATE_MODE

#: Alone, or not at all.
ALONE: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
#: Alone, after whoever is there; for what is held for a moment only.
IN_TURN: Final = fcntl.LOCK_EX
#: Beside others of this kind, after whoever is alone.
BESIDE: Final = fcntl.LOCK_SH


@contextmanager
def locked(path: Path, how: int, refusal: str = "", mode: int = PRIVATE_MODE) -> Iterator[None]:
    """Holds the lock at `path`, whose folder must exist, for the block.

    `how` is `ALONE`, `IN_TURN` or `BESIDE`. Raises `OperatorError` with `refusal` where `ALONE` cannot be had now.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError as error:
            raise OperatorError(refusal) from error
        yield
    finally:
        os.close(descriptor)
