from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from service.journal import prune
from service.journal.damage import Cause
from service.journal.prune import Pruned, prune_journal
from service.journal.reader import find_head
from service.journal.segment import HEADS_SUFFIX, key_path, latest_link, pruned_paths, segment_paths
from service.journal.selection import Reading, Selection
from service.journal.verify import JournalReport, verify_journal
from tests.unit.journal.journal_node import NODE, NOW, Node, officer

Bend = Callable[[list[bytes]], list[bytes]]
YEAR = dt.timedelta(days=365)
LATER = NOW + YEAR
BEFORE = LATER - YEAR + dt.timedelta(minutes=1)


def pruned(node: Node, before: dt.datetime = BEFORE, *, dry_run: bool = False) -> Pruned:
    return prune_journal(node.directory, node.keys, before, dry_run=dry_run)


def verified(node: Node, now: dt.datetime | None = LATER) -> JournalReport:
    return verify_journal(node.directory, node.keys, node.register, now)


def files(node: Node) -> list[str]:
    return sorted(path.name for path in node.directory.iterdir())


@pytest.fixture
async def aged(node: Node) -> Node:
    """Two segments of a year ago, and one of today, in one chain."""
    await node.write(2, 3)
    await node.write(1)
    node.clock.value = LATER
    await node.write(4)
    return node


async def test_what_is_old_goes_and_the_rest_still_verifies(aged: Node):
    first, second, third = segment_paths(aged.directory)
    assert pruned(aged) == Pruned(segments=(first.stem, second.stem), entries=6, kept={})
    assert files(aged) == sorted(
        [f"{first.stem}.heads", f"{second.stem}.heads", third.name, key_path(third).name],
    )
    report = verified(aged)
    assert (report.findings, report.segments, report.pruned, report.entries, report.batches) == ((), 3, 2, 10, 4)


@pytest.mark.parametrize("heads_read", [1, 3])
async def test_what_is_pruned_while_it_is_verified_is_no_damage(aged: Node, heads_read: int):
    told: list[int] = []

    def report(done: int, _total: int) -> None:
        told.append(done)
        if len(told) == heads_read:
            pruned(aged)

    found = verify_journal(aged.directory, aged.keys, aged.register, LATER, report)
    assert (found.findings, found.segments, found.entries) == ((), 3, 10)
    assert len(pruned_paths(aged.directory)) == 2


async def test_what_is_pruned_while_it_is_read_is_told(aged: Node):
    first, second, _ = segment_paths(aged.directory)
    reading = Reading(aged.directory, Selection(), officer())
    entries = reading.entries()
    assert next(entries)[0] == first.stem
    pruned(aged)
    # The file that is open is read to its end.
    assert [opened.entry.n for _, opened in entries] == [1, 2, 3, 4, 0, 1, 2, 3]
    assert (reading.pruned, reading.broken_off, reading.sealed) == ([second.stem], {}, {})


async def test_a_segment_that_vanishes_otherwise_stops_the_reading(aged: Node):
    _, second, _ = segment_paths(aged.directory)
    entries = Reading(aged.directory, Selection(), None).entries()
    next(entries)
    second.unlink()
    with pytest.raises(FileNotFoundError):
        list(entries)


async def test_nothing_of_an_entry_stays(aged: Node):
    pruned(aged)
    for path in pruned_paths(aged.directory):
        lines = path.read_bytes().splitlines()
        assert lines[0].startswith(b'{"header":')
        assert all(line.startswith(b'{"head":') for line in lines[1:])
        assert b"pharmacie-1" not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


async def test_pruning_again_changes_nothing(aged: Node):
    pruned(aged)
    before = files(aged)
    assert pruned(aged) == Pruned(segments=(), entries=0, kept={})
    assert files(aged) == before


async def test_a_dry_run_only_says_which(aged: Node):
    before = files(aged)
    assert len(pruned(aged, dry_run=True).segments) == 2
    assert files(aged) == before


async def test_a_segment_is_as_old_as_its_last_entry(node: Node):
    writer = node.writer()
    await writer.start()
    await writer.close()
    # Begun long ago and written to since: its header is old, its entries are not.
    await node.write(1)
    path = segment_paths(node.directory)[-1]
    recorded = node.clock.value
    assert path.stem not in pruned(node, recorded).segments
    assert path.stem in pruned(node, recorded + dt.timedelta(milliseconds=1)).segments


async def test_a_receipt_s_head_is_still_found(node: Node):
    receipts = await node.write(2, 1)
    found = find_head(node.directory, receipts[-1].head)
    node.clock.value = LATER
    pruned(node, LATER)
    position = find_head(node.directory, receipts[-1].head)
    assert position is not None
    assert found is not None
    assert (position.journal, position.first, position.last) == (found.journal, 2, 2)


@pytest.mark.parametrize("batches", [(2, 1), ()])
async def test_the_next_segment_follows_the_pruned_one(node: Node, batches: tuple[int, ...]):
    await node.write(*batches)
    link = latest_link(node.directory, NODE, 0)
    pruned(node, LATER)
    assert latest_link(node.directory, NODE, 0) == link
    node.clock.value = LATER
    await node.write(1)
    assert verified(node).findings == ()


async def test_what_was_pruned_before_its_time_is_a_cut(aged: Node):
    first = segment_paths(aged.directory)[0].stem
    pruned(aged)
    # The CNIL's six months are not over at this instant, nor where nobody says what time it is.
    for now in (NOW + dt.timedelta(days=179), None):
        findings = verified(aged, now).findings
        assert {finding.cause for finding in findings} == {Cause.CUT}
        assert first in {finding.segment for finding in findings}


async def test_a_damaged_segment_is_evidence_and_stays(aged: Node):
    first, second, _ = segment_paths(aged.directory)
    first.write_bytes(first.read_bytes().replace(b'"lease":3', b'"lease":4', 1))
    assert pruned(aged) == Pruned(
        segments=(second.stem,), entries=1, kept={first.stem: "damaged: relais journal verify"}
    )
    assert first.exists()
    assert key_path(first).exists()


async def test_a_torn_tail_goes_with_the_rest(aged: Node):
    first = segment_paths(aged.directory)[0]
    with first.open("ab") as file:
        file.write(b'{"at":"2024')
    assert len(pruned(aged).segments) == 2
    assert verified(aged).findings == ()


async def test_zeros_under_the_last_head_go_with_the_rest(node: Node):
    await node.write(2)
    await node.write(1, 3)
    path = segment_paths(node.directory)[1]
    lines = path.read_bytes().splitlines(keepends=True)
    zeroed = [bytes(len(line) - 1) + b"\n" for line in lines[3:6]]
    path.write_bytes(b"".join([*lines[:3], *zeroed, lines[6]]))
    assert len(pruned(node, LATER).segments) == 2
    assert verify_journal(node.directory, node.keys, None, LATER).findings == ()


@pytest.mark.parametrize("step", ["_destroy", "key", "unlink"])
async def test_broken_off_anywhere_it_goes_on(aged: Node, step: str, monkeypatch: pytest.MonkeyPatch):
    class PowerCutError(Exception):
        pass

    destroy, unlink = prune._destroy, Path.unlink

    def cut_at_the_key(path: Path) -> None:
        if step == "key":
            path.write_bytes(bytes(path.stat().st_size))
        raise PowerCutError

    def cut_at_the_entries(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".jsonl":
            raise PowerCutError
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        if step == "unlink":
            patched.setattr(Path, "unlink", cut_at_the_entries)
        else:
            patched.setattr(prune, "_destroy", cut_at_the_key)
        with pytest.raises(PowerCutError):
            pruned(aged)
    assert prune._destroy is destroy
    assert verified(aged).whole
    assert len(pruned(aged).segments) == 2
    assert verified(aged).findings == ()
    assert [path.suffix for path in pruned_paths(aged.directory)] == [HEADS_SUFFIX] * 2


def drop_line(lines: list[bytes]) -> list[bytes]:
    return [lines[0], *lines[2:]]


def cut_last(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


def repeat(lines: list[bytes]) -> list[bytes]:
    return [*lines, lines[-1]]


def edit(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-1], lines[-1].replace(b".", b".A", 1)]


def without_header(lines: list[bytes]) -> list[bytes]:
    return lines[1:]


@pytest.mark.parametrize(
    ("bend", "cause"),
    [
        (drop_line, Cause.GAP),
        (cut_last, Cause.CUT),
        (repeat, Cause.DUPLICATE_ENTRY),
        (edit, Cause.EDIT),
        (without_header, Cause.EDIT),
    ],
)
async def test_heads_that_were_tampered_with_are_named(aged: Node, bend: Bend, cause: Cause):
    pruned(aged)
    path = pruned_paths(aged.directory)[0]
    path.write_bytes(b"".join(bend(path.read_bytes().splitlines(keepends=True))))
    report = verified(aged)
    assert not report.whole
    assert cause in {finding.cause for finding in report.findings if finding.segment == path.stem}


async def test_heads_that_went_missing_are_named(aged: Node):
    pruned(aged)
    pruned_paths(aged.directory)[1].unlink()
    assert Cause.MISSING_SEGMENT in {finding.cause for finding in verified(aged).findings}


async def test_heads_of_an_unknown_key_are_named(aged: Node):
    pruned(aged)
    causes = {finding.cause for finding in verify_journal(aged.directory, {}, None, LATER).findings}
    assert causes == {Cause.UNKNOWN_KEY}
