from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import OperatorError
from service.reconcile.compare import Outcome, Verdict
from service.reconcile.progress import PROGRESS_FILE, About, Progress
from service.reconcile.recorded import Place

ABOUT = About("", "2024-02-06T00:00:00.000Z", "https://visiodroits.example")
DONE = (Outcome("0990000011", Verdict.CONFIRMED), Outcome("0990000022", Verdict.WRONGLY_OPEN, other_rates=False))


def place(n: int, journal: str = "018d7892-0000-7000-8000-000000000000") -> Place:
    return Place(journal, n, f"id-{n}", "2024-02-05T09:30:12.123Z")


def begin(folder: Path, entries: int) -> bytes:
    with Progress.begin(folder, ABOUT) as progress:
        for n in range(entries):
            progress.add(place(n), DONE)
    return (folder / PROGRESS_FILE).read_bytes()


def resumed(folder: Path) -> Progress:
    progress = Progress.resume(folder)
    assert progress is not None
    return progress


def test_a_run_goes_on_where_it_was(tmp_path: Path):
    begin(tmp_path, 3)
    with resumed(tmp_path) as progress:
        assert progress.about == ABOUT
        assert progress.compared == 3
        assert progress.outcomes(place(2)) == DONE
        assert progress.outcomes(place(3)) is None
        assert progress.outcomes(place(2, "another")) is None
        progress.add(place(3), ())
    with resumed(tmp_path) as progress:
        assert progress.outcomes(place(3)) == ()
        assert progress.compared == 4


def test_nothing_is_resumed_where_nothing_was_begun(tmp_path: Path):
    assert Progress.resume(tmp_path) is None
    (tmp_path / PROGRESS_FILE).write_bytes(b'{"since":"","unt')
    assert Progress.resume(tmp_path) is None


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path):
    (tmp_path / PROGRESS_FILE).write_bytes(b"my notes\nof today\n")
    with pytest.raises(OperatorError, match="not the progress"):
        Progress.resume(tmp_path)
    assert (tmp_path / PROGRESS_FILE).read_bytes() == b"my notes\nof today\n"


def test_it_is_private(tmp_path: Path):
    begin(tmp_path, 1)
    assert (tmp_path / PROGRESS_FILE).stat().st_mode & 0o777 == 0o600


@given(st.integers(0, 1000), st.binary(max_size=40))
def test_whatever_a_crash_left_whole_lines_before_it_count(
    tmp_path_factory: pytest.TempPathFactory, cut: int, rest: bytes
):
    folder = tmp_path_factory.mktemp("crash")
    whole = begin(folder, 4)
    first = whole.index(b"\n") + 1
    kept = whole[: max(first, len(whole) - cut)]
    (folder / PROGRESS_FILE).write_bytes(kept + rest)
    lines = kept[first:].count(b"\n")
    with resumed(folder) as progress:
        # Bytes that complete a line make it one more.
        assert lines <= progress.compared <= lines + 1
        assert all(progress.outcomes(place(n)) == DONE for n in range(lines))
        progress.add(place(9), DONE)
    with resumed(folder) as progress:
        assert progress.outcomes(place(9)) == DONE
