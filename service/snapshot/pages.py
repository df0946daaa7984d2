"""The pages of a layer, looked at before the engine is let near them.

LMDB follows every page number and offset a file gives it, and checks none: one wrong bit, correctly signed, is enough
to read beyond the map and kill the process (SIGBUS), at the first lookup or at a chosen person's. So everything the
engine can reach from the root is checked here, by reads that cannot fault, to be what `LayerWriter` writes: one unnamed
tree of 16-byte keys, without duplicates. Layouts: LMDB 0.9, mdb.c, `MDB_meta`, `MDB_db`, `MDB_page`, `MDB_node`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import reduce
from operator import or_, sub
from struct import Struct, unpack_from
from typing import Final

from service.errors import LayerRejected

PAGE_BYTES: Final = 4096
_KEY_BYTES: Final = 16
_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
#: As deep as the engine's cursors go (`CURSOR_STACK`).
_MAX_DEPTH: Final = 32
_META_PAGES: Final = 2
#: About a hundredth of a second's work.
_STEP_PAGES: Final = 1024
#: `mm_flags` of a file we write: MDB_NOSUBDIR, and MDB_INTEGERKEY of the list of free pages.
_META_FLAGS: Final = 0x4008

_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
_BIG: Final = 1  # F_BIGDATA: the value lies on pages of its own

#: Number, pad, flags, then the bounds of free space; on an overflow page their place holds the count of pages.
_PAGE: Final = Struct("<QHHHH")
_OVERFLOW_PAGE: Final = Struct("<QHHI")
#: Low and high half of a leaf value's size (of a branch's child with the flags on top), flags, size of the key.
_NODE: Final = Struct("<HHHH")
_NUMBER: Final = Struct("<Q")
#: Magic, version, address, map size; page size, flags of the free list; flags, depth, entries, root of the tree; last
#: page, transaction.
_META_DATA: Final = Struct("<IIQQIH42xIHH24xQQQQ")
_NODE_BYTES: Final = _NODE.size + _KEY_BYTES
#: With a record's whole size added, its header as one number: that of the value, flags 0, a key of 16 bytes.
_PLAIN: Final = (_KEY_BYTES << 48) - _NODE_BYTES


def check_pages(file: io.FileIO, step: Callable[[], object] = lambda: None) -> int:
    """How many records lie in the layer, its probe included. `step` is called now and then, and may raise to end it.

    Raises `LayerRejected` where a page the engine could reach is not as it must be, and `OSError` for the disk.
    """
    return _Walk(file, step).run()


class _Walk:
    """One walk over a file, from the newer meta page down; no page is met twice."""

    def __init__(self, file: io.FileIO, step: Callable[[], object]) -> None:
        self._step = step
        self._descriptor = file.fileno()
        self._pages = os.fstat(self._descriptor).st_size // PAGE_BYTES
        self._met = bytearray(self._pages)
        self._entries = 0

    def run(self) -> int:
        depth, entries, root, last, _ = max(
            (self._meta(number) for number in range(_META_PAGES)), key=lambda meta: meta[-1]
        )
        if last >= self._pages:
            raise LayerRejected("the layer is cut short")
        self._pages = last + 1
        self._tree(root, depth)
        if self._entries != entries:
            raise LayerRejected(f"the layer holds {self._entries} records instead of {entries}")
        return entries

    def _meta(self, number: int) -> tuple[int, int, int, int, int]:
        """Depth, entries, root, last page and transaction, as one of the two meta pages has them."""
        page = self._read(number)
        magic, version, address, _, size, free, pad, flags, depth, *rest = _META_DATA.unpack_from(page, _PAGE.size)
        entries, root, last, transaction = rest
        fixed = (magic, version, address, size, free, pad, flags)
        if fixed != (_MAGIC, _VERSION, 0, PAGE_BYTES, _META_FLAGS, 0, 0) or _PAGE.unpack_from(page)[2] != _META:
            raise LayerRejected(f"page {number} does not begin a layer this version can read")
        return depth, entries, root, last, transaction

    def _tree(self, number: int, depth: int) -> None:
        """Every page below, in the order of the keys: the order in which they were written."""
        if not 1 <= depth <= _MAX_DEPTH:
            raise _damaged(number, f"lies on a tree {depth} deep")
        page = self._met_once(number)
        own, _, kind, lower, upper = _PAGE.unpack_from(page)
        if own != number or kind != (_LEAF if depth == 1 else _BRANCH):
            raise _damaged(number, "is of another kind or place")
        count = (lower - _PAGE.size) // 2
        # The engine stops the process at a branch of one child.
        if lower % 2 or not _PAGE.size < lower <= upper <= PAGE_BYTES or (depth > 1 and count < 2):
            raise _damaged(number, "has bounds that cannot be")
        places = unpack_from(f"<{count}H", page, _PAGE.size)
        if depth == 1:
            self._leaf(number, page, places)
            return
        for child in self._children(number, page, places):
            self._tree(child, depth - 1)

    def _children(self, number: int, page: bytes, places: tuple[int, ...]) -> list[int]:
        children = []
        for place in places:
            low, high, top, key_bytes = self._node(number, page, place)
            if place + _NODE.size + key_bytes > PAGE_BYTES:
                raise _damaged(number, "has a key beyond its end")
            children.append(low | high << 16 | top << 32)
        return children

    def _leaf(self, number: int, page: bytes, places: tuple[int, ...]) -> None:
        self._entries += len(places)
        if _is_plain(page, places):
            return
        for place in places:
            low, high, flags, key_bytes = self._node(number, page, place)
            here = _NUMBER.size if flags else low | high << 16
            if flags not in (0, _BIG) or key_bytes != _KEY_BYTES or place + _NODE_BYTES + here > PAGE_BYTES:
                raise _damaged(number, "has a record of another form or beyond its end")
            if flags:
                self._overflow(_NUMBER.unpack_from(page, place + _NODE_BYTES)[0], low | high << 16)

    def _node(self, number: int, page: bytes, place: int) -> tuple[int, int, int, int]:
        if place > PAGE_BYTES - _NODE.size:
            raise _damaged(number, "leads out of itself")
        low, high, flags, key_bytes = _NODE.unpack_from(page, place)
        return low, high, flags, key_bytes

    def _overflow(self, number: int, size: int) -> None:
        own, _, kind, count = _OVERFLOW_PAGE.unpack_from(self._met_once(number))
        if (own, kind, count) != (number, _OVERFLOW, (_PAGE.size + size + PAGE_BYTES - 1) // PAGE_BYTES):
            raise _damaged(number, "is of another kind, place or size")
        for further in range(number + 1, number + count):
            self._mark(further)

    def _met_once(self, number: int) -> bytes:
        self._mark(number)
        if not number % _STEP_PAGES:
            self._step()
        return self._read(number)

    def _mark(self, number: int) -> None:
        if not _META_PAGES <= number < self._pages:
            raise _damaged(number, "does not exist")
        if self._met[number]:
            raise _damaged(number, "is reached twice")
        self._met[number] = 1

    def _read(self, number: int) -> bytes:
        page = os.pread(self._descriptor, PAGE_BYTES, number * PAGE_BYTES)
        if len(page) != PAGE_BYTES:
            raise LayerRejected("the layer is cut short")
        return page


def _is_plain(page: bytes, places: tuple[int, ...]) -> bool:
    """Whether a leaf is as a sorted append leaves it: records one below the other, each filling what it has.

    Nearly every page is, and this costs a quarter of looking at each record by itself.
    """
    sizes = list(map(sub, (PAGE_BYTES, *places), places))
    if min(sizes) < _NODE_BYTES or reduce(or_, places) & 7:
        return False
    words = memoryview(page).cast("Q")
    return [words[place >> 3] for place in places] == [_PLAIN + size for size in sizes]


def _damaged(number: int, how: str) -> LayerRejected:
    return LayerRejected(f"the layer is damaged: page {number} {how}")
