"""Long work of a command, done so that the servers on the same machine do not feel it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_LOWEST: Final = 19
_Result = TypeVar("_Result")
_Progress = Callable[[int, int], None]


def aside(work: Callable[[_Progress], _Result], progress: _Progress) -> _Result:
    """What `work` gives, done at the lowest priority; an interrupt ends it at its next step, cleaned up.

    On Linux a priority is the thread's own, and threads it starts inherit it. The rest of the command, which gives
    the order, keeps its priority: nobody but root could take a process's own back.
    """
    interrupted = threading.Event()

    def step(done: int, total: int) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        progress(done, total)

    with ThreadPoolExecutor(1, "aside", initializer=_yield_to_others) as pool:
        future = pool.submit(work, step)
        try:
            return future.result()
        except KeyboardInterrupt:
            interrupted.set()
            raise


def _yield_to_others() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
