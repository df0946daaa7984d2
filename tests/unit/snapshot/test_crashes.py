"""Workers end for real here: the interpreter's last words are not imitated."""

from __future__ import annotations

import contextlib
import datetime as dt
import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import LayerRejected
from service.snapshot.crashes import Crash, Crashes

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
DIGEST, OTHER = "A" * 43, "B" * 43


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "run").mkdir()
    yield tmp_path / "run"
    faulthandler.enable(sys.__stderr__ or sys.stderr)  # as the tests had it before


def worker(run: Path, how: signal.Signals | None, digest: str = DIGEST, now: dt.datetime = NOW, slot: int = 0) -> None:
    """A worker that opens a snapshot and is then ended by a signal, or ends in good order."""
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            crashes = Crashes(run, slot)
            crashes.take_over(now)
            with crashes.reading(5, digest):
                pass
            if how is None:
                crashes.close()
            else:
                os.kill(os.getpid(), how)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == (0 if how is None else -how)


def taken_over(run: Path, now: dt.datetime = NOW, slot: int = 0) -> tuple[Crashes, Crash | None]:
    crashes = Crashes(run, slot)
    crash = crashes.take_over(now)
    crashes.close()
    return crashes, crash


@pytest.mark.parametrize(
    ("how", "fault"), [(signal.SIGBUS, "Bus error"), (signal.SIGSEGV, "Segmentation fault")], ids=["bus", "segment"]
)
def test_a_successor_learns_what_killed_the_worker_before_it(run: Path, how: signal.Signals, fault: str):
    worker(run, how)
    crashes, crash = taken_over(run)
    assert crash == Crash(NOW, DIGEST, 5, fault)
    assert crashes.any_of(DIGEST)
    assert not crashes.any_of(OTHER)


@pytest.mark.parametrize("how", [None, signal.SIGKILL, signal.SIGTERM], ids=["good order", "kill -9", "term"])
def test_whoever_was_killed_by_somebody_was_not_killed_by_a_snapshot(run: Path, how: signal.Signals | None):
    worker(run, how)
    crashes, crash = taken_over(run)
    assert crash is None
    assert not crashes.any_of(DIGEST)


def test_a_crash_is_told_once(run: Path):
    worker(run, signal.SIGBUS)
    taken_over(run)
    assert taken_over(run)[1] is None


def test_three_within_a_minute_and_it_is_not_opened_again_by_any_worker(run: Path):
    for number in range(3):
        with Crashes(run, 0).reading(5, DIGEST):
            pass
        worker(run, signal.SIGBUS, slot=number % 2)
        crashes, _ = taken_over(run, NOW + dt.timedelta(seconds=30 * number), slot=number % 2)
    with pytest.raises(LayerRejected, match="3 workers were killed within 60 s"), crashes.reading(5, DIGEST):
        pytest.fail("opened")
    with Crashes(run, 1).reading(6, OTHER):
        pass


def test_three_over_two_minutes_are_hashed_each_time_and_opened(run: Path):
    for number in range(3):
        worker(run, signal.SIGBUS, now=NOW + dt.timedelta(seconds=61 * number))
    crashes, _ = taken_over(run, NOW + dt.timedelta(seconds=190))
    with crashes.reading(5, DIGEST):
        assert crashes.any_of(DIGEST)


def test_a_server_that_starts_anew_tries_anew(run: Path):
    for _ in range(3):
        worker(run, signal.SIGBUS)
    taken_over(run)
    (run / "rights-0.lock").touch()
    Crashes.clear(run)
    assert [path.name for path in run.iterdir()] == ["rights-0.lock"]
    crashes, crash = taken_over(run)
    assert crash is None
    with crashes.reading(5, DIGEST):
        pass


def test_a_snapshot_that_could_not_be_opened_is_not_blamed_for_what_follows(run: Path):
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            crashes = Crashes(run, 0)
            crashes.take_over(NOW)
            with crashes.reading(5, DIGEST):
                pass
            with contextlib.suppress(ValueError), crashes.reading(6, OTHER):
                raise ValueError("refused")
            os.kill(os.getpid(), signal.SIGBUS)
        os._exit(0)
    os.waitpid(child, 0)
    assert taken_over(run)[1] == Crash(NOW, DIGEST, 5, "Bus error")


@pytest.mark.parametrize("left", [b"", b"\xff\n", b"{}\nFatal Python error: Bus error\n", b"\nFatal Python error: x"])
def test_words_that_name_no_snapshot_blame_none(run: Path, left: bytes):
    (run / "rights-0.fault").write_bytes(left)
    assert taken_over(run)[1] is None


def test_a_torn_list_counts_what_is_whole(run: Path):
    for _ in range(2):
        worker(run, signal.SIGBUS)
    taken_over(run)
    with (run / "crashes.jsonl").open("ab") as file:
        file.write(b'{"at":"2024-02-05T09:3')
    assert Crashes(run, 0).any_of(DIGEST)


def test_a_disk_without_room_for_names_keeps_no_snapshot_from_being_opened(run: Path, monkeypatch: pytest.MonkeyPatch):
    crashes = Crashes(run, 0)
    crashes.take_over(NOW)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with crashes.reading(5, DIGEST):
        pass
    crashes.close()
