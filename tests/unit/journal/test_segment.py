from __future__ import annotations

from pathlib import Path

import pytest

from service.base64url import sha256_b64u
from service.errors import JournalDamaged
from service.journal import segment
from service.journal.entries import parse_head_line, parse_header_line
from service.journal.segment import last_whole_head, latest_link
from tests.unit.journal.journal_node import NODE, Node


def hashes(path: Path) -> list[str]:
    """SHA-256 of the header's JWS, then of each head's."""
    lines = path.read_bytes().splitlines()
    heads = [parse_head_line(line) for line in lines if line.startswith(b'{"head"')]
    return [sha256_b64u(token.encode()) for token in [parse_header_line(lines[0]), *heads]]


async def test_wherever_a_segment_is_torn_the_last_whole_head_is_found(node: Node, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(segment, "_BLOCK_BYTES", 97)
    await node.write(2, 1, 3)
    path = node.segments()[0]
    whole, known = path.read_bytes(), hashes(path)
    ends = [end + 1 for end in range(len(whole)) if whole[end : end + 1] == b"\n"]
    ends = [ends[0], *[end for end in ends if whole[:end].splitlines()[-1].startswith(b'{"head"')]]
    for cut in range(ends[0], len(whole) + 1, 13):
        path.write_bytes(whole[:cut])
        assert last_whole_head(path) == known[sum(end <= cut for end in ends) - 1]


async def test_a_head_over_lines_that_never_reached_the_disk_is_not_whole(node: Node):
    await node.write(1, 2)
    path = node.segments()[0]
    known = hashes(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"\0" * len(lines[3]), *lines[4:]]))
    assert last_whole_head(path) == known[1]


async def test_a_segment_without_entries_is_linked_by_its_header(node: Node):
    await node.write()
    await node.write()
    second = max(node.segments())
    assert latest_link(node.directory, NODE, 0) == segment.Link(head=hashes(second)[0], journal=second.stem)
    assert latest_link(node.directory, NODE, 1) is None
    assert latest_link(node.directory, "node-2", 0) is None


async def test_a_file_without_a_header_is_nobodys_predecessor(node: Node):
    await node.write(1)
    path = node.segments()[0]
    (node.directory / "zzz.jsonl").write_bytes(b"")
    (node.directory / "zzzz.jsonl").write_bytes(path.read_bytes())
    link = latest_link(node.directory, NODE, 0)
    assert link is not None
    assert link.journal == path.stem
    with pytest.raises(JournalDamaged):
        last_whole_head(node.directory / "zzz.jsonl")
