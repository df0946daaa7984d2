"""Where a data file's parts lie, by their names: so that damage reaches each of them, and the engine by all of them.

Layouts of LMDB 0.9 (mdb.c), read here without the product.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

PAGE = 4096
_HEADER = 16
_META = 136


def regions(data: bytes) -> dict[str, list[int]]:
    """Offsets of bytes by the part of the file they belong to."""
    found: dict[str, list[int]] = {}
    root = root_page(data) * PAGE
    leaves = list(_children(data, root))
    for name, offsets in _named(data, root, leaves):
        found.setdefault(name, []).extend(offsets)
    used = {0, PAGE, root, *leaves}
    found["pages in no use"] = [base + 100 for base in range(0, len(data), PAGE) if base not in used]
    return found


def root_page(data: bytes) -> int:
    """The root, by the newer of the two meta pages."""
    newer = max((0, PAGE), key=lambda base: int(struct.unpack_from("<Q", data, base + 144)[0]))
    return int(struct.unpack_from("<Q", data, newer + 128)[0])


def _named(data: bytes, root: int, leaves: list[int]) -> Iterator[tuple[str, range | list[int]]]:
    for number in (0, 1):
        base = number * PAGE
        yield f"meta page {number}", range(base, base + _HEADER + _META)
        yield "rest of the meta pages", [base + 1000, base + PAGE - 1]
    for kind, pages in (("branch", [root]), ("leaf", leaves[:3] + leaves[-1:])):
        for base in pages:
            lower, upper = struct.unpack_from("<HH", data, base + 12)
            yield f"{kind} header", range(base, base + _HEADER)
            yield f"{kind} pointers", range(base + _HEADER, base + lower)
            yield f"{kind} free space", range(base + lower, base + upper)
            for place in _places(data, base):
                key = struct.unpack_from("<H", data, base + place + 6)[0]
                yield f"{kind} node header", range(base + place, base + place + 8)
                yield f"{kind} key", range(base + place + 8, base + place + 8 + key)
                if kind == "leaf":
                    size = struct.unpack_from("<H", data, base + place)[0]
                    yield "sealed value", range(base + place + 8 + key, base + place + 8 + key + size)


def _places(data: bytes, base: int) -> tuple[int, ...]:
    count = (struct.unpack_from("<H", data, base + 12)[0] - _HEADER) // 2
    return struct.unpack_from(f"<{count}H", data, base + _HEADER)


def _children(data: bytes, base: int) -> Iterator[int]:
    for place in _places(data, base):
        yield int(struct.unpack_from("<I", data, base + place)[0]) * PAGE
