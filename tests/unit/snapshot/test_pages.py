"""Whatever passes the page check is safe in the engine: held against the library's own offline verifier."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lmdb import verify

from service.errors import LayerRejected
from service.snapshot.pages import PAGE_BYTES, check_pages
from service.snapshot.writer import LayerWriter

#: What the library's verifier reports that no lookup follows: the list of free pages, the order of keys, counters.
HARMLESS = ("freeDB", "out of order", "neither reachable", "meta page", "pages, record says")


def items(count: int, *, large: int = 0) -> list[tuple[bytes, bytes]]:
    """Records as a build makes them, 64 to 320 bytes with their tags; `large` ones reach beyond a page."""
    small = [(number.to_bytes(16), b"v" * (16 + 64 * (number % 5 + 1))) for number in range(count)]
    return small + [((1 << 100 | number).to_bytes(16), b"w" * (3000 + 5000 * number)) for number in range(large)]


def written(path: Path, *batches: list[tuple[bytes, bytes]]) -> bytes:
    writer = LayerWriter(path, 1 << 28)
    for batch in batches:
        writer.append(batch)
    writer.finish()
    return path.read_bytes()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A tree of two levels, with records that lie on pages of their own."""
    return written(tmp_path_factory.mktemp("layer") / "records.lmdb", items(200, large=4))


def check(path: Path, data: bytes) -> int:
    path.write_bytes(data)
    with io.FileIO(path) as file:
        return check_pages(file)


@pytest.mark.parametrize("count", [1, 2, 11, 12, 13, 500, 3000, 30_000])
@pytest.mark.parametrize("large", [0, 3])
def test_what_a_build_writes_passes_whole_and_counted(tmp_path: Path, count: int, large: int):
    made = items(count, large=large)
    third = len(made) // 3
    data = written(tmp_path / "records.lmdb", made[:third], made[third : 2 * third], made[2 * third :])
    assert check(tmp_path / "copy", data) == count + large


def test_a_walk_can_be_ended(tmp_path: Path):
    data = written(tmp_path / "records.lmdb", items(60_000))
    steps = 0

    def interrupt() -> None:
        nonlocal steps
        steps += 1
        raise KeyboardInterrupt

    (tmp_path / "copy").write_bytes(data)
    with io.FileIO(tmp_path / "copy") as file, pytest.raises(KeyboardInterrupt):
        check_pages(file, interrupt)
    assert steps == 1


def root_of(data: bytes) -> int:
    newer = max((0, PAGE_BYTES), key=lambda base: struct.unpack_from("<Q", data, base + 144)[0])
    return int(struct.unpack_from("<Q", data, newer + 128)[0])


@cache
def pages_of(data: bytes) -> dict[str, list[int]]:
    """The offsets of pages in use, by kind: the root, leaves, those of large records."""
    root = root_of(data) * PAGE_BYTES
    count = (struct.unpack_from("<H", data, root + 12)[0] - 16) // 2
    places = struct.unpack_from(f"<{count}H", data, root + 16)
    leaves = [struct.unpack_from("<HHH", data, root + place)[0] * PAGE_BYTES for place in places]
    large = [base for base in range(0, len(data), PAGE_BYTES) if struct.unpack_from("<QHH", data, base)[1:] == (0, 4)]
    return {"root": [root], "leaf": leaves, "large": large}


def set_word(place: int, value: int) -> Callable[[bytearray, int], None]:
    return lambda data, base: struct.pack_into("<H", data, base + place, value)


def in_node(place: int, value: int) -> Callable[[bytearray, int], None]:
    """Bends the first record of a page, or in a branch its first child."""

    def bend(data: bytearray, base: int) -> None:
        first = struct.unpack_from("<H", data, base + 16)[0]
        struct.pack_into("<H", data, base + first + place, value)

    return bend


def first_child_again(data: bytearray, base: int) -> None:
    one, two = struct.unpack_from("<HH", data, base + 16)
    data[base + two : base + two + 6] = data[base + one : base + one + 6]


def one_child(data: bytearray, base: int) -> None:
    struct.pack_into("<H", data, base + 12, 18)


BENDS: dict[str, tuple[str, Callable[[bytearray, int], None]]] = {
    "a branch that leads beyond the file": ("root", in_node(2, 1)),
    "a branch that leads to a meta page": ("root", in_node(0, 1)),
    "a branch that leads to itself": ("root", lambda data, base: in_node(0, base // PAGE_BYTES)(data, base)),
    "a branch that leads twice to one page": ("root", first_child_again),
    "a branch of one child": ("root", one_child),
    "a branch whose key overruns it": ("root", in_node(6, PAGE_BYTES)),
    "a branch that says it is a leaf": ("root", set_word(10, 2)),
    "a leaf that says it is a branch": ("leaf", set_word(10, 1)),
    "a leaf of fixed keys": ("leaf", set_word(10, 0x22)),
    "a leaf of another number": ("leaf", set_word(0, 1)),
    "a leaf without records": ("leaf", set_word(12, 16)),
    "a leaf with half a record": ("leaf", set_word(12, 17)),
    "a leaf of more records than it has room for": ("leaf", set_word(12, PAGE_BYTES)),
    "a record that begins beyond its page": ("leaf", set_word(16, PAGE_BYTES)),
    "a record that begins at the last byte": ("leaf", set_word(16, PAGE_BYTES - 1)),
    "a record that overruns its page": ("leaf", in_node(0, PAGE_BYTES)),
    "a record of gigabytes": ("leaf", in_node(2, 0xFFFF)),
    "a record with a longer key": ("leaf", in_node(6, 32)),
    "a record that is a database": ("leaf", in_node(4, 2)),
    "a record that is a list of duplicates": ("leaf", in_node(4, 4)),
    "a record that lies elsewhere and nowhere": ("leaf", in_node(4, 1)),
    "a large record of too few pages": ("large", set_word(12, 0)),
    "a large record of too many pages": ("large", set_word(14, 1)),
    "a large record that is a leaf": ("large", set_word(10, 2)),
}


@pytest.mark.parametrize(("kind", "bend"), BENDS.values(), ids=BENDS)
def test_what_the_engine_would_follow_astray_is_refused(
    good: bytes, tmp_path: Path, kind: str, bend: Callable[[bytearray, int], None]
):
    for base in pages_of(good)[kind]:
        data = bytearray(good)
        bend(data, base)
        with pytest.raises(LayerRejected, match="damaged: page"):
            check(tmp_path / "copy", data)


@pytest.mark.parametrize("kept", [0, 1, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 2 * PAGE_BYTES, -PAGE_BYTES, -1])
def test_a_file_shorter_than_its_pages_is_refused(good: bytes, tmp_path: Path, kept: int):
    with pytest.raises(LayerRejected, match="cut short"):
        check(tmp_path / "copy", good[:kept])


META = {
    "magic": (16, 0),
    "version": (20, 2),
    "fixed map": (24, 1),
    "page size": (40, 8192),
    "flags": (44, 1),
    "comparison": (92, 8),
    "depth": (94, 33),
    "no depth": (94, 0),
    "another depth": (94, 1),
    "entries": (120, 9),
    "root": (128, 0),
    "last page": (136, 0xFFFF),
    "no pages": (136, 1),
}


@pytest.mark.parametrize(("place", "value"), META.values(), ids=META)
def test_a_meta_page_of_another_form_is_refused(good: bytes, tmp_path: Path, place: int, value: int):
    data = bytearray(good)
    for base in (0, PAGE_BYTES):
        struct.pack_into("<H", data, base + place, value)
    with pytest.raises(LayerRejected):
        check(tmp_path / "copy", data)


@settings(max_examples=400)
@given(place=st.integers(0, 1 << 30), value=st.binary(min_size=1, max_size=4), header=st.booleans())
def test_what_passes_is_sound_to_the_librarys_own_verifier(
    good: bytes, tmp_path_factory: pytest.TempPathFactory, place: int, value: bytes, *, header: bool
):
    data = bytearray(good)
    place = place // 128 % (len(data) // PAGE_BYTES) * PAGE_BYTES + place % 128 if header else place % len(data)
    data[place : place + len(value)] = value
    path = tmp_path_factory.getbasetemp() / "bent.lmdb"
    try:
        check(path, data[: len(good)])
    except LayerRejected:
        return
    found = [
        problem for problem in verify.verify(str(path), subdir=False) if not any(one in problem for one in HARMLESS)
    ]
    assert found == []
