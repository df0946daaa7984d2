"""How far a pass over a journal's files has come, in bytes: files are of very different sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final


class Steps:
    """Tells `report` how many bytes of all files are read, of how many; the files are those that `of` is asked for."""

    def __init__(self, paths: Sequence[Path], report: Callable[[int, int], None]) -> None:
        """Raises OSError; what is pruned meanwhile has no size any more."""
        self._report = report
        sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
        self._total: Final = sum(sizes)
        self._before: Final = {path: sum(sizes[:number]) for number, path in enumerate(paths)}

    def of(self, path: Path) -> Callable[[int], None]:
        """What to tell how many bytes of one file are read, which may have grown meanwhile."""
        return partial(self._read, self._before[path])

    def end(self) -> None:
        """Everything is read."""
        self._report(self._total, self._total)

    def _read(self, before: int, read: int) -> None:
        self._report(min(before + read, self._total), self._total)
