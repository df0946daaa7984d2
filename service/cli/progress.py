"""Progress of long commands: a bar on a terminal, a line a minute elsewhere. On stderr, so that output stays clean."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from service.clock import Clock, SystemClock

LINE_SECONDS: Final = 60.0


class Meter:
    """Use as a context manager; `report` takes what is being done, how much of it is done, and how much there is."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._said_at = self._clock.monotonic()
        self._bar = _bar() if sys.stderr.isatty() else None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def report(self, stage: str, done: int, total: int) -> None:
        """One step forward."""
        if self._bar:
            self._draw(self._bar, stage, done, total)
        elif self._clock.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = self._clock.monotonic()
            print(f"{stage}: {100 * done // max(total, 1)} %", file=sys.stderr, flush=True)

    def stage(self, name: str) -> Callable[[int, int], None]:
        """`report` with its stage given, for a caller that only counts bytes."""
        return partial(self.report, name)

    def _draw(self, bar: Progress, stage: str, done: int, total: int) -> None:
        task = self._tasks.get(stage)
        if task is None:
            task = self._tasks[stage] = bar.add_task(stage, total=total)
        bar.update(task, completed=done, total=total)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
