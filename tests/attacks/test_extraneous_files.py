"""Extraneous files: what lies beside the signed ones is nobody's word, and is not taken along."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.attacks.forge import RECORDS, Forge, sha256
from tests.attacks.victim import Victim

FILES = "7 file list, sizes, SHA-256"
NONE = "no other file than the manifest names"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("readme.txt", "readme.txt"),
        (".hidden", ".hidden"),
        ("records.lmdb-lock", "records.lmdb-lock"),
        ("lock.mdb", "lock.mdb"),
        ("manifest.json~", "manifest.json~"),
        ("MANIFEST.JSON", "MANIFEST.JSON"),
        ("records.lmdb ", "records.lmdb "),
        ("line\nbreak", "line\\nbreak"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("r\u0435cords.lmdb", "r\\u0435cords.lmdb"),
        ("n" * 255, "n" * 80),
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_an_extraneous_file_is_refused_and_named_harmlessly(
    victim: Victim, forge: Forge, second: Path, name: str, told: str
):
    folder = forge.copy(second)
    (folder / name).write_bytes(b"hello")
    victim.refuses(folder, FILES, NONE, told)
    victim.takes(second, 2)


def test_an_extraneous_name_that_is_no_text_is_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    (Path(str(folder)) / b"\xff\xfe.txt".decode("utf-8", "surrogateescape")).write_bytes(b"hello")
    victim.refuses(folder, FILES, NONE, "\\udcff\\udcfe.txt")
    victim.takes(second, 2)


def test_an_extraneous_folder_or_dead_link_is_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    (folder / "more").mkdir()
    victim.refuses(folder, FILES, NONE, "more")
    (folder / "more").rmdir()
    (folder / "more").symlink_to("nowhere")
    victim.refuses(folder, FILES, NONE, "more")
    victim.takes(second, 2)


def test_many_extraneous_files_make_no_endless_line(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    for number in range(60):
        (folder / f"{number:03}{'n' * 200}").touch()
    victim.refuses(folder, FILES, NONE, re.compile(r"(?:\d{3}n{77}, ){7}\d{3}n{77}"))
    victim.takes(second, 2)


def test_a_second_data_file_is_refused_though_signed(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    data = (folder / RECORDS).read_bytes()
    (folder / "more.lmdb").write_bytes(data)
    more = {"name": "more.lmdb", "size": len(data), "sha256": sha256(data)}
    forge.rewrite(folder, files=[*forge.payload(folder)["files"], more])
    victim.refuses(folder, FILES, "exactly the data file records.lmdb", "more.lmdb, records.lmdb")
    victim.takes(second, 2)
