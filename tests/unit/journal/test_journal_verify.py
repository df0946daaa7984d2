"""Every damage to a journal is named: its cause, its segment, its entry."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.base64url import sha256_b64u
from service.journal.damage import Cause
from service.journal.entries import HEAD_TYP, encode, head_line, parse_head, unverified_payload
from service.journal.verify import JournalReport, verify_journal
from service.jws import sign_compact
from tests.unit.journal.journal_node import NODE, Node, pending, signing_key

BATCHES = (1, 4, 1, 3)


def check(node: Node, *, register: bool = True) -> JournalReport:
    return verify_journal(node.directory, node.keys, node.register if register else None)


def causes(report: JournalReport) -> set[Cause]:
    return {finding.cause for finding in report.findings}


def rewrite(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))


def read(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


@pytest.fixture
async def written(node: Node) -> Node:
    await node.write(*BATCHES)
    return node


@pytest.fixture(scope="module")
def template() -> Node:
    """One segment, written once; a test takes a copy."""
    made = Node(Path(tempfile.mkdtemp()) / "journal")
    asyncio.run(made.write(*BATCHES))
    return made


@pytest.fixture
def copy(template: Node, tmp_path: Path) -> Node:
    return take_copy(template, tmp_path)


def take_copy(template: Node, into: Path) -> Node:
    taken = Node(into / "copy")
    shutil.copytree(template.directory, taken.directory)
    taken.register.known = dict(template.register.known)
    return taken


def entries_of(lines: list[bytes], index: int) -> set[int]:
    """Entry numbers in the batch that line `index` belongs to (its head included); empty for the header."""
    if index == 0:
        return set()
    head = next(line for line in lines[index:] if line.startswith(b'{"head"'))
    payload = parse_head(unverified_payload(orjson.loads(head)["head"]))
    return set(range(payload.first, payload.first + payload.size))


def names(report: JournalReport, concerned: set[int]) -> bool:
    """Whether damage is reported at one of these entries (or at the header, for none)."""
    damage = [finding for finding in report.findings if finding.damages]
    if not concerned:
        return bool(damage)
    return any(
        finding.first is not None and concerned & set(range(finding.first, (finding.last or finding.first) + 1))
        for finding in damage
    )


LINES = 1 + sum(BATCHES) + len(BATCHES)


def test_what_was_written_is_whole(template: Node):
    report = check(template)
    assert report.whole
    assert (report.segments, report.entries, report.batches, report.findings) == (1, 9, 4, ())


@settings(max_examples=150, deadline=None)
@given(line=st.integers(0, LINES - 1), data=st.data())
def test_any_byte_changed_is_named(template: Node, line: int, data: st.DataObject):
    with tempfile.TemporaryDirectory() as place:
        node = take_copy(template, Path(place))
        lines = read(node.segments()[0])
        at = data.draw(st.integers(0, len(lines[line]) - 1))
        bit = data.draw(st.integers(0, 7))
        changed = bytearray(lines[line])
        changed[at] ^= 1 << bit
        concerned = entries_of(lines, line)
        rewrite(node.segments()[0], [*lines[:line], bytes(changed), *lines[line + 1 :]])
        report = check(node)
        assert not report.whole
        assert names(
            report,
            concerned | (entries_of(lines, line + 1) if line + 1 < LINES and at == len(lines[line]) - 1 else set()),
        )


@pytest.mark.parametrize("line", range(LINES))
def test_any_line_removed_is_named(copy: Node, line: int):
    lines = read(copy.segments()[0])
    rewrite(copy.segments()[0], lines[:line] + lines[line + 1 :])
    report = check(copy)
    assert names(report, entries_of(lines, line))
    if line > 0:
        assert causes(report) - {Cause.TORN_TAIL} <= {Cause.GAP, Cause.CUT}


@pytest.mark.parametrize("line", range(1, LINES))
def test_any_line_duplicated_is_named(copy: Node, line: int):
    lines = read(copy.segments()[0])
    rewrite(copy.segments()[0], lines[: line + 1] + lines[line:])
    report = check(copy)
    assert names(report, entries_of(lines, line))
    assert causes(report) == {Cause.DUPLICATE_ENTRY}


@settings(max_examples=100, deadline=None)
@given(pair=st.tuples(st.integers(1, LINES - 1), st.integers(1, LINES - 1)).filter(lambda pair: pair[0] < pair[1]))
def test_any_two_lines_exchanged_are_named(template: Node, pair: tuple[int, int]):
    with tempfile.TemporaryDirectory() as place:
        node = take_copy(template, Path(place))
        lines = read(node.segments()[0])
        first, second = pair
        concerned = entries_of(lines, first) | entries_of(lines, second)
        lines[first], lines[second] = lines[second], lines[first]
        rewrite(node.segments()[0], lines)
        report = check(node)
        assert not report.whole
        assert names(report, concerned)


def test_two_entries_of_a_batch_exchanged_are_called_reordered(copy: Node):
    lines = read(copy.segments()[0])
    lines[4], lines[5] = lines[5], lines[4]
    rewrite(copy.segments()[0], lines)
    (finding,) = check(copy).findings
    assert (finding.cause, finding.first, finding.line) == (Cause.REORDERED, 2, 5)


def test_two_batches_exchanged_are_called_a_gap_and_reordered(copy: Node):
    lines = read(copy.segments()[0])
    rewrite(copy.segments()[0], lines[:1] + lines[3:8] + lines[1:3] + lines[8:])
    found = [(finding.cause, finding.first, finding.last) for finding in check(copy).findings]
    assert found == [(Cause.GAP, 0, 0), (Cause.REORDERED, 0, 0)]


def test_an_entry_replaced_by_a_copy_of_its_neighbour_is_an_edit_of_that_entry(copy: Node):
    lines = read(copy.segments()[0])
    lines[4] = lines[5]
    rewrite(copy.segments()[0], lines)
    (finding,) = check(copy).findings
    assert (finding.cause, finding.first, finding.last) == (Cause.EDIT, 2, 2)


def test_two_damages_are_named_apart(copy: Node):
    lines = read(copy.segments()[0])
    lines[1] = lines[1].replace(b"pharmacie-1", b"pharmacie-2")
    lines[8] = lines[8].replace(b"pharmacie-1", b"pharmacie-2")
    rewrite(copy.segments()[0], lines)
    assert [(f.cause, f.first) for f in check(copy).findings] == [(Cause.EDIT, 0), (Cause.EDIT, 5)]


@pytest.mark.parametrize("size", [3, 1])
def test_a_cut_at_a_head_is_known_to_the_register(copy: Node, size: int):
    lines = read(copy.segments()[0])
    rewrite(copy.segments()[0], lines[: -1 - size])
    report = check(copy)
    assert Cause.CUT in causes(report)
    assert names(report, {6})


def test_a_torn_tail_is_reported_and_does_no_harm(copy: Node):
    lines = read(copy.segments()[0])
    copy.register.known = {
        name: type(segment)(name, NODE, 0, segment.header_sha256, None, 0)
        for name, segment in copy.register.known.items()
    }
    for kept in (lines[:-1], [*lines[:-2], lines[-2][:40]], [*lines, b"x" * 10], [*lines[:-3], b"\0" * 3000]):
        rewrite(copy.segments()[0], kept)
        report = check(copy)
        assert report.whole
        assert causes(report) == {Cause.TORN_TAIL}


def test_zeros_under_the_last_head_are_a_tear_but_under_an_earlier_one_an_edit(copy: Node):
    lines = read(copy.segments()[0])
    torn = [*lines[:-3], b"\0" * len(lines[-3]), *lines[-2:]]
    rewrite(copy.segments()[0], torn)
    assert check(copy, register=False).whole
    assert causes(check(copy)) == {Cause.TORN_TAIL, Cause.CUT}
    rewrite(copy.segments()[0], [lines[0], b"\0" * (len(lines[1]) - 1) + b"\n", *lines[2:]])
    assert causes(check(copy)) == {Cause.EDIT}


def test_a_line_without_end_is_not_read_into_memory(copy: Node):
    lines = read(copy.segments()[0])
    rewrite(copy.segments()[0], [*lines[:2], b"x" * (9 * 1024 * 1024) + b"\n", *lines[2:]])
    assert check(copy).findings[0].cause is Cause.EDIT


async def test_a_segment_removed_is_missing_to_its_follower_and_to_the_register(written: Node):
    await written.write(2)
    await written.write(2)
    removed = written.segments()[1]
    removed.unlink()
    for register in (True, False):
        report = check(written, register=register)
        assert causes(report) == {Cause.MISSING_SEGMENT}
        assert report.findings[0].segment == removed.stem
    written.segments()[-1].unlink()
    assert causes(check(written)) == {Cause.MISSING_SEGMENT}


async def test_a_former_segment_cut_is_named_without_the_register(written: Node):
    await written.write(1)
    lines = read(written.segments()[0])
    rewrite(written.segments()[0], lines[:-4])
    report = check(written, register=False)
    assert [(f.cause, f.segment, f.first) for f in report.findings] == [(Cause.CUT, written.segments()[0].stem, 6)]


async def test_a_segment_copied_under_another_name_is_named(written: Node):
    other = written.directory / "018d7892-ffff-7000-8000-000000000000.jsonl"
    true = written.segments()[0]
    shutil.copy(true, other)
    shutil.copy(true.with_suffix(".key"), other.with_suffix(".key"))
    report = check(written)
    assert Cause.DUPLICATE_SEGMENT in causes(report)
    assert {f.segment for f in report.findings if f.cause is Cause.DUPLICATE_SEGMENT} == {other.stem}


async def test_a_journal_rewritten_from_the_start_with_the_true_key_is_a_fork(node: Node):
    await node.write(2)
    await node.write(3)
    first, second = node.segments()
    again = Node(node.directory.with_name("again"))
    again.clock = node.clock
    await again.write(2)
    shutil.rmtree(node.directory)
    shutil.copytree(again.directory, node.directory)
    assert causes(check(node)) == {Cause.MISSING_SEGMENT, Cause.UNREGISTERED}
    assert {f.segment for f in check(node).findings if f.damages} == {first.stem, second.stem}


async def test_a_segment_rewritten_under_its_own_name_is_a_fork(written: Node):
    path = written.segments()[0]
    lines = read(path)
    head = parse_head(unverified_payload(orjson.loads(lines[2])["head"]))
    changed = lines[1].replace(b"pharmacie-1", b"pharmacie-2")
    forged = msgspec.structs.replace(head, entries=sha256_b64u(changed))
    token = sign_compact(encode(forged), HEAD_TYP, written.key)
    rewrite(path, [lines[0], changed, head_line(token), *lines[3:]])
    findings = check(written).findings
    # The rewritten head verifies; the one after it still follows the true one.
    assert [(f.cause, f.first, f.last) for f in findings] == [(Cause.FORK, 1, 4)]
    rewrite(path, [lines[0], changed, head_line(token)])
    assert causes(check(written)) == {Cause.CUT}


async def test_two_segments_after_the_same_one_are_a_fork(written: Node):
    before = {path.name for path in written.segments()}
    await written.write(1)
    second = next(path for path in written.segments() if path.name not in before)
    aside = written.directory.with_name("aside.jsonl")
    shutil.move(second, aside)
    await written.write(1)
    shutil.move(aside, second)
    report = check(written)
    assert causes(report) == {Cause.FORK}


async def test_a_head_by_an_unknown_key_is_named_once(written: Node):
    report = verify_journal(written.directory, {signing_key(2).kid: signing_key(2).public}, None)
    assert [finding.cause for finding in report.findings] == [Cause.UNKNOWN_KEY]


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b"{}"), lambda path: path.unlink()])
async def test_a_key_file_changed_or_gone_is_named(written: Node, change: Callable[[Path], None]):
    change(written.segments()[0].with_suffix(".key"))
    assert [finding.cause for finding in check(written).findings] == [Cause.KEY_FILE_CHANGED]


async def test_a_clock_that_went_back_is_a_remark_at_its_entry(node: Node):
    writer = node.writer()
    await writer.start()
    await writer.record(pending())
    node.clock.value -= dt.timedelta(minutes=5)
    await writer.record(pending())
    await writer.close()
    report = check(node)
    assert report.whole
    assert [(f.cause, f.first) for f in report.findings] == [(Cause.CLOCK_BACK, 1)]


async def test_a_segment_the_register_never_saw_is_a_remark(written: Node):
    written.register.known.clear()
    report = check(written)
    assert report.whole
    assert causes(report) == {Cause.UNREGISTERED}


async def test_a_journal_being_written_is_whole_at_every_moment(node: Node):
    writer = node.writer()
    await writer.start()
    for number in range(30):
        writer.record(pending(number))
        await asyncio.sleep(0)
        assert check(node).whole
    await writer.close()
    assert check(node).entries == 30


def test_an_empty_directory_is_whole(tmp_path: Path):
    assert verify_journal(tmp_path / "nothing", {}, None).whole


async def test_it_tells_after_each_batch_how_many_bytes_are_read(written: Node):
    await written.write(2)
    told: list[tuple[int, int]] = []
    verify_journal(written.directory, written.keys, None, None, lambda done, total: told.append((done, total)))
    size = sum(path.stat().st_size for path in written.segments())
    assert len(told) == len(BATCHES) + 1 + 1
    assert told == sorted(told)
    assert {total for _, total in told} == {size}
    assert told[-1] == (size, size)
