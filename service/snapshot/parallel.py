"""Several large files read at once, with one progress for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.snapshot.folder import Progress

_Result = TypeVar("_Result")


def at_once(works: Sequence[Callable[[Progress], _Result]], progress: Progress) -> list[_Result]:
    """What each gives, in their order, each in a thread of its own: SHA-256 does not hold the interpreter.

    Where several fail, the error is that of the first in order; a failure ends those after it at their next step.
    """
    total = _Total(len(works), progress)
    with ThreadPoolExecutor(len(works), "hash") as pool:
        futures = [pool.submit(total.run, number, work) for number, work in enumerate(works)]
    return [future.result() for future in futures]


class _Superseded(BaseException):
    """An earlier one has failed: what this one would find no longer matters."""


class _Total:
    """The sum of what all are doing."""

    def __init__(self, count: int, progress: Progress) -> None:
        self._steps = [(0, 0)] * count
        self._progress = progress
        self._failed = count
        self._lock = threading.Lock()

    def run(self, number: int, work: Callable[[Progress], _Result]) -> _Result:
        try:
            return work(lambda done, total: self._step(number, done, total))
        except BaseException:
            self._failed = min(self._failed, number)
            raise

    def _step(self, number: int, done: int, total: int) -> None:
        if self._failed < number:
            raise _Superseded
        with self._lock:
            self._steps[number] = (done, total)
            self._progress(sum(step[0] for step in self._steps), sum(step[1] for step in self._steps))
