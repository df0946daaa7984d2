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
    begin, interrupted = threading.Event(), threading.Event()

    def step(done: int, total: int) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        progress(done, total)

    def begun() -> _Result:
        # A thread that an interrupt caught while it was being started is not waited for, so it must do nothing.
        begin.wait()
        if interrupted.is_set():
            raise KeyboardInterrupt
        return work(step)

    with ThreadPoolExecutor(1, "aside", initializer=_yield_to_others) as pool:
        try:
            future = pool.submit(begun)
            begin.set()
            return future.result()
        except KeyboardInterrupt:
            interrupted.set()
            begin.set()
            raise


def _yield_to_others() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
