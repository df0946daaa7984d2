"""Wrong file names and path traversal: signed names that lead elsewhere, or look like the right one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.attacks.forge import RECORDS, Forge, sha256
from tests.attacks.victim import Victim

FORMAT = "3 parse and format"
FILES = "7 file list, sizes, SHA-256"
NAMES = "plain file names"


def entry(name: str, data: bytes) -> dict[str, object]:
    return {"name": name, "size": len(data), "sha256": sha256(data)}


TRAVERSALS = [
    "../records.lmdb",
    "../../home/trust.json",
    "../1/records.lmdb",
    "..",
    ".",
    "/etc/passwd",
    "/dev/zero",
    "//server/share",
    "a/b",
    "a/../records.lmdb",
    "./records.lmdb",
    "records.lmdb/",
    "..\\records.lmdb",
    "C:\\records.lmdb",
    "~/records.lmdb",
    "%2e%2e%2frecords.lmdb",
    "records.lmdb\0.txt",
    "\0",
    "records.lmdb\n",
    " records.lmdb",
    "\x1b[2J.x",
    "r\u0435cords.lmdb",  # Cyrillic
    "\uff52ecords.lmdb",  # full width
    "records\u2024lmdb",  # one dot leader
    "..\u2215x",  # division slash
    "re\u0301cords.lmdb",  # combining
    "records.lmdb\u200b",  # zero width
    "\u202erecords.lmdb",  # right to left
    "\ud800.x",  # half a character
    "RECORDS.LMDB",
    "manifest.json",
    "-rf.x",
    "records",
]


@pytest.mark.parametrize("name", TRAVERSALS, ids=ascii)
def test_a_signed_name_that_leads_elsewhere_is_refused(victim: Victim, forge: Forge, second: Path, name: str):
    folder = forge.copy(second)
    data = (folder / RECORDS).read_bytes()
    forge.rewrite(folder, files=[entry(name, data)])
    # Where such a file can be, it is: nothing but the name speaks against it.
    for place in (folder / "a", folder / "~", folder.parent / "1"):
        place.mkdir()
    if "\0" not in name and "\ud800" not in name and not name.startswith(("/", "manifest", "../../")):
        target = Path(os.path.normpath(folder / name))
        if not target.exists():
            target.write_bytes(data)
    around = sorted(forge.room.rglob("*"))
    victim.refuses(folder, FILES, NAMES, ascii(name)[1:-1])
    left = sorted(forge.room.rglob("*"))
    assert [path for path in left if path not in around] == [folder.with_name("candidate.verdict.json")]
    victim.takes(second, 2)


@pytest.mark.parametrize("name", ["con.txt", "nul.lmdb", "aux.x", "com1.dat", "record.lmdb", "records.lmd8"])
def test_a_plain_name_that_is_not_ours_is_refused(victim: Victim, forge: Forge, second: Path, name: str):
    folder = forge.copy(second)
    (folder / RECORDS).rename(folder / name)
    forge.rewrite(folder, files=[{**forge.payload(folder)["files"][0], "name": name}])
    victim.refuses(folder, FILES, "exactly the data file records.lmdb", name)
    victim.takes(second, 2)


@pytest.mark.parametrize("name", ["", "n" * 201, None, 7, ["records.lmdb"]], ids=lambda name: ascii(name)[:12])
def test_a_name_that_cannot_be_one_is_refused_with_the_format(victim: Victim, forge: Forge, second: Path, name: object):
    folder = forge.copy(second)
    forge.rewrite(folder, files=[{**forge.payload(folder)["files"][0], "name": name}])
    found = re.compile(r".*`\$\.files\[0\]\.name`")
    victim.refuses(folder, FORMAT, "a manifest of format relais-snapshot/1", found)
    victim.takes(second, 2)


def test_one_name_twice_is_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    files = forge.payload(folder)["files"]
    forge.rewrite(folder, files=[*files, {**files[0], "sha256": sha256(b"another")}])
    victim.refuses(folder, FORMAT, "each file once", "a file twice")
    victim.takes(second, 2)


def test_no_files_at_all_is_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.rewrite(forge.copy(second), files=[])
    victim.refuses(folder, FORMAT, "files and salt together, both absent only in an empty delta", "another combination")
    victim.takes(second, 2)


@pytest.mark.parametrize(
    "text", ["Mutuelle\x1b[2J", "two\nlines", "\u202eelleutuM", "half \ud800", "\x00", "tab\there"], ids=ascii
)
@pytest.mark.parametrize("member", ["name", "pepper_kid", "basis"])
def test_a_text_that_would_write_on_a_signers_terminal_is_refused(
    victim: Victim, forge: Forge, second: Path, member: str, text: str
):
    """Signers look at a manifest before anybody vouches for it: what it says must not steer their screen."""
    folder = forge.copy(second)
    first, *others = forge.payload(folder)["amcs"]
    if member == "name":
        forge.rewrite(folder, amcs=[{**first, "name": text}, *others])
    elif member == "basis":
        guarantee = {"basis": text, "until": None, "ceiling_cents": None}
        forge.rewrite(folder, amcs=[{**first, "stand_in": {**first["stand_in"], "guarantee": guarantee}}, *others])
    else:
        forge.rewrite(folder, pepper_kid=text)
    victim.refuses(folder, FORMAT, "texts that can be shown", f"the {member} {ascii(text)[1:-1]}")
    for command in ("inspect", "verify"):
        said = victim.relais("snapshot", command, folder)
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    victim.takes(second, 2)
