"""What reads is read, and what does not is told, whatever was done to the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.journal.officer import OfficerPrivateKey
from service.journal.segment import key_path
from service.journal.selection import Reading, Selection
from tests.unit.journal.breach import FIRST, HONEST, Shown, record
from tests.unit.journal.journal_node import Node, officer

BATCHES = (2, 3, 1)
#: Header, then each batch with its head.
HEADER, FIRST_HEAD, SECOND_HEAD, LAST_HEAD = 0, 3, 7, 9
Lines = list[bytes]
KEY = officer()


@pytest.fixture
async def written(node: Node) -> Node:
    await node.write(*BATCHES)
    return node


def read(node: Node, opener: OfficerPrivateKey | None = KEY) -> tuple[list[int], dict[str, str]]:
    """The numbers of the entries that are read, and what is told of what is not."""
    reading = Reading(node.directory, Selection(), opener)
    return [opened.entry.n for _, opened in reading.entries()], reading.broken_off


def change(node: Node, how: Callable[[Lines], Lines]) -> Path:
    path = node.segments()[0]
    path.write_bytes(b"".join(how(path.read_bytes().splitlines(keepends=True))))
    return path


def put(at: int, line: bytes) -> Callable[[Lines], Lines]:
    return lambda lines: [*lines[:at], line, *lines[at + 1 :]]


@pytest.mark.parametrize("line", [1, 2, 4, 5, 6, 8])
@pytest.mark.parametrize("junk", [b"junk\n", b"\xff\n", b"\n", b"x" * 9_000_000 + b"\n", b"{}\n"])
def test_a_line_that_does_not_read_costs_that_line_only(written: Node, line: int, junk: bytes):
    lost = line - 1 - (line > FIRST_HEAD) - (line > SECOND_HEAD)
    path = change(written, put(line, junk))
    found, told = read(written)
    assert found == [n for n in range(6) if n != lost]
    assert told == {path.stem: f"line {line + 1} is no entry as it was written"}


def test_a_head_that_does_not_read_costs_nothing(written: Node):
    change(written, put(FIRST_HEAD, b'{"haed":"x"}\n'))
    found, told = read(written)
    assert (found, len(told)) == ([0, 1, 2, 3, 4, 5], 1)


@pytest.mark.parametrize("opener", [KEY, None])
def test_without_its_header_a_segment_stays_sealed_but_is_counted(written: Node, opener: OfficerPrivateKey | None):
    change(written, lambda lines: lines[1:])
    reading = Reading(written.directory, Selection(), opener)
    entries = [opened for _, opened in reading.entries()]
    assert [opened.entry.n for opened in entries] == [0, 1, 2, 3, 4, 5]
    assert [opened.content for opened in entries] == [None] * 6
    assert len(reading.sealed) == len(reading.broken_off) == 1
    assert reading.to_others == []


@pytest.mark.parametrize("zeros", [b"\0" * 50, b"\0" * 50 + b"\n"])
def test_zeros_before_another_head_are_damage_and_after_the_last_a_tear(written: Node, zeros: bytes):
    path = change(written, put(4, zeros))
    found, told = read(written)
    # Without its newline the zeros take the next line with them.
    assert found == ([0, 1, 3, 4, 5] if zeros.endswith(b"\n") else [0, 1, 4, 5])
    assert told == {path.stem: "zeros stand where lines should"}
    change(written, lambda lines: lines[: SECOND_HEAD + (0 if zeros.endswith(b"\n") else 1)])
    assert read(written) == ([0, 1], {})


def test_what_follows_the_last_head_was_told_to_nobody(written: Node):
    change(written, lambda lines: lines[:LAST_HEAD])
    assert read(written) == ([0, 1, 2, 3, 4], {})
    change(written, lambda lines: [*lines[:-1], lines[-1][:40]])
    assert read(written) == ([0, 1, 2, 3, 4], {})


@pytest.mark.parametrize("opener", [KEY, None])
def test_a_copy_under_another_name_is_not_counted_again(written: Node, opener: OfficerPrivateKey | None):
    true = written.segments()[0]
    copy = written.directory / "018d7892-ffff-7000-8000-000000000000.jsonl"
    copy.write_bytes(true.read_bytes())
    key_path(copy).write_bytes(key_path(true).read_bytes())
    found, told = read(written, opener)
    assert found == [0, 1, 2, 3, 4, 5]
    assert told == {copy.stem: f"its header is that of segment {true.stem}"}


async def test_only_segments_with_wanted_answers_need_to_open(node: Node):
    await record(node, [Shown(1, open_at=(FIRST,), client=HONEST)])
    key_path(node.segments()[0]).unlink()
    reading = Reading(node.directory, Selection(client="another"), officer())
    assert (list(reading.entries()), reading.sealed) == ([], {})


def test_segments_of_other_officers_are_told_apart_from_lost_keys(written: Node):
    reading = Reading(written.directory, Selection(), officer(8))
    assert [opened.content for _, opened in reading.entries()] == [None] * 6
    assert reading.to_others == list(reading.sealed) == [written.segments()[0].stem]
    key_path(written.segments()[0]).unlink()
    lost = Reading(written.directory, Selection(), officer())
    assert len(list(lost.entries())) == 6
    assert (lost.sealed, lost.to_others) == ({written.segments()[0].stem: "its key file is missing"}, [])


async def test_it_tells_how_far_it_is_in_bytes_and_ends_with_all(written: Node):
    await written.write(4)
    told: list[tuple[int, int]] = []
    list(Reading(written.directory, Selection(), None, lambda done, total: told.append((done, total))).entries())
    size = sum(path.stat().st_size for path in written.segments())
    assert {total for _, total in told} == {size}
    assert len(told) == len(BATCHES) + 1 + 1
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (size, size)
