from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from service.errors import LayerRejected
from service.rights.model import Absence, Planted
from service.snapshot.entries import CANARY, decode_entry, encode_contract, encode_entry, encode_tombstone
from service.snapshot.records import Layer
from service.snapshot.seal import LayerKey, record_key, seal, seal_probe

PEPPER, SALT = bytes(range(32)), bytes(16)
KEY = LayerKey(PEPPER, SALT)
PEOPLE = [f"nir|1850575{number:06d}|1985-05-12|1" for number in range(300)]


def write(path: Path, items: dict[str, bytes], *, probe: bool = True) -> Path:
    with (
        lmdb.open(str(path), subdir=False, lock=False, map_size=1 << 24, lib_version=0) as environment,
        environment.begin(write=True) as transaction,
    ):
        for identity, plaintext in items.items():
            derived = KEY.derive(identity)
            transaction.put(record_key(derived), seal(derived, plaintext, SALT))
        if probe:
            transaction.put(*seal_probe(KEY))
    return path


@pytest.fixture
def path(tmp_path: Path, plaintext: bytes) -> Path:
    return write(tmp_path / "records.lmdb", {**dict.fromkeys(PEOPLE, plaintext), "gone": encode_tombstone()})


@pytest.fixture
def plaintext() -> bytes:
    vectors = Path(__file__).parents[2] / "data" / "snapshot_vectors.json"
    return bytes.fromhex(json.loads(vectors.read_text())["entries"][1]["plaintext"])


@pytest.fixture
def layer(path: Path) -> Iterator[Layer]:
    layer = Layer(path, KEY)
    yield layer
    layer.close()


def test_a_canary_is_found_like_anyone_and_known_to_the_product(tmp_path: Path, plaintext: bytes):
    contracts = decode_entry(plaintext).contracts
    encoded = sorted(encode_contract(one) for one in contracts)
    entries = {PEOPLE[0]: encode_entry(CANARY, encoded), PEOPLE[1]: encode_entry(0, encoded)}
    layer = Layer(write(tmp_path / "planted.lmdb", entries), KEY)
    planted, ordinary = layer.find(PEOPLE[0]), layer.find(PEOPLE[1])
    assert planted == ordinary
    assert [isinstance(found, Planted) for found in (planted, ordinary)] == [True, False]
    layer.close()


def test_every_identity_is_found_and_no_other(layer: Layer, plaintext: bytes):
    expected = decode_entry(plaintext)
    assert layer.entries == len(PEOPLE) + 1
    assert all(layer.lookup(identity) == expected for identity in PEOPLE)
    assert layer.find(PEOPLE[0]) == expected.contracts
    assert layer.find("nir|1850575000000|1985-05-12|2") is Absence.NO_RECORD
    assert layer.find("nir|1850575000000|1985-05-13|1") is Absence.NO_RECORD


def test_a_tombstone_is_no_record_but_can_be_told_apart(layer: Layer):
    entry = layer.lookup("gone")
    assert not isinstance(entry, Absence)
    assert entry.deleted
    assert layer.find("gone") is Absence.NO_RECORD


def test_a_record_altered_in_place_is_unreadable_and_the_others_are_not(path: Path):
    with (
        lmdb.open(str(path), subdir=False, lock=False, lib_version=0, map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
    ):
        key = record_key(KEY.derive(PEOPLE[7]))
        sealed = bytearray(transaction.get(key) or b"")
        sealed[20] ^= 1
        transaction.put(key, bytes(sealed))
    layer = Layer(path, KEY)
    assert layer.find(PEOPLE[7]) is Absence.UNREADABLE
    assert not isinstance(layer.find(PEOPLE[8]), Absence)
    layer.close()


def test_a_record_swapped_with_a_neighbours_is_unreadable(path: Path):
    one, other = (record_key(KEY.derive(identity)) for identity in PEOPLE[:2])
    with (
        lmdb.open(str(path), subdir=False, lock=False, lib_version=0, map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
    ):
        values = transaction.get(one), transaction.get(other)
        transaction.put(one, values[1] or b"")
        transaction.put(other, values[0] or b"")
    layer = Layer(path, KEY)
    assert layer.find(PEOPLE[0]) is Absence.UNREADABLE
    layer.close()


def test_a_well_sealed_plaintext_of_another_format_is_unreadable(tmp_path: Path):
    layer = Layer(write(tmp_path / "records.lmdb", {PEOPLE[0]: b"\xc1" * 64}), KEY)
    assert layer.find(PEOPLE[0]) is Absence.UNREADABLE
    layer.close()


@pytest.mark.parametrize("key", [LayerKey(b"another pepper".ljust(32), SALT), LayerKey(PEPPER, b"\x01" * 16)])
def test_a_wrong_pepper_or_salt_is_refused_and_does_not_make_everybody_unknown(path: Path, key: LayerKey):
    with pytest.raises(LayerRejected, match="probe"):
        Layer(path, key)


def test_a_layer_without_probe_is_refused(tmp_path: Path, plaintext: bytes):
    with pytest.raises(LayerRejected, match="probe"):
        Layer(write(tmp_path / "records.lmdb", {PEOPLE[0]: plaintext}, probe=False), KEY)


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 8192, 3 * 4096, "half", "last"])
def test_a_file_cut_short_is_refused_before_a_page_is_touched(path: Path, size: int | str):
    whole = path.stat().st_size
    os.truncate(path, {"half": whole // 2, "last": whole - 1}[size] if isinstance(size, str) else size)
    with pytest.raises(LayerRejected):
        Layer(path, KEY)


def test_what_is_not_lmdb_or_not_there_is_refused(tmp_path: Path):
    (tmp_path / "noise").write_bytes(os.urandom(1 << 16))
    for name in ("noise", "absent"):
        with pytest.raises(LayerRejected):
            Layer(tmp_path / name, KEY)
    assert not (tmp_path / "absent").exists()


def test_another_file_format_of_the_engine_is_refused(tmp_path: Path):
    path = tmp_path / "records.lmdb"
    with (
        lmdb.open(str(path), subdir=False, lock=False, map_size=1 << 24, lib_version=1) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(*seal_probe(KEY))
    with pytest.raises(LayerRejected, match="not a layer"):
        Layer(path, KEY)


def test_a_layer_is_opened_read_only_and_leaves_no_lock(path: Path):
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        layer = Layer(path, KEY)
        layer.close()
    finally:
        path.parent.chmod(0o755)
    assert [entry.name for entry in path.parent.iterdir()] == ["records.lmdb"]
