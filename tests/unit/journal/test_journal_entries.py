from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import SignatureRejected
from service.journal.entries import (
    Entry,
    Head,
    Header,
    Link,
    encode,
    head_line,
    instant,
    journal_id,
    parse_entry,
    parse_head,
    parse_head_line,
    parse_header,
    parse_header_line,
)
from service.strictjson import canonical

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNT = st.integers(0, 2**53)
ENTRIES = st.builds(
    Entry,
    at=TEXT,
    client=TEXT,
    disclosed=TEXT,
    finess=TEXT,
    leaf=TEXT,
    lease=st.none() | COUNT,
    n=COUNT,
    reasons=st.lists(TEXT, max_size=3).map(tuple),
    sealed=st.none() | TEXT,
    snapshot=st.none() | COUNT,
    status=TEXT,
    subject=st.none() | TEXT,
)
HEADS = st.builds(Head, at=TEXT, entries=TEXT, first=COUNT, journal=TEXT, previous=TEXT, root=TEXT, size=COUNT)
HEADERS = st.builds(
    Header,
    at=TEXT,
    format=TEXT,
    journal=TEXT,
    key_sha256=TEXT,
    node=TEXT,
    officers=st.lists(TEXT, max_size=2).map(tuple),
    previous=st.none() | st.builds(Link, head=TEXT, journal=TEXT),
    worker=COUNT,
)


@given(ENTRIES | HEADS | HEADERS)
def test_an_encoding_is_its_own_rfc_8785_form(value: Entry | Head | Header):
    assert canonical(orjson.loads(encode(value))) == encode(value)


@given(ENTRIES)
def test_an_entry_reads_back(entry: Entry):
    assert parse_entry(encode(entry)) == entry


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line + b" ",
        lambda line: line.replace(b'"n":1', b'"n":1,"n":1'),
        lambda line: line.replace(b'"n":1', b'"n":1.0'),
        lambda line: line.replace(b'"n":1', b'"n":true'),
        lambda line: line.replace(b'"n":1', b'"m":1,"n":1'),
        lambda line: line.replace(b'"finess"', b'"f\\u0069ness"'),
        lambda line: line.replace(b'"x"', b'"\xff"'),
        lambda line: line[:-1],
        lambda _: b"",
        lambda _: b"\x00" * 40,
        lambda _: b"[" * 100_000,
    ],
)
def test_an_entry_has_one_spelling(change: Callable[[bytes], bytes]):
    entry = Entry("x", "x", "none", "x", "x", None, 1, ("x",), None, None, "unknown", None)
    with pytest.raises(SignatureRejected):
        parse_entry(change(encode(entry)))


def test_head_and_header_lines_have_one_spelling():
    assert parse_head_line(head_line("a.b.c")[:-1]) == "a.b.c"
    for parse, line in ((parse_head_line, b'{"head": "a"}'), (parse_header_line, b'{"header":"a","x":1}')):
        with pytest.raises(SignatureRejected):
            parse(line)


def test_another_format_or_an_empty_batch_is_refused():
    header = Header("x", "relais-journal/2", "x", "x", "x", (), None, 0)
    with pytest.raises(SignatureRejected, match="relais-journal/1"):
        parse_header(encode(header))
    with pytest.raises(SignatureRejected, match="range"):
        parse_head(encode(Head("x", "x", 0, "x", "x", "x", 0)))


def test_a_journal_id_is_a_uuid_of_version_7_that_carries_its_instant():
    now = dt.datetime(2024, 2, 5, 9, 30, 12, 123000, tzinfo=dt.UTC)
    value = uuid.UUID(journal_id(now, b"\xff" * 10))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == int(now.timestamp() * 1000)
    assert instant(now) == "2024-02-05T09:30:12.123Z"
