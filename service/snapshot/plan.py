"""What a build is asked for, and what it gives back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service.errors import BuildError
from service.snapshot.dialects import Encoding
from service.snapshot.difference import Changes
from service.snapshot.manifest import Manifest
from service.snapshot.target import DEFAULT_VALID_DAYS, check_target

DEFAULT_REJECT_SHARE: Final = 0.001
#: Beyond it, one process that appends cannot follow.
MAX_JOBS: Final = 64
#: Starting a process takes as long as building this much.
_SMALL_BYTES: Final = 16 * 1024 * 1024

#: Called with the stage ("read", "seal", …), what is done and what there is in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What to build, from what, where to.

    `canaries` is a source file of planted people; `out` must not exist. With `base`, the folder of a base, a delta
    over it is built, from sources that are the whole new delivery all the same; `peppers` then holds those that may
    open the base. `source_encoding` is that of CSV sources, canaries included. `jobs` is the number of worker
    processes (1: this process works alone; None: by the cores).
    """

    sources: tuple[Path, ...]
    policy: Path
    out: Path
    sequence: int
    pepper_kid: str
    pepper: bytes
    valid_for_days: int = DEFAULT_VALID_DAYS
    member_entries: bool = True
    canaries: Path | None = None
    max_reject_share: float = DEFAULT_REJECT_SHARE
    base: Path | None = None
    peppers: Mapping[str, bytes] = field(default_factory=dict)
    source_encoding: Encoding = "utf-8"
    jobs: int | None = None

    def __repr__(self) -> str:
        return f"BuildPlan(sequence={self.sequence}, out={str(self.out)!r})"

    @property
    def inputs(self) -> tuple[tuple[Path, bool], ...]:
        """Every file to read, and whether its people are canaries."""
        canaries = ((self.canaries, True),) if self.canaries is not None else ()
        return (*((path, False) for path in self.sources), *canaries)

    @property
    def input_bytes(self) -> int:
        """How much there is to read, as far as can be told."""
        return sum(path.stat().st_size for path, _ in self.inputs if path.is_file())

    def check(self) -> None:
        """Raises `BuildError` for what can be refused before anything is read."""
        check_target(self.out, self.sequence, self.valid_for_days)
        if not 0 <= self.max_reject_share <= 1:  # also catches NaN, which would let everything pass
            raise BuildError("the share of bad rows that aborts lies between 0 and 1")
        if not self.sources:
            raise BuildError("no source was named")
        if self.jobs is not None and not 1 <= self.jobs <= MAX_JOBS:
            raise BuildError(f"a build has 1 to {MAX_JOBS} jobs")

    def processes(self) -> int:
        """How many processes will work."""
        if self.jobs is not None:
            return self.jobs
        # What a pipe will bring nobody knows.
        unknown = any(path.exists() and not path.is_file() for path, _ in self.inputs)
        return min(len(os.sched_getaffinity(0)), MAX_JOBS) if unknown or self.input_bytes > _SMALL_BYTES else 1


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: its manifest, rows read, and where the rejected ones are listed (none: None).

    `changes` are those of a delta. `seconds` is how long each stage took; `peak_rss_bytes` the sum of what each
    process held at its own peak.
    """

    manifest: Manifest
    rows: int
    rejects: Path | None
    changes: Changes | None
    seconds: dict[str, float]
    peak_rss_bytes: int

    @property
    def rows_per_second(self) -> float:
        """Rows over the seconds of all stages."""
        return self.rows / max(sum(self.seconds.values()), 1e-9)


def quiet(_stage: str, _done: int, _total: int) -> None:
    """The progress nobody watches."""
