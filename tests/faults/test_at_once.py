"""What two people do at the same time, and a pin that is interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.cli.exits import Exit
from service.snapshot import stage
from tests.faults.homes import Night, active, knows
from tests.faults.injection import failing_at, in_child, kill, relais
from tests.fleet import wait_until

PIN = ("snapshot", "pin", "1", "--reason", "a test", "--until", "1h")
SECONDS = 60


@contextmanager
def load_that_waits(home: Path, source: Path, log: Path) -> Iterator[Any]:
    """A load in another process that has begun to copy, until told to go on; gives what tells it and its end."""
    begun, go = log.with_name("begun"), log.with_name("go")

    def load() -> int:
        copy = stage._copy_files

        def wait_then_copy(*arguments: Any) -> None:
            begun.touch()
            while not go.exists():
                time.sleep(0.01)
            copy(*arguments)

        stage._copy_files = wait_then_copy
        return relais(home, "snapshot", "load", str(source))

    child = os.fork()
    if not child:
        os._exit(in_child(load, log))
    wait_until(begun.exists, SECONDS, lambda: "the load did not begin")

    def end() -> int:
        go.touch()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    try:
        yield end
    finally:
        go.touch()


def test_a_pin_does_not_wait_for_a_load_and_the_load_then_activates_nothing(night: Night, tmp_path: Path):
    home = night.fresh(tmp_path / "home")
    with load_that_waits(home, night.base, tmp_path / "log") as end:
        assert relais(home, *PIN) == Exit.DONE
        assert end() == Exit.REFUSED
    assert "snapshot 1 is pinned by order" in (tmp_path / "log").read_text()
    assert (active(home), knows(home, night.leaver)) == (1, True)
    assert relais(home, "snapshot", "unpin", "--reason", "a test") == Exit.DONE
    assert relais(home, "snapshot", "load", str(night.base)) == Exit.DONE
    assert active(home) == 2


def test_a_second_load_is_told_of_the_first_and_a_prune_waits_its_turn(
    night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    home = night.fresh(tmp_path / "home")
    with load_that_waits(home, night.base, tmp_path / "log") as end:
        for words in (("snapshot", "load", str(night.base)), ("snapshot", "prune", "--keep", "0")):
            assert relais(home, *words) == Exit.REFUSED
            assert "another load is under way in this home" in capsys.readouterr().err
        assert relais(home, "snapshot", "list") == Exit.DONE
        assert "     2  staged " in capsys.readouterr().out
        assert end() == Exit.DONE
    assert (active(home), knows(home, night.leaver)) == (2, False)


def test_kill_9_at_any_step_of_a_pin_leaves_what_served_or_what_is_pinned(night: Night, tmp_path: Path):
    start = night.fresh(tmp_path / "start")
    assert relais(start, "snapshot", "load", str(night.base)) == Exit.DONE
    seen = set()
    for nth in range(1, 50):
        home = Night(start, *[night.base] * 3, night.leaver).fresh(tmp_path / str(nth))

        def pin(home: Path = home, nth: int = nth) -> int:
            with failing_at(nth, kill):
                return relais(home, *PIN)

        status = in_child(pin, tmp_path / "log")
        seen.add(active(home))
        assert knows(home, night.leaver) == (active(home) == 1)
        if status == Exit.DONE:
            break
        assert relais(home, *PIN) == Exit.DONE
        assert (active(home), knows(home, night.leaver)) == (1, True)
    assert seen == {1, 2}
