"""Disks that are full, out of inodes, read-only, or others than one thinks: refused in one line, and served on."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service import app
from service.cli.common import open_home
from service.cli.exits import Exit
from service.control.fleet import FleetStore
from service.snapshot.catalog import Catalog
from tests.faults.homes import Night, active, knows, last_verdict
from tests.faults.injection import in_child, relais
from tests.faults.small_disk import Disk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def home(night: Night, disk: Disk) -> Iterator[Path]:
    """With the stores open, as servers keep them: SQLite then needs no new file to read."""
    place, settings = open_home(night.fresh(disk.root / "home"))
    with closing(app.open_ledger(place, settings)), closing(FleetStore(place.fleet)) as fleet:
        fleet.segments()
        yield place.root


class Said:
    """The lines of commands."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def refusal(self) -> str:
        """The one line on standard error."""
        error = self._capture.readouterr().err
        assert error.count("\n") == 1, error
        assert error.startswith("relais: ")
        return error

    def nothing(self) -> None:
        """Nothing on standard error."""
        assert self._capture.readouterr().err == ""


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def still_serves_the_first(home: Path, night: Night) -> None:
    assert active(home) == 1
    assert knows(home, night.leaver)


def folders(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "snapshots").iterdir() if path.is_dir())


def test_a_full_disk_refuses_a_load_and_room_lets_it_pass(night: Night, disk: Disk, home: Path, said: Said):
    with disk.full():
        assert relais(home, "snapshot", "load", str(night.base)) == Exit.REFUSED
        assert "refused at step 0 folder: expected room and rights for a copy; found " in said.refusal()
        still_serves_the_first(home, night)
        assert folders(home) == ["1"]
        assert last_verdict(home)["accepted"] is False
    assert relais(home, "snapshot", "load", str(night.base)) == Exit.DONE
    said.nothing()
    assert (active(home), knows(home, night.leaver)) == (2, False)


def test_a_disk_without_a_byte_refuses_and_can_be_pruned(night: Night, disk: Disk, home: Path, said: Said):
    assert relais(home, "snapshot", "load", str(night.base)) == Exit.DONE
    said.nothing()
    with disk.without_a_byte():
        for words in (
            ("snapshot", "load", str(night.delta), "--dry-run"),
            ("snapshot", "pin", "1", "--reason", "a test", "--until", "1h"),
        ):
            assert relais(home, *words) in (Exit.REFUSED, Exit.UNAVAILABLE), words
            said.refusal()
        assert (active(home), knows(home, night.leaver)) == (2, False)
        assert relais(home, "snapshot", "prune", "--keep", "0") == Exit.DONE
        said.nothing()
        assert folders(home) == ["2"]
    assert relais(home, "snapshot", "load", str(night.base)) == Exit.DONE


def test_a_disk_out_of_inodes_refuses_and_can_be_pruned(night: Night, disk: Disk, home: Path, said: Said):
    assert relais(home, "snapshot", "list") == Exit.DONE
    with disk.out_of_inodes():
        assert relais(home, "snapshot", "load", str(night.base)) == Exit.REFUSED
        assert "No space left on device" in said.refusal()
        still_serves_the_first(home, night)
        assert folders(home) == ["1"]
    assert relais(home, "snapshot", "load", str(night.base)) == Exit.DONE
    with disk.out_of_inodes():
        assert relais(home, "snapshot", "prune", "--keep", "0") == Exit.DONE
        assert folders(home) == ["2"]
    assert (active(home), knows(home, night.leaver)) == (2, False)


def test_a_read_only_disk_refuses_and_is_served(night: Night, disk: Disk, said: Said):
    home = night.fresh(disk.root / "home")
    app.open_ledger(*open_home(home)).close()  # a worker has been here: the node has its copy of the orders
    with disk.read_only():
        assert relais(home, "snapshot", "load", str(night.base)) != Exit.DONE
        said.refusal()
        still_serves_the_first(home, night)
        Catalog.of(open_home(home)[0]).clean()
    assert relais(home, "snapshot", "load", str(night.base)) == Exit.DONE
    assert active(home) == 2


def test_an_operator_without_the_right_to_write_snapshots_is_told_so(night: Night, tmp_path: Path):
    """As another user than root, whom no mode holds back."""
    home = night.fresh(tmp_path / "home")
    nobody = 65534 if os.geteuid() == 0 else os.geteuid()
    (home / "snapshots").chmod(0o555)
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, nobody, nobody)
        for folder in (night.base, *home.parents, *night.base.parents):
            if folder.is_relative_to(tmp_path.parent.parent):
                folder.chmod(folder.stat().st_mode | 0o055)

    def load() -> int:
        os.setresuid(nobody, nobody, nobody)
        return relais(home, "snapshot", "load", str(night.base))

    assert in_child(load, tmp_path / "log") == Exit.REFUSED
    told = (tmp_path / "log").read_text()
    assert told.count("\n") == 1, told
    assert "Permission denied" in told
    (home / "snapshots").chmod(0o755)
    still_serves_the_first(home, night)


def test_a_source_on_another_disk_is_loaded(night: Night, disk: Disk, tmp_path: Path, said: Said):
    """A rename between two file systems fails (EXDEV); the copy is made where it will stay."""
    home = night.fresh(tmp_path / "home")
    source = Path(shutil.copytree(night.base, disk.root / "night"))
    if disk.mounted:
        assert source.stat().st_dev != home.stat().st_dev
    assert relais(home, "snapshot", "load", str(source)) == Exit.DONE
    said.nothing()
    assert active(home) == 2


@pytest.mark.parametrize("kind", ["base", "delta"])
def test_a_process_without_descriptors_left_fails_in_one_line(night: Night, tmp_path: Path, kind: str):
    source = night.snapshot(kind)
    outcomes = set()
    for spare in range(40):
        home = night.fresh(tmp_path / str(spare))

        def load(home: Path = home, spare: int = spare) -> int:
            relais(home, "snapshot", "list")  # what is imported late is imported now
            os.closerange(3, 1024)  # the log too is written through 1 and 2
            resource.setrlimit(resource.RLIMIT_NOFILE, (3 + spare, 1024))
            return relais(home, "snapshot", "load", str(source))

        status = in_child(load, tmp_path / "log")
        told = (tmp_path / "log").read_text()
        outcomes.add(status)
        assert status in (Exit.DONE, Exit.REFUSED, Exit.UNAVAILABLE), (spare, told)
        assert "Traceback" not in told, (spare, told)
        assert active(home) == (2 if "order 2" in told or status == Exit.DONE else 1), (spare, status, told)
        assert knows(home, night.leaver) == (active(home) == 1)
        if status == Exit.DONE:
            break
    assert outcomes > {Exit.DONE}
