from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ReceiptRejected
from service.journal import merkle
from tests.unit.journal.journal_node import naive_path, naive_root

SIZES = st.integers(1, 70)


def leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(bytes([i])) for i in range(size)]


@given(SIZES)
def test_the_root_is_that_of_the_recursive_definition(size: int):
    assert merkle.levels(leaves(size))[-1] == [naive_root(leaves(size))]
    assert merkle.tree_hash(leaves(size)) == naive_root(leaves(size))


@given(SIZES, st.data())
def test_every_path_is_that_of_the_recursive_definition_and_leads_to_the_root(size: int, data: st.DataObject):
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_path(leaves(size), index)
    assert path == naive_path(index, leaves(size))
    assert merkle.root_from_path(leaves(size)[index], index, size, path) == naive_root(leaves(size))


@given(SIZES, st.data())
def test_no_other_leaf_index_or_size_leads_to_the_root(size: int, data: st.DataObject):
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_path(leaves(size), index)
    root = naive_root(leaves(size))
    assert merkle.root_from_path(merkle.leaf_hash(b"other"), index, size, path) != root
    for other in set(range(size)) - {index}:
        with suppress(ReceiptRejected):
            assert merkle.root_from_path(leaves(size)[index], other, size, path) != root


def test_a_leaf_is_not_a_node():
    assert merkle.leaf_hash(b"a" * 64) == hashlib.sha256(b"\x00" + b"a" * 64).digest()
    assert merkle.node_hash(b"a" * 32, b"a" * 32) == hashlib.sha256(b"\x01" + b"a" * 64).digest()


def test_the_empty_tree_has_the_hash_of_nothing():
    assert merkle.tree_hash([]) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("index", [-1, 3, 2**70])
def test_an_index_outside_the_tree_is_refused(index: int):
    with pytest.raises(ReceiptRejected, match="index_outside_batch"):
        merkle.root_from_path(leaves(3)[0], index, 3, [])


@pytest.mark.parametrize(
    "change", [lambda path: path[:-1], lambda path: [*path, path[0]], lambda path: [b"", *path[1:]]]
)
def test_a_path_of_another_length_is_refused(change: Callable[[list[bytes]], list[bytes]]):
    path = merkle.inclusion_path(leaves(5), 1)
    with pytest.raises(ReceiptRejected, match="malformed_path"):
        merkle.root_from_path(leaves(5)[1], 1, 5, change(path))
