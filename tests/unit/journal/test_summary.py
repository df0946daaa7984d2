from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec
import pytest

from service.journal.damage import Evidence
from service.journal.disclosure import MEMBERS, Category
from service.journal.officer import OfficerPrivateKey
from service.journal.page import CATEGORIES, render_page
from service.journal.segment import key_path, segment_paths
from service.journal.selection import Reading, Selection
from service.journal.summary import Report, summarise
from tests.unit.journal.breach import FIRST, HONEST, SECOND, THIEF, Shown, nir, record
from tests.unit.journal.journal_node import NOW, Node, officer

WHOLE = Evidence(whole=True, damages=())
AT = "2024-02-06T09:00:00.000Z"
HOUR = dt.timedelta(hours=1)


def report(node: Node, opener: OfficerPrivateKey | None, **selection: str) -> Report:
    wanted = Selection(**selection)
    reading = Reading(node.directory, wanted, opener)
    return summarise(reading, WHOLE, at=AT, since=wanted.since, until=wanted.until, key=bytes(32))


#: Three people through the thief, one of them in two segments; the honest client asks about one of them, too.
FIRST_SEGMENT = [
    Shown(1, open_at=(FIRST,)),
    Shown(1, open_at=(FIRST,)),
    Shown(2, closed_at=(SECOND,)),
    Shown(3),
    Shown(1, open_at=(FIRST,), client=HONEST),
    Shown(9, fictitious=True),
]
SECOND_SEGMENT = [Shown(1, open_at=(SECOND,), snapshot=43), Shown(4, open_at=(SECOND,), mode="live", snapshot=None)]


async def planted(node: Node, *segments: Sequence[Shown]) -> None:
    for number, answers in enumerate(segments or (FIRST_SEGMENT, SECOND_SEGMENT)):
        await record(node, answers, NOW + number * HOUR)


async def test_with_the_officers_key_people_are_counted_exactly(node: Node):
    await planted(node)
    made = report(node, officer(), client=THIEF)
    assert made.exact
    assert (made.total.answers, made.total.fictitious) == (7, 1)
    people = made.total.people
    assert (people.asked, people.disclosed, people.contract) == (4, 3, 2)
    assert people.categories == {
        "identity": 3,
        "status": 3,
        "insurer": 3,
        "closure": 1,
        "member": 2,
        "routing": 2,
        "validity": 2,
        "cover": 2,
    }
    assert made.total.snapshots == {"42": 5, "43": 1, "none": 1}
    assert made.total.modes == {"degraded": 6, "live": 1}
    assert made.total.statuses == {"closed": 1, "open": 4, "unknown": 2}
    assert (made.total.first, made.total.last) == ("2024-02-05T09:30:12.123Z", "2024-02-05T10:30:12.123Z")
    assert [one.client for one in made.clients] == [THIEF]


async def test_without_it_the_counts_are_upper_bounds_and_say_so(node: Node):
    await planted(node)
    exact, bound = report(node, officer(), client=THIEF), report(node, None, client=THIEF)
    assert not bound.exact
    # Person 1 stands in two segments.
    assert (bound.total.people.asked, bound.total.people.disclosed) == (5, 4)
    for category, count in exact.total.people.categories.items():
        assert bound.total.people.categories[category] >= count
    for name in ("answers", "fictitious", "first", "last", "snapshots", "statuses", "disclosed", "modes", "days"):
        assert getattr(bound.total, name) == getattr(exact.total, name), name
    assert set(bound.sealed) == {path.stem for path in segment_paths(node.directory)}


async def test_everybody_is_not_the_sum_of_each(node: Node):
    await planted(node)
    made = report(node, officer())
    assert [(one.client, one.people.asked) for one in made.clients] == [(THIEF, 4), (HONEST, 1)]
    assert (made.total.people.asked, made.total.answers) == (4, 8)


async def test_a_period_begins_with_its_first_instant_and_ends_before_its_last(node: Node):
    await planted(node)
    made = report(node, officer(), since="2024-02-05T09:30:12.123Z", until="2024-02-05T10:30:12.123Z")
    assert (made.total.answers, made.total.first) == (6, made.total.last)
    assert report(node, officer(), since="2024-02-05T09:30:12.124Z").total.answers == 2


async def test_days_are_those_of_paris(node: Node):
    await record(node, [Shown(1)], dt.datetime(2024, 2, 5, 22, 59, tzinfo=dt.UTC))
    await record(node, [Shown(1)], dt.datetime(2024, 2, 5, 23, 0, tzinfo=dt.UTC))
    assert report(node, None).total.days == {"2024-02-05": 1, "2024-02-06": 1}


async def test_a_segment_that_does_not_open_makes_the_whole_an_upper_bound(node: Node):
    await planted(node)
    first, _ = segment_paths(node.directory)
    key_path(first).unlink()
    made = report(node, officer(), client=THIEF)
    assert not made.exact
    assert made.sealed == {first.stem: "its key file is missing"}
    assert made.total.people.asked == 5
    assert not report(node, officer(8)).exact


async def test_what_no_head_covers_was_told_to_nobody(node: Node):
    await planted(node)
    (path, _) = segment_paths(node.directory)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert report(node, officer(), client=THIEF).total.answers == 2


async def test_a_damaged_line_is_told_and_every_other_one_is_read(node: Node):
    await planted(node)
    first, _ = segment_paths(node.directory)
    first.write_bytes(first.read_bytes().replace(b'{"at"', b'{"xx"', 1))
    made = report(node, officer(), client=THIEF)
    assert made.broken_off == {first.stem: "line 2 is no entry as it was written"}
    assert made.total.answers == 6


async def test_the_counting_that_follows_the_reading_is_told_of(node: Node):
    await planted(node)
    told: list[tuple[int, int]] = []
    reading = Reading(node.directory, Selection(), None)
    summarise(
        reading, WHOLE, at=AT, since="", until="", key=bytes(32), report=lambda done, total: told.append((done, total))
    )
    assert told == sorted(told)
    assert 2 <= len(told) <= 5
    assert {total for _, total in told} == {256}


async def test_neither_report_nor_page_names_anybody(node: Node):
    await planted(node)
    made = report(node, officer())
    text = msgspec.json.encode(made).decode() + render_page(made)
    for number in (1, 2, 3, 4, 9):
        assert nir(number) not in text
        assert f"M{number}" not in text
    assert "1985-05-12" not in text


async def test_the_page_says_counts_and_whether_they_are_exact(node: Node):
    await planted(node)
    page = render_page(report(node, officer(), client=THIEF))
    assert "Comptes exacts" in page
    assert THIEF in page
    for text in CATEGORIES.values():
        assert text.replace("'", "&#x27;") in page
    assert "<script" not in page
    bound = render_page(report(node, None, client=THIEF))
    assert "Majorants" in bound


async def test_a_client_s_name_cannot_break_out_of_the_page(node: Node):
    await record(node, [Shown(1, client="<script>x</script>")])
    assert "<script" not in render_page(report(node, officer()))


@pytest.mark.parametrize("category", Category)
def test_every_category_has_words_and_a_source(category: Category):
    assert CATEGORIES[category]
    assert category in {*MEMBERS.values(), Category.IDENTITY, Category.STATUS}


async def test_a_key_file_of_zeros_leaves_upper_bounds(node: Node):
    await planted(node)
    first, _ = segment_paths(node.directory)
    key_path(first).write_bytes(bytes(key_path(first).stat().st_size))
    made = report(node, officer(), client=THIEF)
    assert list(made.sealed) == [first.stem]
    assert made.broken_off == {}
    assert made.total.answers == 7
