from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from service.errors import OperatorError
from service.journal.affected import Affected, Listed, list_affected
from service.journal.age import Recipient, parse_recipient
from service.journal.officer import OfficerPrivateKey
from service.journal.outbox import Outbox
from service.journal.partitions import Partitions
from service.journal.segment import key_path, segment_paths
from service.journal.selection import Reading, Selection
from tests.unit.journal.breach import FIRST, HONEST, SECOND, THIEF, Shown, nir, record
from tests.unit.journal.journal_node import NOW, Node, officer
from tests.unit.journal.opened_age import RECIPIENT, open_age

HOUR = dt.timedelta(hours=1)
EARLY, LATE = "2024-02-05T09:30:12.123Z", "2024-02-05T10:30:12.123Z"
CARD = ("identity", "status", "insurer", "member", "routing", "validity", "cover")
CLOSED = ("identity", "status", "insurer", "closure")


async def planted(node: Node) -> None:
    await record(
        node,
        [
            Shown(1, open_at=(FIRST,)),
            Shown(1, open_at=(FIRST,)),
            Shown(2, open_at=(FIRST,), closed_at=(SECOND,)),
            Shown(3),
            Shown(4, open_at=(FIRST,), client=HONEST),
            Shown(9, fictitious=True),
        ],
        NOW,
    )
    await record(node, [Shown(1, closed_at=(FIRST,)), Shown(5, open_at=(FIRST,), by_member=True)], NOW + HOUR)


def run(
    node: Node,
    out: Path,
    recipients: dict[str, Recipient] | None = None,
    opener: OfficerPrivateKey | None = None,
    waiting_bytes: int = 1 << 20,
) -> Listed:
    reading = Reading(node.directory, Selection(client=THIEF), opener or officer())
    with Outbox(out, recipients or {}) as outbox, Partitions(out.parent, waiting_bytes) as aside:
        return list_affected(reading, outbox, aside)


def people(data: bytes) -> list[Affected]:
    found = [msgspec.json.decode(line, type=Affected) for line in data.splitlines()]
    return sorted(found, key=lambda one: (one.nir or "", one.member or ""))


def line(amc: str, number: int, categories: tuple[str, ...], answers: int, first: str, last: str) -> Affected:
    return Affected(
        amc=amc,
        birth_date="1985-05-12",
        birth_rank=1,
        nir=nir(number),
        member=None,
        members=(f"M{number}",) if "member" in categories else (),
        categories=categories,
        answers=answers,
        first=first,
        last=last,
    )


@pytest.mark.parametrize("waiting_bytes", [1, 1 << 20])
async def test_each_amc_gets_exactly_its_people_once(node: Node, tmp_path: Path, waiting_bytes: int):
    await planted(node)
    listed = run(node, tmp_path / "out", waiting_bytes=waiting_bytes)
    both = ("identity", "status", "insurer", "closure", "member", "routing", "validity", "cover")
    by_member = msgspec.structs.replace(line(FIRST, 5, CARD, 1, LATE, LATE), nir=None, member="M5")
    assert people((tmp_path / "out" / f"{FIRST}.jsonl").read_bytes()) == [
        by_member,
        line(FIRST, 1, both, 3, EARLY, LATE),
        line(FIRST, 2, CARD, 1, EARLY, EARLY),
    ]
    assert people((tmp_path / "out" / f"{SECOND}.jsonl").read_bytes()) == [line(SECOND, 2, CLOSED, 1, EARLY, EARLY)]
    assert (listed.people, listed.answers, listed.nothing, listed.fictitious) == ({FIRST: 3, SECOND: 1}, 7, 1, 1)
    assert listed.complete


async def test_files_are_their_owners_alone(node: Node, tmp_path: Path):
    await planted(node)
    run(node, tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [f"{FIRST}.jsonl", f"{SECOND}.jsonl"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


async def test_sealed_files_open_for_their_recipient_and_show_nobody(node: Node, tmp_path: Path):
    await planted(node)
    run(node, tmp_path / "plain")
    run(node, tmp_path / "sealed", {"*": parse_recipient(RECIPIENT)})
    sealed = (tmp_path / "sealed" / f"{FIRST}.jsonl.age").read_bytes()
    assert open_age(sealed) == (tmp_path / "plain" / f"{FIRST}.jsonl").read_bytes()
    for file in (tmp_path / "sealed").iterdir():
        assert nir(1).encode() not in file.read_bytes()


async def test_an_amc_without_a_recipient_stops_it_and_nothing_is_left(node: Node, tmp_path: Path):
    await planted(node)
    with pytest.raises(OperatorError, match=SECOND):
        run(node, tmp_path / "out", {FIRST: parse_recipient(RECIPIENT)})
    assert list((tmp_path / "out").iterdir()) == []


async def test_what_does_not_open_makes_the_list_incomplete(node: Node, tmp_path: Path):
    await planted(node)
    first, _ = segment_paths(node.directory)
    key_path(first).unlink()
    listed = run(node, tmp_path / "out")
    assert not listed.complete
    assert list(listed.sealed) == [first.stem]
    assert listed.people == {FIRST: 2}
    assert not run(node, tmp_path / "other", opener=officer(8)).complete


async def test_a_directory_that_holds_something_is_refused(node: Node, tmp_path: Path):
    await planted(node)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    with pytest.raises(OperatorError, match="not empty"):
        run(node, tmp_path / "out")


async def test_an_amc_that_is_none_names_no_file(node: Node, tmp_path: Path):
    await record(node, [Shown(1, open_at=("../../etc",))])
    listed = run(node, tmp_path / "out")
    assert not listed.complete
    assert list((tmp_path / "out").iterdir()) == []
    assert len(list(node.directory.parent.iterdir())) == 2
