"""Several processes build what one would, say what one would have said, and leave nothing behind."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import BuildError, RowRejected
from service.snapshot import build, passes
from service.snapshot.bench import Bench, Recipe
from service.snapshot.crew import Workers, _result
from service.snapshot.plan import Progress, quiet
from service.snapshot.spill import new_file, new_key
from tests.unit.snapshot.made_rows import NOW, PEPPER, csv_text, ndjson, nir_of, plan, row

SALT = bytes(range(16))
PEOPLE = [
    row(nir=nir_of(number), member=f"M{number // 3}", birth_rank=1 + number % 2, csr=f"C{number % 7}")
    for number in range(600)
]
BAD = row(nir="SECRET-CONTENT")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred rows are dozens of tasks."""
    monkeypatch.setattr(passes, "_CHUNK_BYTES", 4000)


def workers() -> list[int]:
    """The worker processes of this process."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(status[1]) == os.getpid() and b"service.snapshot.crew" in words:
            found.append(int(entry.name))
    return found


def left_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} - {"rows.ndjson", "policy.toml", "more.csv", "canaries.csv"}


def made(folder: Path, jobs: int, **changes: Any) -> tuple[Any, dict[str, bytes]]:
    """What a build says and writes, under a salt that is the same each time."""
    folder.mkdir()
    more, canaries = folder / "more.csv", folder / "canaries.csv"
    more.write_text(csv_text([*PEOPLE[100:300], {**BAD, "csr": "x"}, *PEOPLE[:50]]), "utf-8")
    canaries.write_text(csv_text([row(nir=nir_of(999), member="CANARY")]), "utf-8")
    rows = [*PEOPLE[:200], BAD, *PEOPLE[200:], row(nir="2555555123030"), row(birth_date=None)]
    built_plan = plan(folder, ndjson(rows), jobs=jobs, canaries=canaries, max_reject_share=0.5, **changes)
    built_plan = dataclasses.replace(built_plan, sources=(*built_plan.sources, more))
    built = build._build(built_plan, NOW, SALT, quiet)
    files = {entry.name: entry.read_bytes() for entry in built_plan.out.iterdir()}
    assert built.rejects is not None
    files["rejects"] = built.rejects.read_bytes()
    return (built.manifest, built.rows), files


def test_the_number_of_processes_changes_no_byte(tmp_path: Path):
    alone, three = (made(tmp_path / f"jobs-{jobs}", jobs) for jobs in (1, 3))
    assert alone == three
    assert alone[1]["rejects"].count(b"\n") == 3


def test_the_number_of_processes_changes_no_byte_of_a_delta(tmp_path: Path):
    base_plan = plan(tmp_path, ndjson(PEOPLE[:500]), out=tmp_path / "base")
    build.build_snapshot(base_plan, NOW)
    alone, three = (
        made(
            tmp_path / f"jobs-{jobs}",
            jobs,
            base=tmp_path / "base",
            sequence=2,
            out=tmp_path / f"jobs-{jobs}" / "snapshot",
        )
        for jobs in (1, 3)
    )
    assert alone == three


def failing(folder: Path, data: bytes, message: str, progress: Progress = quiet, **changes: Any) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        build.build_snapshot(plan(folder, data, jobs=2, **changes), NOW, progress)
    assert "SECRET-CONTENT" not in str(caught.value)
    assert left_in(folder) == set()
    assert workers() == []


def test_of_several_errors_the_first_by_line_is_told(tmp_path: Path):
    """The first one lies in a chunk that takes longest, the others in chunks that fail at once."""
    unknown = [row(nir=nir_of(number), amc="99999999") for number in range(40)]
    data = ndjson([*PEOPLE[:90], unknown[0], *unknown])
    for _ in range(3):
        failing(tmp_path, data, r"rows.ndjson, line 91: AMC 0099999999 is not in the policy file")


def test_an_error_of_a_row_comes_before_that_of_a_later_file(tmp_path: Path):
    more = tmp_path / "more.csv"
    more.write_text("no;header;of;ours\n")
    good, bad = ndjson(PEOPLE), ndjson([*PEOPLE, row(amc="99999999")])
    failing(tmp_path, bad, "rows.ndjson, line 601: AMC", sources=(tmp_path / "rows.ndjson", more))
    failing(tmp_path, good, "more.csv: neither NDJSON nor CSV", sources=(tmp_path / "rows.ndjson", more))


def test_too_many_rejects_are_summed_up_as_one_process_would(tmp_path: Path):
    data = ndjson([*PEOPLE, *[BAD] * 200])
    failing(
        tmp_path, data, r"200 of 800 rows are bad, .* \(first at rows.ndjson:601, rows.ndjson:602, rows.ndjson:603\)"
    )


def test_a_bad_canary_stops_all(tmp_path: Path):
    canaries = tmp_path / "canaries.csv"
    canaries.write_text(csv_text([BAD]), "utf-8")
    failing(tmp_path, ndjson(PEOPLE), "canaries, line 2: nir: malformed", canaries=canaries)


def during(stage: str, act: Callable[[], None]) -> Progress:
    """Does something once, in the middle of a stage."""
    done = False

    def progress(name: str, at: int, total: int) -> None:
        nonlocal done
        if name == stage and not done and at > total // 3:
            done = True
            act()

    return progress


@pytest.mark.parametrize("stage", ["read", "seal"])
def test_a_worker_that_is_killed_ends_the_build(tmp_path: Path, stage: str):
    def kill() -> None:
        assert len(workers()) == 2
        os.kill(workers()[0], signal.SIGKILL)

    failing(tmp_path, ndjson(PEOPLE), r"ended before its work \(killed by SIGKILL\)", during(stage, kill))


@pytest.mark.parametrize("stage", ["base", "read", "compare"])
def test_an_interrupt_leaves_neither_files_nor_processes(tmp_path: Path, stage: str):
    base_plan = plan(tmp_path, ndjson(PEOPLE[:9]), out=tmp_path / "base")
    build.build_snapshot(base_plan, NOW)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.build_snapshot(
            plan(tmp_path, ndjson(PEOPLE), jobs=2, base=tmp_path / "base", sequence=2), NOW, during(stage, interrupt)
        )
    assert left_in(tmp_path) == {"base"}
    assert workers() == []


def test_a_worker_shows_no_secret_and_hears_no_interrupt_of_the_terminal(tmp_path: Path):
    seen: list[bytes] = []

    def look() -> None:
        for worker in workers():
            seen.extend((Path(f"/proc/{worker}") / name).read_bytes() for name in ("cmdline", "environ"))
            assert os.getpgid(worker) != os.getpgid(0)

    built = build.build_snapshot(plan(tmp_path, ndjson(PEOPLE), jobs=2), NOW, during("read", look))
    assert built.manifest.counts.people == 600
    assert len(seen) == 4
    assert not any(PEPPER in shown or PEPPER.hex().encode() in shown for shown in seen)
    assert "pepper" not in repr(Recipe(PEPPER, SALT, {}, member_entries=True, spill_key=b"k" * 32))


def test_memory_and_speed_are_told(tmp_path: Path):
    one = build.build_snapshot(plan(tmp_path, ndjson(PEOPLE), jobs=1), NOW)
    two = build.build_snapshot(plan(tmp_path, ndjson(PEOPLE), jobs=2, out=tmp_path / "two"), NOW)
    assert set(one.seconds) == set(two.seconds) == {"read", "seal", "place"}
    # Two more interpreters, of some 20 MB each at the very least.
    assert two.peak_rss_bytes > one.peak_rss_bytes + 40_000_000 > 40_000_000
    assert two.rows_per_second == pytest.approx(600 / sum(two.seconds.values()))


class Break:
    """A task with a mistake in it, as only we could make one."""

    def run(self, _bench: Bench) -> None:
        raise KeyError("SECRET-CONTENT")


def test_a_mistake_of_ours_is_told_by_its_place_never_by_what_it_quotes():
    result = _result(Break(), None)
    assert isinstance(result, RuntimeError)
    assert "KeyError in a process of the build: run (" in str(result)
    assert "SECRET-CONTENT" not in str(result)


def test_what_a_worker_raises_is_raised_here(tmp_path: Path):
    with new_file(tmp_path) as file, new_file(tmp_path) as other:
        recipe = Recipe(PEPPER, SALT, {}, member_entries=True, spill_key=new_key())
        crew = Workers(recipe, [file.fileno(), other.fileno()])
        try:
            for error in (
                OSError(28, "No space left on device", "/a/file"),
                MemoryError(),
                RowRejected("nir", "missing"),
            ):
                with pytest.raises(type(error)) as caught:
                    crew.each(Fail(error))
                assert vars(caught.value) == vars(error)
                assert str(caught.value) == str(error)
        finally:
            crew.close()
    assert workers() == []


class Fail:
    """A task that raises what it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, _bench: Bench) -> None:
        raise self.error
