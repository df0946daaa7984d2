"""The passes of a build, as the process that leads it sees them: it hands out tasks and puts results in order."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from service.errors import BuildError, RowRejected
from service.snapshot.bench import Compare, Gather, Seal, Sealed, Settle, Take
from service.snapshot.crew import Crew, Task
from service.snapshot.difference import Changes
from service.snapshot.intake import Taken
from service.snapshot.plan import BuildPlan, Progress
from service.snapshot.rejects import Rejects
from service.snapshot.sealing import Item
from service.snapshot.sources import open_source
from service.snapshot.spill import PARTITIONS, Contents, nothing
from service.snapshot.tally import Tally
from service.snapshot.writer import LayerWriter

#: Results that may wait here for the one before them, so that no worker does: small ones, unless every row is bad.
_READ_AHEAD: Final = 32
#: Some 650 rows: what a chunk costs by itself is nothing, and the processes end at about the same time.
_CHUNK_BYTES: Final = 256 * 1024
_DECODE: Final = msgspec.msgpack.Decoder(list[Item]).decode


@dataclass(slots=True)
class Delivered:
    """What the sources held: rows in all, those dropped, and where the others were set aside."""

    contents: Contents
    rows: int = 0
    dropped: int = 0


def read_sources(plan: BuildPlan, crew: Crew, rejects: Rejects, progress: Progress) -> Delivered:
    """Reads every source; bad rows go to `rejects` in the order of files and lines. Raises `BuildError`."""
    delivered = Delivered(nothing())
    with closing(_chunks(plan, progress)) as tasks:
        for taken in crew.map(tasks, _READ_AHEAD):
            delivered.rows += taken.rows
            delivered.dropped += taken.dropped
            for line, column, fault in taken.rejects:
                rejects.add(taken.source, line, RowRejected(column, fault))
    if rejects.count > plan.max_reject_share * delivered.rows:
        raise BuildError(
            f"{rejects.count} of {delivered.rows} rows are bad, more than {plan.max_reject_share:.3%}: "
            f"{rejects.summary()}"
        )
    delivered.contents = _settled(crew)
    return delivered


def write_base(crew: Crew, contents: Contents, path: Path, progress: Progress) -> Tally:
    """Seals what was set aside and writes the data file of a base. Raises `BuildError`."""
    tasks = (Seal(partition, blocks) for partition, blocks in enumerate(contents.blocks))
    tally = Tally()
    with closing(LayerWriter(path, _map_size(contents))) as writer:
        _write(crew.map(tasks), writer, tally, progress)
        _check_not_empty(tally)
        writer.finish()
    return tally


def compare_with_base(crew: Crew, contents: Contents, progress: Progress) -> tuple[Tally, Changes, Contents]:
    """Compares what was set aside with the base; what differs is set aside in turn. Raises `BuildError`."""
    tasks = (Compare(partition, blocks) for partition, blocks in enumerate(contents.blocks))
    tally, changes = Tally(), Changes()
    for done, compared in enumerate(crew.map(tasks, _READ_AHEAD), start=1):
        tally.merge(compared.tally)
        changes.merge(compared.changes)
        progress("compare", done, PARTITIONS)
    _check_not_empty(tally)
    return tally, changes, _settled(crew)


def write_delta(crew: Crew, contents: Contents, path: Path, progress: Progress) -> None:
    """Writes the data file of a delta from what comparing set aside. Raises `BuildError`."""
    tasks = (Gather(partition, blocks) for partition, blocks in enumerate(contents.blocks))
    with closing(LayerWriter(path, _map_size(contents))) as writer:
        _write(crew.map(tasks), writer, Tally(), progress)
        writer.finish()


def _chunks(plan: BuildPlan, progress: Progress) -> Generator[Task[Taken], None, None]:
    before, total = 0, plan.input_bytes
    for path, canary in plan.inputs:
        with open_source(path, encoding=plan.source_encoding) as source:
            for chunk in source.chunks(_CHUNK_BYTES):
                yield Take(chunk, canary)
                progress("read", before + source.position(), total)
            before += source.size
    progress("read", total, total)


def _settled(crew: Crew) -> Contents:
    contents = nothing()
    for part in crew.each(Settle()):
        contents.add(part)
    return contents


def _write(results: Iterator[Sealed], writer: LayerWriter, tally: Tally, progress: Progress) -> None:
    for done, sealed in enumerate(results, start=1):
        tally.merge(sealed.tally)
        for piece in sealed.pieces:
            writer.append(_DECODE(piece))
        progress("seal", done, PARTITIONS)


def _map_size(contents: Contents) -> int:
    """An upper bound of the file: head, padding and tag of an entry, and half-filled pages."""
    return 3 * contents.size + 256 * contents.records + (1 << 20)


def _check_not_empty(tally: Tally) -> None:
    if not tally.people:
        raise BuildError("the sources hold no contract to keep")
