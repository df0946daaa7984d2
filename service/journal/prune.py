"""Forgetting segments whose time is over: the key file first, then the entries; header and heads stay.

Once the key file is gone nobody, an officer included, can read what was sealed or recognise a pseudonym; a copy of it
in a backup can. A damaged segment is evidence and stays.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from service.errors import JournalDamaged
from service.files import PRIVATE_MODE, sync_directory
from service.journal.damage import Cause
from service.journal.entries import HEAD_LINE, instant, parse_head, parse_head_line, unverified_payload
from service.journal.pruned import read_pruned
from service.journal.reader import SegmentReport, read_segment
from service.journal.segment import heads_path, key_path, lines, peek_header, segment_paths
from service.journal.steps import Steps
from service.jwk import PublicKey


class Pruned(msgspec.Struct, frozen=True):
    """What became of a run: segments forgotten with their entries, and why others of that age stay."""

    segments: tuple[str, ...]
    entries: int
    kept: dict[str, str]


def prune_journal(
    directory: Path,
    keys: Mapping[str, PublicKey],
    before: dt.datetime,
    evidence: Collection[str] = (),
    report: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    dry_run: bool = False,
) -> Pruned:
    """Forget every segment whose last entry was recorded before `before`, but those named as `evidence`.

    Broken off, the same call goes on. Raises OSError, `JournalDamaged` if what was written does not read back.
    """
    pruned, entries, kept = [], 0, {}
    paths = [path for path in segment_paths(directory) if _may_be_over(path, before)]
    steps = Steps(paths, report)
    for path in paths:
        found = read_segment(path, keys, report=steps.of(path))
        if path.stem in evidence or not _is_sound(found, path):
            kept[path.stem] = "damaged: relais journal verify"
        elif found.last_at < instant(before):
            if not dry_run:
                _forget(path, found, keys)
            pruned.append(path.stem)
            entries += found.entries
    steps.end()
    return Pruned(segments=tuple(pruned), entries=entries, kept=kept)


def _may_be_over(path: Path, before: dt.datetime) -> bool:
    """By its header, which is at least as old as its entries; one without a header is looked at, and kept."""
    header = peek_header(path)
    return header is None or header.at < instant(before)


def _is_sound(found: SegmentReport, path: Path) -> bool:
    """Whether nothing is wrong, or only that a former run was broken off at the key file."""
    damages = {finding.cause for finding in found.findings if finding.damages}
    return not damages or (damages == {Cause.KEY_FILE_CHANGED} and heads_path(path).exists())


def _forget(path: Path, found: SegmentReport, keys: Mapping[str, PublicKey]) -> None:
    _write_heads(path, found)
    if read_pruned(heads_path(path), keys).entries != found.entries:
        raise JournalDamaged(f"segment {path.stem}: its heads do not read back; nothing was removed")
    _destroy(key_path(path))
    path.unlink()
    sync_directory(path.parent)


def _write_heads(path: Path, found: SegmentReport) -> None:
    """Header and heads up to the last whole one, written aside and renamed."""
    target = heads_path(path)
    temporary = target.with_name(f".{target.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        ends = 0
        for number, line in lines(path):
            if number == 1:
                file.write(line)
            elif ends < found.entries and line.startswith(HEAD_LINE):
                file.write(line)
                head = parse_head(unverified_payload(parse_head_line(line[:-1])))
                ends = head.first + head.size
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_directory(path.parent)


def _destroy(path: Path) -> None:
    """Overwrite a key file, then remove it. What a disk or a backup keeps elsewhere is beyond our reach."""
    try:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    path.unlink()
    sync_directory(path.parent)
