"""Endless data: a source that never ends, or is far longer than was signed. It is refused without being read."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.forge import MANIFEST, RECORDS, Forge, encoded_json
from tests.attacks.victim import Victim, in_child

SIZE = "1 size caps"
FILES = "7 file list, sizes, SHA-256"
TERABYTE = 2**40
#: What a refusal may read at most: a manifest, the orders, a few modules.
LITTLE = 32 * 2**20


def bytes_read() -> int:
    """What this process has read so far, by the kernel's count."""
    lines = Path("/proc/self/io").read_text("ascii").splitlines()
    return int(lines[0].removeprefix("rchar: "))


@pytest.mark.parametrize(
    ("name", "size", "step", "expected", "found"),
    [
        (RECORDS, TERABYTE, SIZE, "a file of at most 68719476736 bytes", f"{TERABYTE} bytes"),
        (RECORDS, 2**36, FILES, "records.lmdb of {signed} bytes", f"{2**36} bytes: too long"),
        (MANIFEST, TERABYTE, SIZE, "manifest.json of at most 1048576 bytes", f"{TERABYTE} bytes"),
        (MANIFEST, 2**20 + 1, SIZE, "manifest.json of at most 1048576 bytes", f"{2**20 + 1} bytes"),
    ],
    ids=["records of a terabyte", "records of 64 GiB", "a manifest of a terabyte", "a manifest of a byte too much"],
)
def test_a_file_longer_than_signed_is_refused_unread(
    victim: Victim, forge: Forge, second: Path, name: str, size: int, step: str, expected: str, found: str
):
    folder = forge.copy(second)
    signed = (second / name).stat().st_size
    os.truncate(folder / name, size)  # sparse: costs nothing to make
    before = bytes_read()
    victim.refuses(folder, step, expected.format(signed=signed), found)
    assert bytes_read() - before < LITTLE
    victim.takes(second, 2)


def test_one_byte_more_than_signed_is_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    data = (second / RECORDS).read_bytes()
    forge.put(folder / RECORDS, data + b"\0")
    victim.refuses(folder, FILES, f"records.lmdb of {len(data)} bytes", f"{len(data) + 1} bytes: too long")
    victim.takes(second, 2)


def test_a_signed_size_beyond_the_cap_is_refused_however_it_is_signed(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    files = [{**forge.payload(folder)["files"][0], "size": 2**37}]
    forge.rewrite(folder, files=files)
    os.truncate(folder / RECORDS, 2**37)
    before = bytes_read()
    victim.refuses(folder, SIZE, "a file of at most 68719476736 bytes", f"{2**37} bytes")
    assert bytes_read() - before < LITTLE
    victim.takes(second, 2)


def pipe(path: Path) -> None:
    """Nobody ever writes into it."""
    os.mkfifo(path)


def endless_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_a_terminal(path: Path) -> None:
    path.symlink_to("/dev/stdin")


def folder_of_that_name(path: Path) -> None:
    path.mkdir()


def endpoint(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


ENDLESS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (pipe, "a folder, a pipe or a device"),
    "a link to /dev/zero": (endless_link, "a link or unreadable: Too many levels of symbolic links"),
    "a link to /dev/stdin": (link_to_a_terminal, "a link or unreadable: Too many levels of symbolic links"),
    "a folder": (folder_of_that_name, "a folder, a pipe or a device"),
    "a socket": (endpoint, "a link or unreadable: No such device or address"),
}


@pytest.mark.parametrize("name", [MANIFEST, RECORDS])
@pytest.mark.parametrize(("make", "found"), ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_refused_and_not_waited_for(
    victim: Victim,
    forge: Forge,
    second: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path], None],
    found: str,
):
    folder = forge.copy(second)
    (folder / name).unlink()
    monkeypatch.chdir(folder)  # the name of a socket may only be short
    make(Path(name))
    # First where it can be killed, should it wait.
    assert in_child(lambda: victim.load(folder).status) == 1
    victim.refuses(folder, FILES, f"a regular file {name}", found)
    victim.takes(second, 2)


def test_a_folder_without_end_is_refused_after_a_few_names(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    for number in range(500):
        (folder / f"file-{number}").touch()
    victim.refuses(folder, SIZE, "at most 64 entries", "more")
    victim.takes(second, 2)


def test_a_manifest_without_end_inside_is_refused_by_its_length(victim: Victim, forge: Forge, second: Path):
    """Many AMCs, many signatures or much white space: one cap covers all of them, before anything is parsed."""
    for members in ({"signatures": [{}] * 400_000}, {"payload": "A" * 2**20}, {"padding": " " * 2**20}):
        folder = forge.copy(second)
        document = encoded_json({**forge.document(folder), **members})
        forge.put(folder / MANIFEST, document)
        victim.refuses(folder, SIZE, "manifest.json of at most 1048576 bytes", f"{len(document)} bytes")
    victim.takes(second, 2)
