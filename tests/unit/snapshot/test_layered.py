"""One contract for every store of records, and what a delta adds to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.rights.model import Absence, Contract
from service.snapshot.entries import Entry
from service.snapshot.mapped import _MAPPED
from service.snapshot.records import Layer, Layered, RecordStore
from service.snapshot.seal import LayerKey, record_key, seal
from tests.unit.snapshot.layer_maker import Item, base_items, delta_items, entry, over, write_layer
from tests.unit.snapshot.snapshot_maker import contract

BASE, DELTA = LayerKey(b"b" * 32, bytes(16)), LayerKey(b"d" * 32, b"\x01" * 16)
OPEN, OTHER = (contract(),), (contract(member="M2"), contract(member="M3"))
HELD, GONE, BROKEN, NOBODY = (f"nir|185057511600{number}|1985-05-12|1" for number in range(4))
#: What each store must say: contracts, a tombstone (None), or a record that does not open.
TRUTH: dict[str, tuple[Contract, ...] | Absence | None] = {HELD: OPEN, GONE: None, BROKEN: Absence.UNREADABLE}
PEOPLE = {identity: said for identity, said in TRUTH.items() if not isinstance(said, Absence)}
STALE = dict.fromkeys([HELD, GONE, BROKEN], OTHER)


class Double:
    """The simplest store there can be."""

    def __init__(self, truth: Mapping[str, tuple[Contract, ...] | Absence | None]) -> None:
        self._truth = truth

    def lookup(self, identity: str) -> Entry | Absence:
        said = self._truth.get(identity, Absence.NO_RECORD)
        if isinstance(said, Absence):
            return said
        return Entry((), deleted=True) if said is None else Entry(said)

    def find(self, identity: str) -> tuple[Contract, ...] | Absence:
        found = self.lookup(identity)
        if isinstance(found, Absence):
            return found
        return Absence.NO_RECORD if found.deleted else found.contracts

    def close(self) -> None:
        pass


def layer(folder: Path, key: LayerKey, items: list[Item]) -> Layer:
    return Layer(write_layer(folder / f"{key.salt.hex()}.lmdb", key, items), key)


def noise(key: bytes) -> Item:
    return key, b"\x00" * 80


def in_one_layer(folder: Path) -> RecordStore:
    return layer(folder, BASE, [*base_items(BASE, PEOPLE), noise(record_key(BASE.derive(BROKEN)))])


def in_a_delta_over_a_stale_base(folder: Path) -> RecordStore:
    broken = noise(record_key(DELTA.place(record_key(BASE.derive(BROKEN)))))
    delta = layer(folder, DELTA, [*delta_items(DELTA, BASE, PEOPLE), broken])
    return Layered(delta, layer(folder, BASE, base_items(BASE, STALE)))


def in_the_base_of_a_delta_about_others(folder: Path) -> RecordStore:
    delta = layer(folder, DELTA, delta_items(DELTA, BASE, {"nir|2850575116001|1985-05-12|1": OTHER}))
    base = [*base_items(BASE, PEOPLE), noise(record_key(BASE.derive(BROKEN)))]
    return Layered(delta, layer(folder, BASE, base))


STORES: list[Callable[[Path], RecordStore]] = [
    lambda _: Double(TRUTH),
    in_one_layer,
    in_a_delta_over_a_stale_base,
    in_the_base_of_a_delta_about_others,
]


@pytest.mark.parametrize("make", STORES, ids=["double", "layer", "delta", "base of a delta"])
def test_every_store_keeps_the_contract(make: Callable[[Path], RecordStore], tmp_path: Path):
    store = make(tmp_path)
    assert store.find(HELD) == OPEN
    held, gone = store.lookup(HELD), store.lookup(GONE)
    assert isinstance(held, Entry)
    assert (held.contracts, held.deleted) == (OPEN, False)
    assert isinstance(gone, Entry)
    assert gone.deleted
    assert store.find(GONE) is Absence.NO_RECORD
    assert store.find(BROKEN) is store.lookup(BROKEN) is Absence.UNREADABLE
    assert store.find(NOBODY) is store.lookup(NOBODY) is Absence.NO_RECORD
    store.close()


# What a delta adds


def layered(folder: Path, changes: list[Item], base: Mapping[str, tuple[Contract, ...] | None]) -> Layered:
    return Layered(layer(folder, DELTA, changes), layer(folder, BASE, base_items(BASE, base)))


def test_somebody_new_needs_no_record_in_the_base(tmp_path: Path):
    store = layered(tmp_path, [over(DELTA, BASE, NOBODY, OPEN)], {HELD: OTHER})
    assert (store.find(NOBODY), store.find(HELD)) == (OPEN, OTHER)
    store.close()


@pytest.mark.parametrize("sealed_for", [GONE, NOBODY])
def test_a_record_moved_to_anothers_place_is_unreadable_and_never_the_bases(tmp_path: Path, sealed_for: str):
    place = record_key(DELTA.place(record_key(BASE.derive(HELD))))
    _, live = over(DELTA, BASE, sealed_for, OPEN)
    _, tombstone = over(DELTA, BASE, sealed_for, None)
    for number, moved in enumerate((live, tombstone)):
        folder = tmp_path / str(number)
        folder.mkdir()
        store = layered(folder, [(place, moved)], {HELD: OTHER})
        assert store.find(HELD) is Absence.UNREADABLE
        store.close()


def test_a_person_sealed_under_a_place_is_unreadable(tmp_path: Path):
    place = DELTA.place(record_key(BASE.derive(HELD)))
    store = layered(tmp_path, [(record_key(place), seal(place, entry(OPEN), DELTA.salt))], {HELD: OTHER})
    assert store.find(HELD) is Absence.UNREADABLE
    store.close()


def test_a_record_of_the_base_is_no_record_of_the_delta(tmp_path: Path):
    """Copied into the delta as it lies in the base: neither at its old key nor at its place does it speak."""
    derived = BASE.derive(HELD)
    stolen = seal(derived, entry(OTHER), BASE.salt)
    place = record_key(DELTA.place(record_key(derived)))
    store = layered(tmp_path, [(record_key(derived), stolen), (place, stolen)], {HELD: OPEN})
    assert store.find(HELD) is Absence.UNREADABLE
    store.close()


def test_two_deltas_over_one_base_are_open_at_once_and_close_one_by_one(tmp_path: Path):
    """What happens at every nightly swap: the new delta is opened while the former still serves."""
    path = write_layer(tmp_path / "base.lmdb", BASE, base_items(BASE, {HELD: OPEN, GONE: OPEN}))
    other = LayerKey(b"d" * 32, b"\x02" * 16)
    former = Layered(layer(tmp_path, DELTA, [over(DELTA, BASE, GONE, None)]), Layer(path, BASE))
    latter = Layered(layer(tmp_path, other, [over(other, BASE, HELD, OTHER)]), Layer(path, BASE))
    assert (former.find(HELD), former.find(GONE)) == (OPEN, Absence.NO_RECORD)
    former.close()
    assert (latter.find(HELD), latter.find(GONE)) == (OTHER, OPEN)
    latter.close()
    assert not _MAPPED


def test_every_item_is_listed_in_order_with_the_probe(tmp_path: Path):
    one = layer(tmp_path, BASE, base_items(BASE, {HELD: OPEN, GONE: OTHER}))
    items = list(one.items())
    assert items == sorted(items)
    assert len(items) == one.entries + 1 == 3
    assert {key for key, _ in items} >= {record_key(BASE.derive(identity)) for identity in (HELD, GONE)}
    one.close()


IDENTITIES = [f"nir|185057511600{number}|1985-05-12|{rank}" for number in range(4) for rank in (1, 2)]
SAID = st.dictionaries(st.sampled_from(IDENTITIES), st.sampled_from([OPEN, OTHER, None]))


@given(base=SAID, changes=SAID)
def test_a_delta_over_a_base_answers_as_the_later_of_both(
    tmp_path_factory: pytest.TempPathFactory,
    base: dict[str, tuple[Contract, ...] | None],
    changes: dict[str, tuple[Contract, ...] | None],
):
    truth = Double({**base, **changes})
    store = layered(tmp_path_factory.mktemp("layers"), delta_items(DELTA, BASE, changes), base)
    for identity in IDENTITIES:
        assert store.find(identity) == truth.find(identity)
    store.close()
