"""A load that is killed, or fails, at any step that changes a disk: the old snapshot serves, or the new one, whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.faults.homes import Night, active, knows
from tests.faults.injection import disk_error, disk_full, failing_at, in_child, kill, relais

#: Far beyond what a load takes: the loops end when the fault comes after the end of the load.
STEPS = range(1, 200)


def is_old_or_new(home: Path, night: Night, kind: str) -> int:
    """The active sequence; what a worker opens now is that very snapshot, and whole."""
    sequence = active(home)
    assert sequence in (1, 2)
    assert knows(home, night.leaver) == (sequence == 1 or kind == "empty")
    return sequence


@pytest.mark.parametrize("kind", ["base", "delta", "empty"])
def test_kill_9_at_any_step_leaves_the_old_or_the_new_and_the_next_load_works(night: Night, tmp_path: Path, kind: str):
    source, seen = night.snapshot(kind), set()
    for nth in STEPS:
        home = night.fresh(tmp_path / str(nth))

        def load(home: Path = home, nth: int = nth) -> int:
            with failing_at(nth, kill):
                return relais(home, "snapshot", "load", str(source))

        status = in_child(load, tmp_path / "log")
        seen.add(is_old_or_new(home, night, kind))
        if status == 0:
            break
        assert status == -9, (tmp_path / "log").read_text()
        assert relais(home, "snapshot", "load", str(source)) == 0, nth
        assert is_old_or_new(home, night, kind) == 2
        left = {path.name for path in (home / "snapshots").iterdir() if path.is_dir()}
        assert left == {"1", "2"}, nth
    assert nth > 20
    assert seen == {1, 2}


@pytest.mark.parametrize("kind", ["base", "delta"])
@pytest.mark.parametrize("fault", [disk_full, disk_error])
def test_an_error_at_any_step_is_one_line_and_nothing_is_claimed_that_is_not(
    night: Night, tmp_path: Path, kind: str, fault: Callable[[], NoReturn], capsys: pytest.CaptureFixture[str]
):
    source = night.snapshot(kind)
    refusals = 0
    for nth in STEPS:
        home = night.fresh(tmp_path / str(nth))
        capsys.readouterr()
        with failing_at(nth, fault) as made:
            status = relais(home, "snapshot", "load", str(source))
        said = capsys.readouterr().err
        where = (nth, made[nth - 1] if len(made) >= nth else "end", said)
        assert is_old_or_new(home, night, kind) == (2 if status == 0 else 1), where
        if status != 0:
            refusals += 1
            assert said.count("\n") == 1, where
            assert said.startswith("relais: "), where
        capsys.readouterr()
        assert relais(home, "snapshot", "load", str(source)) == 0, (where, capsys.readouterr().err)
        assert is_old_or_new(home, night, kind) == 2
        if len(made) < nth:
            break
    assert refusals > 8


def test_an_fsync_that_failed_is_not_tried_again(night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """After it the kernel may have dropped the pages: a second one that succeeds proves nothing."""
    home = night.fresh(tmp_path / "home")
    failed: list[int] = []
    held: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        assert inode not in failed, "an fsync was tried again in hope"
        if Path(f"/proc/self/fd/{descriptor}").resolve().name == "records.lmdb":
            failed.append(inode)
            held.append(os.dup(descriptor))  # so that no later file gets its inode
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert relais(home, "snapshot", "load", str(night.base)) == 1
    for descriptor in held:
        os.close(descriptor)
    assert failed
    assert "refused at step 0 folder" in capsys.readouterr().err
    assert is_old_or_new(home, night, "base") == 1
