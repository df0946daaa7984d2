from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.errors import BuildError
from service.snapshot.plan import BuildPlan
from tests.unit.snapshot.made_rows import plan

CORES = len(os.sched_getaffinity(0))


def with_sources(folder: Path, *sources: Path, jobs: int | None = None) -> BuildPlan:
    return plan(folder, b"", sources=sources, jobs=jobs)


def test_a_small_source_is_not_worth_processes_and_a_large_one_is(tmp_path: Path):
    small, large, pipe = (tmp_path / name for name in ("small", "large", "pipe"))
    small.write_bytes(b"rows")
    large.touch()
    os.truncate(large, 1 << 30)
    os.mkfifo(pipe)
    assert with_sources(tmp_path, small).processes() == 1
    assert with_sources(tmp_path, small, large).processes() == CORES
    # Nobody knows what a pipe will bring.
    assert with_sources(tmp_path, pipe).processes() == CORES
    assert with_sources(tmp_path, tmp_path / "absent").processes() == 1


@pytest.mark.parametrize("jobs", [1, 3])
def test_who_says_how_many_gets_as_many(tmp_path: Path, jobs: int):
    assert with_sources(tmp_path, tmp_path / "rows", jobs=jobs).processes() == jobs


@pytest.mark.parametrize("jobs", [0, -1, 65])
def test_jobs_have_limits(tmp_path: Path, jobs: int):
    with pytest.raises(BuildError, match="1 to 64 jobs"):
        with_sources(tmp_path, tmp_path / "rows", jobs=jobs).check()
