"""Merkle trees as in RFC 9162 §2.1: tree hash, inclusion paths, and the root an inclusion path leads to. Pure.

Leaves and inner nodes are hashed under different first bytes, so that no inner node can pass for a leaf. Trees
are built level by level: a node without a right neighbour moves up unchanged, which gives the RFC's split at the
largest power of two without recursion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from service.errors import ReceiptRejected

HASH_BYTES: Final = 32
#: RFC 9162 §2.1.1: the hash of a tree without leaves.
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(_NODE + left + right).digest()


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels of the tree over leaf hashes, from the leaves to the root; at least one leaf."""
    level = list(leaves)
    tree = [level]
    while len(level) > 1:
        pairs = range(0, len(level) - 1, 2)
        above = [node_hash(level[i], level[i + 1]) for i in pairs]
        if len(level) % 2:
            above.append(level[-1])
        tree.append(above)
        level = above
    return tree


def tree_hash(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf hashes, in memory that grows with the logarithm of their number."""
    root = RunningRoot()
    for leaf in leaves:
        root.add(leaf)
    return root.value()


def siblings(index: int, size: int) -> list[tuple[int, int]]:
    """(level, position) of each node on the inclusion path of leaf `index` in a tree of `size` leaves, leaf to root."""
    path = []
    level = 0
    while size > 1:
        neighbour = index ^ 1
        if neighbour < size:
            path.append((level, neighbour))
        index, size, level = index // 2, (size + 1) // 2, level + 1
    return path


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion path of leaf `index`, leaf to root (RFC 9162 §2.1.3.1)."""
    tree = levels(leaves)
    return [tree[level][position] for level, position in siblings(index, len(leaves))]


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that `path` leads to from leaf `index` of `size` (RFC 9162 §2.1.3.2).

    Raises `ReceiptRejected` if the index lies outside the tree or the path has another length than the tree asks
    for: a path that is too long or too short must never be cut to fit.
    """
    if not 0 <= index < size:
        raise ReceiptRejected("index_outside_batch")
    wanted = siblings(index, size)
    if len(path) != len(wanted) or any(len(node) != HASH_BYTES for node in path):
        raise ReceiptRejected("malformed_path")
    value = leaf
    for node, (_, position) in zip(path, wanted, strict=True):
        value = node_hash(value, node) if position % 2 else node_hash(node, value)
    return value


class RunningRoot:
    """The root of leaves that arrive one by one; keeps one hash for each set bit of their count."""

    __slots__ = ("_peaks", "count")

    def __init__(self) -> None:
        self.count = 0
        self._peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Take the next leaf hash."""
        node, count = leaf, self.count
        while count & 1:
            node = node_hash(self._peaks.pop(), node)
            count >>= 1
        self._peaks.append(node)
        self.count += 1

    def value(self) -> bytes:
        """The root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node
