"""`relais journal verify` names every kind of damage: its cause, segment, entries and line, and by its exit status."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import orjson
import pytest

from service.base64url import sha256_b64u
from service.cli.home import create_home
from service.cli.main import _run
from service.control.fleet import FleetStore
from service.journal.damage import REMARKS, Cause
from service.journal.entries import (
    HEAD_TYP,
    HEADER_TYP,
    encode,
    head_line,
    header_line,
    parse_head,
    parse_header,
    unverified_payload,
)
from service.journal.segment import key_path, segment_paths
from service.journal.writer import JournalWriter
from service.jws import sign_compact
from service.keyfiles import KeyUse, load_jwks, load_private, write_new_key
from service.settings import Home
from tests.unit.journal.journal_node import NOW, ManualClock, pending

#: By line from 0: header, entry 0, head, entries 1-4, head, entry 5, head, entries 6-8, head.
BATCHES = (1, 4, 1, 3)
COPY = "ffffffff-ffff-7000-8000-000000000000"
Lines = list[bytes]
#: cause, segment ("first", "second", the copy's name, or "another"), first and last entry, line (from 1).
Found = tuple[str, str, int | None, int | None, int | None]


async def write(home: Home, at: dt.datetime, *batches: int, back: dt.timedelta = dt.timedelta()) -> None:
    """A segment of batches; the clock goes `back` before the last one."""
    clock, register = ManualClock(at), FleetStore(home.fleet)
    key, officers = load_private(home.keys / "receipt.jwk"), load_jwks(home.keys / "officer.pub.jwk")
    writer = JournalWriter(home.journal, "node-1", 0, key, officers, clock, register)
    await writer.start()
    for number, size in enumerate(batches, 1):
        clock.value -= back if number == len(batches) else dt.timedelta()
        await asyncio.gather(*[writer.record(pending(one)) for one in range(size)])
    await writer.close()
    register.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two segments of one worker, the second after the first; a test takes a copy."""
    home = create_home(tmp_path_factory.mktemp("causes") / "home")
    write_new_key(KeyUse.OFFICER, home.keys / "officer.jwk")
    asyncio.run(write(home, NOW, *BATCHES))
    asyncio.run(write(home, NOW + dt.timedelta(hours=1), 2))
    return home


@pytest.fixture
def home(template: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(template.root, tmp_path / "home"))


def segments(home: Home) -> tuple[Path, Path]:
    first, second = segment_paths(home.journal)[:2]
    return first, second


def change(home: Home, how: Callable[[Lines], Lines]) -> None:
    path, _ = segments(home)
    path.write_bytes(b"".join(how(path.read_bytes().splitlines(keepends=True))))


def cut_second(home: Home, lines: int) -> None:
    _, path = segments(home)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))


def swap(one: int, other: int) -> Callable[[Lines], Lines]:
    def swapped(lines: Lines) -> Lines:
        lines[one], lines[other] = lines[other], lines[one]
        return lines

    return swapped


def bend(line: int, old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    def bent(lines: Lines) -> Lines:
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new, 1)
        return lines

    return bent


def rewrite_a_batch(home: Home) -> None:
    """With the true key: entry 5 is another one, and its head fits it."""
    path, _ = segments(home)
    lines = path.read_bytes().splitlines(keepends=True)
    head = parse_head(unverified_payload(orjson.loads(lines[9])["head"]))
    changed = lines[8].replace(b"pharmacie-1", b"pharmacie-2")
    forged = msgspec.structs.replace(head, entries=sha256_b64u(changed))
    token = sign_compact(encode(forged), HEAD_TYP, load_private(home.keys / "receipt.jwk"))
    path.write_bytes(b"".join([*lines[:8], changed, head_line(token), *lines[10:]]))


def rewrite_the_header(home: Home) -> None:
    """With the true key, under its own name: another history of the same segment begins."""
    path, _ = segments(home)
    lines = path.read_bytes().splitlines(keepends=True)
    header = parse_header(unverified_payload(orjson.loads(lines[0])["header"]))
    token = sign_compact(
        encode(msgspec.structs.replace(header, at="2024-02-05T09:00:00.000Z")),
        HEADER_TYP,
        load_private(home.keys / "receipt.jwk"),
    )
    path.write_bytes(b"".join([header_line(token), *lines[1:]]))


def rewrite_everything(home: Home) -> None:
    """With the true key, from the start, without the register knowing."""
    shutil.rmtree(home.journal)
    home.journal.mkdir()
    fleet = home.fleet.read_bytes()
    for path in home.fleet.parent.glob("fleet.db*"):
        path.unlink()
    FleetStore.create(home.fleet)
    asyncio.run(write(home, NOW + dt.timedelta(minutes=1), 2))
    for path in home.fleet.parent.glob("fleet.db*"):
        path.unlink()
    home.fleet.write_bytes(fleet)


def copy_first(home: Home) -> None:
    path, _ = segments(home)
    copy = path.with_name(f"{COPY}.jsonl")
    shutil.copy(path, copy)
    shutil.copy(key_path(path), key_path(copy))


def another_key(home: Home) -> None:
    for name in ("receipt.jwk", "receipt.pub.jwk"):
        (home.keys / name).unlink()
    write_new_key(KeyUse.RECEIPT, home.keys / "receipt.jwk")


def forget_register(home: Home) -> None:
    for path in home.fleet.parent.glob("fleet.db*"):
        path.unlink()
    FleetStore.create(home.fleet)


def append(home: Home, data: bytes) -> None:
    with segments(home)[1].open("ab") as file:
        file.write(data)


def append_entry(home: Home) -> None:
    """The next entry, as it stands before its head is written."""
    _, path = segments(home)
    entry = path.read_bytes().splitlines(keepends=True)[1]
    append(home, entry.replace(b'"n":0', b'"n":2'))


DAMAGES: dict[str, tuple[Callable[[Home], object], list[Found]]] = {
    "an entry gone": (lambda home: change(home, lambda lines: lines[:4] + lines[5:]), [("gap", "first", 2, 2, 5)]),
    "the last entry of a batch gone": (
        lambda home: change(home, lambda lines: lines[:6] + lines[7:]),
        [("gap", "first", 4, 4, 7)],
    ),
    "a head gone": (lambda home: change(home, lambda lines: lines[:9] + lines[10:]), [("gap", "first", 5, 5, 13)]),
    "a batch gone": (lambda home: change(home, lambda lines: lines[:3] + lines[8:]), [("gap", "first", 1, 4, 4)]),
    "cut at a head": (
        lambda home: change(home, lambda lines: lines[:10]),
        [("cut", "first", 6, None, None), ("cut", "first", 6, 8, None)],
    ),
    "the last segment cut": (lambda home: cut_second(home, 1), [("cut", "second", 0, 1, None)]),
    "the first segment gone": (
        lambda home: segments(home)[0].unlink(),
        [("missing_segment", "first", None, None, None)] * 2,
    ),
    "the last segment gone": (
        lambda home: segments(home)[1].unlink(),
        [("missing_segment", "second", None, None, None)],
    ),
    "an entry twice": (
        lambda home: change(home, lambda lines: lines[:5] + lines[4:]),
        [("duplicate_entry", "first", 2, 2, 6)],
    ),
    "a batch twice": (
        lambda home: change(home, lambda lines: lines[:8] + lines[3:]),
        [("duplicate_entry", "first", 1, 1, 9)],
    ),
    "a segment copied": (
        copy_first,
        [("duplicate_segment", COPY, None, None, None), ("unregistered", COPY, None, None, None)],
    ),
    "two entries exchanged": (lambda home: change(home, swap(4, 5)), [("reordered", "first", 2, 2, 5)]),
    "a batch rewritten": (rewrite_a_batch, [("fork", "first", 6, 8, 14)]),
    "the header rewritten": (
        rewrite_the_header,
        [("fork", "first", 0, 0, 3), ("fork", "first", 0, None, None)],
    ),
    "rewritten from the start": (
        rewrite_everything,
        [
            ("missing_segment", "first", None, None, None),
            ("missing_segment", "second", None, None, None),
            ("unregistered", "another", None, None, None),
        ],
    ),
    "a byte of an entry": (
        lambda home: change(home, bend(8, b"pharmacie-1", b"pharmacie-9")),
        [("edit", "first", 5, 5, 10)],
    ),
    "a byte of a sealed part": (
        lambda home: change(home, bend(5, b'"sealed":"', b'"sealed":"A')),
        [("edit", "first", 1, 4, 8)],
    ),
    "a byte of a head": (
        lambda home: change(home, bend(9, b'{"head":"', b'{"head":"A')),
        [("edit", "first", 5, 5, 10)],
    ),
    "a byte of the header": (
        lambda home: change(home, bend(0, b'{"header":"', b'{"header":"A')),
        [("edit", "first", None, None, None)],
    ),
    "an instant": (
        lambda home: change(home, bend(8, b"2024-02-05T09", b"2024-02-05T08")),
        [("edit", "first", 5, 5, 10)],
    ),
    "another receipt key": (
        another_key,
        [("unknown_key", "first", None, None, None), ("unknown_key", "second", None, None, None)],
    ),
    "a key file changed": (
        lambda home: key_path(segments(home)[0]).write_bytes(b"{}"),
        [("key_file_changed", "first", None, None, None)],
    ),
    "a key file gone": (
        lambda home: key_path(segments(home)[0]).unlink(),
        [("key_file_changed", "first", None, None, None)],
    ),
}
REMARKED: dict[str, tuple[Callable[[Home], object], list[Found]]] = {
    "a torn line": (lambda home: append(home, b'{"at":"2024'), [("torn_tail", "second", 2, None, None)]),
    "lines without a head": (append_entry, [("torn_tail", "second", 2, None, None)]),
    "a clock that went back": (
        lambda home: asyncio.run(write(home, NOW, 1, 2, back=dt.timedelta(minutes=5))),
        [("clock_back", "another", 1, 2, 6)],
    ),
    "a register made anew": (
        forget_register,
        [("unregistered", "first", None, None, None), ("unregistered", "second", None, None, None)],
    ),
}


def verified(home: Home, names: dict[str, str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[Found]]:
    """Exit status and findings, which the words tell as well as the document."""
    status = _run(["journal", "verify", "--home", str(home.root), "--json"])
    report = json.loads(capsys.readouterr().out)
    findings = report["findings"]
    assert report["whole"] is (status == 0)
    assert any(one["damages"] for one in findings) is not report["whole"]
    assert _run(["journal", "verify", "--home", str(home.root)]) == status
    said = capsys.readouterr()
    for one in findings:
        text = said.err if one["damages"] else said.out
        assert f"{one['cause'].replace('_', ' ')}: segment {one['segment']}" in text
    return status, [
        (one["cause"], names.get(one["segment"], "another"), one["first"], one["last"], one["line"]) for one in findings
    ]


@pytest.mark.parametrize("name", [*DAMAGES, *REMARKED])
def test_every_damage_is_named_and_no_remark_is_damage(home: Home, name: str, capsys: pytest.CaptureFixture[str]):
    first, second = segments(home)
    how, expected = (DAMAGES | REMARKED)[name]
    how(home)
    found = verified(home, {first.stem: "first", second.stem: "second", COPY: COPY}, capsys)
    assert found == (1 if name in DAMAGES else 0, expected)


def test_every_cause_there_is_is_planted_here():
    damages = {cause for _, found in DAMAGES.values() for cause, *_ in found} - REMARKS
    remarks = {cause for _, found in REMARKED.values() for cause, *_ in found}
    assert (damages | remarks, remarks) == ({*Cause}, REMARKS)
