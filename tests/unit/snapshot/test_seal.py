from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RecordUnreadable
from service.rights.model import Contract
from service.snapshot import chunks, columns, dialects
from service.snapshot.entries import decode_entry, encode_contract, encode_entry, encode_tombstone, pad
from service.snapshot.seal import (
    PROBE_IDENTITY,
    LayerKey,
    open_sealed,
    opens_probe,
    record_key,
    seal,
    seal_probe,
)

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "snapshot_vectors.json").read_text())
ENTRIES = VECTORS["entries"]
DELTA = VECTORS["delta"]
PEPPER, SALT = bytes.fromhex(VECTORS["pepper"]), bytes.fromhex(VECTORS["salt"])


@pytest.fixture
def key() -> LayerKey:
    return LayerKey(PEPPER, SALT)


@pytest.mark.parametrize("vector", [VECTORS["probe"], *ENTRIES], ids=lambda vector: vector["identity"])
def test_the_vectors_hold_for_the_product(key: LayerKey, vector: dict[str, str]):
    derived = key.derive(vector["identity"])
    plaintext = bytes.fromhex(vector["plaintext"])
    assert record_key(derived).hex() == vector["record_key"]
    assert seal(derived, plaintext, SALT).hex() == vector["sealed"]
    assert open_sealed(derived, bytes.fromhex(vector["sealed"]), SALT) == plaintext


@pytest.mark.parametrize("vector", [VECTORS["probe"], *ENTRIES], ids=lambda vector: vector["identity"])
def test_the_vectors_hold_for_the_standard_library(vector: dict[str, str]):
    layer_key = hmac.digest(PEPPER, b"relais-layer-1" + SALT, hashlib.sha512)
    derived = hmac.digest(layer_key, vector["identity"].encode(), hashlib.sha512)
    assert layer_key.hex() == VECTORS["layer_key"]
    assert (derived[:16].hex(), derived[16:48].hex(), derived[48:60].hex()) == (
        vector["record_key"],
        vector["aes_key"],
        vector["nonce"],
    )
    opened = AESGCM(derived[16:48]).decrypt(derived[48:60], bytes.fromhex(vector["sealed"]), SALT)
    assert opened.hex() == vector["plaintext"]


@pytest.mark.parametrize("vector", ENTRIES, ids=lambda vector: vector["name"])
def test_the_vectors_plaintexts_are_their_contracts(vector: dict[str, Any]):
    plaintext = bytes.fromhex(vector["plaintext"])
    if vector["contracts"] is None:
        assert plaintext == encode_tombstone()
        return
    encoded = sorted(encode_contract(msgspec.convert(value, Contract)) for value in vector["contracts"])
    assert plaintext == encode_entry(vector["flags"], encoded)
    assert [encode_contract(contract) for contract in decode_entry(plaintext).contracts] == encoded
    # and by a generic MessagePack reader
    flags, stored = msgspec.msgpack.decode(plaintext.rstrip(b"\x00").removesuffix(b"\x80"))
    assert flags == vector["flags"]
    assert all(len(contract) == 14 for contract in stored)


@pytest.mark.parametrize("vector", [DELTA["probe"], *DELTA["records"]], ids=lambda vector: vector["identity"])
def test_the_vectors_of_a_delta_hold_for_the_product(key: LayerKey, vector: dict[str, Any]):
    delta = LayerKey(bytes.fromhex(DELTA["pepper"]), bytes.fromhex(DELTA["salt"]))
    derived = delta.derive(vector["identity"])
    if "place" in vector:
        base_record_key = record_key(key.derive(vector["identity"]))
        place = delta.place(base_record_key)
        assert (base_record_key.hex(), place.hex()) == (vector["base_record_key"], vector["place"])
        derived = place if vector["contracts"] is None else derived
        assert record_key(place).hex() == vector["record_key"]
    plaintext = bytes.fromhex(vector["plaintext"])
    assert seal(derived, plaintext, delta.salt).hex() == vector["sealed"]
    assert open_sealed(derived, bytes.fromhex(vector["sealed"]), delta.salt) == plaintext


@pytest.mark.parametrize("vector", DELTA["records"], ids=lambda vector: vector["name"])
def test_the_vectors_of_a_delta_hold_for_the_standard_library(vector: dict[str, Any]):
    pepper, salt = bytes.fromhex(DELTA["pepper"]), bytes.fromhex(DELTA["salt"])
    base_key = bytes.fromhex(VECTORS["layer_key"])
    delta_key = hmac.digest(pepper, b"relais-layer-1" + salt, hashlib.sha512)
    assert delta_key.hex() == DELTA["layer_key"]
    base_record_key = hmac.digest(base_key, vector["identity"].encode(), hashlib.sha512)[:16]
    over = b"over|" + base64.urlsafe_b64encode(base_record_key).rstrip(b"=")
    place = hmac.digest(delta_key, over, hashlib.sha512)
    assert (base_record_key.hex(), place.hex()) == (vector["base_record_key"], vector["place"])
    live = hmac.digest(delta_key, vector["identity"].encode(), hashlib.sha512)
    derived = place if vector["name"] == "gone" else live
    assert (place[:16].hex(), derived[16:48].hex(), derived[48:60].hex()) == (
        vector["record_key"],
        vector["aes_key"],
        vector["nonce"],
    )
    opened = AESGCM(derived[16:48]).decrypt(derived[48:60], bytes.fromhex(vector["sealed"]), salt)
    assert opened.hex() == vector["plaintext"]


def test_a_tombstone_of_the_vectors_is_nil_under_its_place():
    (gone,) = [vector for vector in DELTA["records"] if vector["contracts"] is None]
    assert bytes.fromhex(gone["plaintext"]) == encode_tombstone() == b"\xc0\x80" + bytes(62)


def test_the_probe_says_the_salt(key: LayerKey):
    place, sealed = seal_probe(key)
    assert place == record_key(key.derive(PROBE_IDENTITY))
    assert open_sealed(key.derive(PROBE_IDENTITY), sealed, SALT) == pad(SALT)
    assert opens_probe(key, sealed)


def test_a_wrong_pepper_or_salt_opens_no_probe(key: LayerKey):
    _, sealed = seal_probe(key)
    assert not opens_probe(LayerKey(b"another pepper".ljust(32), SALT), sealed)
    assert not opens_probe(LayerKey(PEPPER, bytes(16)), sealed)
    assert not opens_probe(key, sealed[:-1])


def test_a_record_moved_to_another_layer_or_identity_does_not_open(key: LayerKey):
    derived = key.derive("nir|1850575116001|1985-05-12|1")
    sealed = seal(derived, pad(b"x"), SALT)
    with pytest.raises(RecordUnreadable):
        open_sealed(derived, sealed, bytes(16))
    with pytest.raises(RecordUnreadable):
        open_sealed(key.derive("nir|1850575116001|1985-05-12|2"), sealed, SALT)


@given(st.data(), st.binary(max_size=150))
def test_a_flipped_bit_anywhere_does_not_open(data: st.DataObject, plaintext: bytes):
    derived = LayerKey(PEPPER, SALT).derive("nir|1850575116001|1985-05-12|1")
    sealed = bytearray(seal(derived, pad(plaintext), SALT))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RecordUnreadable):
        open_sealed(derived, bytes(sealed), SALT)


@given(st.integers(0, 79))
def test_a_sealed_value_cut_short_does_not_open(size: int):
    derived = LayerKey(PEPPER, SALT).derive("nir|1850575116001|1985-05-12|1")
    with pytest.raises(RecordUnreadable):
        open_sealed(derived, seal(derived, pad(b"x"), SALT)[:size], SALT)


@pytest.mark.parametrize(("pepper", "salt"), [(bytes(31), bytes(16)), (bytes(32), bytes(15)), (bytes(32), bytes(17))])
def test_a_short_pepper_or_an_odd_salt_is_refused(pepper: bytes, salt: bytes):
    with pytest.raises(ValueError, match="32 bytes"):
        LayerKey(pepper, salt)


def test_the_representation_of_a_layer_key_shows_nothing():
    assert PEPPER.hex() not in repr(LayerKey(PEPPER, SALT))


def test_the_page_shows_the_first_vector_and_names_every_column_and_code():
    page = (Path(__file__).parents[3] / "docs" / "snapshot_format.md").read_text("utf-8")
    first = ENTRIES[0]
    shown = [VECTORS["pepper"], VECTORS["salt"], first["record_key"], first["aes_key"], first["nonce"]]
    codes = [columns.MISSING, columns.WRONG_TYPE, columns.MALFORMED, columns.REPEATED, columns.BEFORE_VALID_FROM]
    codes += [columns.NOT_JSON, columns.NOT_UTF8, dialects.NOT_CSV, dialects.UNDECODABLE, chunks.TOO_LONG]
    assert first["identity"].replace("|", r"\|") in page
    assert all(f"`{text}`" in page for text in [*shown, *codes, *columns.COLUMNS])
