from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import DepotConflict, DepotError, DepotMissing, DepotUnavailable, OperatorError
from service.settings import SyncSettings
from service.snapshot import depot_bucket
from service.snapshot.depot import Address, Depot, open_depot, parse_address
from tests.buckets import BUCKET, environment

NAME = "snapshots/5-abcdefghijklmnop/records.lmdb"
SETTINGS = SyncSettings(allow_http=True)
_prefixes = itertools.count()


@pytest.fixture(params=["folder", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Address:
    """A new depot of each kind."""
    if request.param == "folder":
        return parse_address(tmp_path.as_uri())
    for name, value in environment(request.getfixturevalue("moto")).items():
        monkeypatch.setenv(name, value)
    return parse_address(f"s3://{BUCKET}/tests/{next(_prefixes)}")


@pytest.fixture
def depot(address: Address) -> Depot:
    return open_depot(address, SETTINGS)


def whole(depot: Depot, name: str = NAME) -> bytes:
    return b"".join(depot.read(name, 0, 1 << 30).parts)


def put(depot: Depot, data: bytes, name: str = NAME) -> bool:
    middle = len(data) // 2
    return depot.create(name, iter((data[:middle], data[middle:])), len(data))


def test_what_is_created_is_read_as_it_was_under_its_name_alone(depot: Depot):
    assert put(depot, b"some bytes")
    delivery = depot.read(NAME, 0, 1 << 30)
    assert (delivery.size, b"".join(delivery.parts)) == (10, b"some bytes")
    assert delivery.tag == depot.tag(NAME) != ""
    with pytest.raises(DepotMissing):
        depot.tag("snapshots/5-abcdefghijklmnop/manifest.json")


def test_a_name_is_taken_once(depot: Depot):
    assert put(depot, b"first")
    assert not put(depot, b"second")
    assert whole(depot) == b"first"


@pytest.mark.parametrize(
    ("start", "stop", "found"), [(0, 4, b"some"), (5, 10, b"bytes"), (5, 99, b"bytes"), (9, 10, b"s")]
)
def test_a_range_is_read_and_the_whole_size_told(depot: Depot, start: int, stop: int, found: bytes):
    put(depot, b"some bytes")
    delivery = depot.read(NAME, start, stop)
    assert (delivery.size, b"".join(delivery.parts)) == (10, found)


def test_nothing_is_there_before_it_is_published(depot: Depot):
    for look in (lambda: depot.tag("latest"), lambda: depot.read("latest", 0, 10)):
        with pytest.raises(DepotMissing):
            look()


def test_a_swap_takes_what_was_read_and_nothing_else(depot: Depot):
    with pytest.raises(DepotConflict):
        depot.swap("latest", b"0", '"0123456789abcdef0123456789abcdef"')
    depot.swap("latest", b"1", None)
    with pytest.raises(DepotConflict):
        depot.swap("latest", b"2", None)
    first = depot.tag("latest")
    depot.swap("latest", b"2", first)
    with pytest.raises(DepotConflict):
        depot.swap("latest", b"3", first)
    assert whole(depot, "latest") == b"2"
    assert depot.tag("latest") != first


def test_of_many_swaps_at_once_one_wins_and_the_others_are_told(address: Address):
    depot = open_depot(address, SETTINGS)
    depot.swap("latest", b"before", None)
    tag = depot.tag("latest")
    won: list[bytes] = []
    told: list[DepotError] = []

    def swap(data: bytes) -> None:
        try:
            open_depot(address, SETTINGS).swap("latest", data, tag)
        except DepotError as error:
            told.append(error)
        else:
            won.append(data)

    run_all([threading.Thread(target=swap, args=(b"%d" % number,)) for number in range(4)])
    assert len(won) == 1
    assert [type(error) for error in told] == [DepotConflict] * 3
    assert whole(depot, "latest") == won[0]


def test_of_many_creations_at_once_one_wins(address: Address):
    made: list[bytes] = []

    def create(data: bytes) -> None:
        if put(open_depot(address, SETTINGS), data):
            made.append(data)

    run_all([threading.Thread(target=create, args=(b"%d" % number,)) for number in range(4)])
    assert len(made) == 1
    assert whole(open_depot(address, SETTINGS)) == made[0]


def test_a_source_that_fails_half_way_leaves_the_name_free(depot: Depot):
    def parts() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("no more")

    with pytest.raises((ValueError, DepotError)):
        depot.create(NAME, parts(), 8)
    with pytest.raises(DepotMissing):
        depot.tag(NAME)
    assert put(depot, b"whole")


def test_what_goes_up_in_parts_is_create_only_too(depot: Depot, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(depot_bucket, "SINGLE_PUT_BYTES", 4)
    data = bytes(range(256)) * 100
    assert put(depot, data)
    assert not put(depot, data[::-1])
    assert whole(depot) == data

    def parts() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("no more")

    with pytest.raises((ValueError, DepotError)):
        depot.create("snapshots/6-abcdefghijklmnop/records.lmdb", parts(), 8)
    with pytest.raises(DepotMissing):
        depot.tag("snapshots/6-abcdefghijklmnop/records.lmdb")


def test_what_is_gone_is_unavailable_and_not_empty(moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in environment(1).items():
        monkeypatch.setenv(name, value)
    for address in (Address(bucket=BUCKET, prefix="x/"), Address(folder=tmp_path / "unmounted")):
        depot = open_depot(address, SETTINGS)
        for call in (
            lambda depot=depot: depot.tag("latest"),
            lambda depot=depot: depot.read("latest", 0, 10),
        ):
            with pytest.raises(DepotUnavailable):
                call()


def test_in_a_folder_only_files_are_read(tmp_path: Path):
    depot = open_depot(parse_address(str(tmp_path)), SETTINGS)
    (tmp_path / "secret").write_bytes(b"somebody's")
    for make in (
        lambda path: path.symlink_to(tmp_path / "secret"),
        lambda path: path.mkdir(),
        os.mkfifo,
    ):
        make(tmp_path / "latest")
        for look in (lambda: depot.tag("latest"), lambda: depot.read("latest", 0, 10)):
            with pytest.raises(DepotError):
                look()
        (tmp_path / "latest").rename(tmp_path / f"aside-{next(_prefixes)}")


def test_what_a_killed_publisher_left_in_a_folder_goes_with_a_later_one(tmp_path: Path):
    depot = open_depot(parse_address(str(tmp_path)), SETTINGS)
    aside = tmp_path / ".publishing"
    aside.mkdir()
    for name, age in (("old", 2 * 24 * 3600), ("recent", 60)):
        (aside / name).write_bytes(b"half")
        written = time.time() - age
        os.utime(aside / name, (written, written))
    put(depot, b"whole")
    assert [path.name for path in aside.iterdir()] == ["recent"]


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s3://bucket", "s3://bucket/"),
        ("s3://bucket/", "s3://bucket/"),
        ("s3://bucket/a/b", "s3://bucket/a/b/"),
        ("s3://bucket/a/b/", "s3://bucket/a/b/"),
        ("file:///srv/depot", "file:///srv/depot"),
        ("file:///srv/a%20b", "file:///srv/a%20b"),
        ("/srv/depot", "file:///srv/depot"),
    ],
)
def test_a_depots_address_is_shown_as_it_was_meant(text: str, found: str):
    assert str(parse_address(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIASYNTH:sesame@bucket/prefix",
        "s3://sesame@bucket/prefix",
        "s3://bucket/prefix?X-Amz-Signature=sesame",
        "s3://bucket/prefix#sesame",
        "https://sesame.example/bucket",
        "s3:///sesame",
        "s3://bucket/../sesame",
        "s3://bucket/a//sesame",
        "s3://bucket/a b sesame",
        "s3://sesame_bucket/a",
        "file://sesame.example/srv",
        "file://",
        "gs://sesame/a",
        "http://[sesame",
    ],
)
def test_another_url_is_refused_and_never_repeated(text: str):
    with pytest.raises(OperatorError) as refused:
        parse_address(text)
    assert "sesame" not in str(refused.value)


def test_without_the_extra_a_bucket_is_refused_in_one_line_and_a_folder_works(tmp_path: Path):
    code = f"""
import sys
sys.modules["obstore"] = None
from service.cli.main import _run
sys.exit(_run(["snapshot", "sync", "s3://bucket/prefix", "--once", "--home", {str(tmp_path)!r}]))
"""
    (tmp_path / "relais.toml").write_text("")
    (tmp_path / "control").mkdir()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("pip install relais-droits[bucket]")
    assert done.stderr.count("\n") == 1
    assert open_depot(parse_address(str(tmp_path)), SETTINGS).source == tmp_path.as_uri()
