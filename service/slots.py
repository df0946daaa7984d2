"""Worker slots: small stable numbers, one a living worker, so that a worker's journal segments form one chain."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def claim_slot(run: Path, server: str) -> Iterator[int]:
    """The lowest free slot of a server, held until the block or the process ends.

    The kernel frees the lock of a process that was killed, so its successor continues the same chain.
    """
    run.mkdir(parents=True, exist_ok=True)
    for slot in count():
        descriptor = os.open(run / f"{server}-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        try:
            yield slot
        finally:
            os.close(descriptor)
        return
