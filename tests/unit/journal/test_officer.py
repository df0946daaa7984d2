from __future__ import annotations

import hashlib
import hmac

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from service.base64url import b64u, b64u_decode
from service.errors import KeyRejected
from service.journal.keys import Pseudonyms, derive, parse_officer_jwk, wrap
from service.journal.officer import contradictions, parse_officer_private_jwk, segment_keys, unwrap
from service.journal.selection import Reading, Selection
from service.strictjson import canonical, parse_json_object
from tests.unit.journal.journal_node import OPENING, Node, answer, officer, officer_jwk, pending, public

JOURNAL = "018d7892-0000-7000-8000-000000000000"
DATA_KEY = bytes(range(32))


async def test_an_officer_opens_what_was_sealed(node: Node):
    await node.write(1, 3)
    opened = node.opened()
    assert [item.entry.n for item in opened] == [0, 1, 2, 3]
    for number, item in enumerate(opened):
        assert item.content is not None
        assert item.content["answer"] == answer(number)
        query = canonical(item.content["query"])
        opening = b64u_decode(item.content["opening"])
        assert opening == OPENING
        assert b64u(hmac.digest(opening, query, "sha256")) == item.content["answer"]["asked"]
        assert contradictions(item) == ()


async def test_a_fictitious_nir_has_nothing_to_open(node: Node):
    writer = node.writer()
    await writer.start()
    await writer.record(pending(identity=None))
    await writer.close()
    (item,) = node.opened()
    assert item.content is None
    assert contradictions(item) == ()


async def test_another_officer_opens_nothing(node: Node):
    await node.write(1)
    with pytest.raises(KeyRejected):
        segment_keys(node.segments()[0], officer(8))


async def test_a_torn_tail_ends_the_reading(node: Node):
    await node.write(1)
    with node.segments()[0].open("ab") as file:
        file.write(b'{"at"')
    assert len(node.opened()) == 1


async def test_the_same_person_is_linkable_within_a_segment_only(node: Node):
    await node.write(12)
    await node.write(1)
    first, second = ([item.entry.subject for item in node.opened(path)] for path in node.segments())
    assert first[0] == first[9] != first[1]
    assert second[0] != first[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("client", "other"), ("finess", "750099999"), ("leaf", "A" * 43), ("reasons", ()), ("status", "open")],
)
async def test_an_officer_can_tell_which_entry_of_a_batch_was_changed(node: Node, field: str, value: object):
    await node.write(3)
    item = node.opened()[1]
    changed = msgspec.structs.replace(item.entry, **{field: value})
    assert contradictions(type(item)(changed, item.content)) == (field,)


async def test_a_seal_moved_to_another_entry_does_not_open(node: Node):
    await node.write(1)
    path = node.segments()[0]
    path.write_bytes(path.read_bytes().replace(b'"n":0', b'"n":1'))
    reading = Reading(node.directory, Selection(), officer())
    assert list(reading.entries()) == []
    assert "entry 1 does not open" in reading.broken_off[path.stem]


def test_every_officer_unwraps_the_same_key_and_only_under_its_journal():
    officers = [parse_officer_jwk(public(officer_jwk(seed))) for seed in (7, 8)]
    file = wrap(DATA_KEY, JOURNAL, officers)
    assert unwrap(file, JOURNAL, officer(7)) == unwrap(file, JOURNAL, officer(8)) == DATA_KEY
    other = JOURNAL.replace("-7000", "-7001")
    with pytest.raises(KeyRejected):
        unwrap(file, other, officer(7))
    with pytest.raises(KeyRejected, match="does not open"):
        unwrap(file.replace(JOURNAL.encode(), other.encode()), other, officer(7))


def test_the_wrapping_is_rfc_9180_base_mode_as_the_format_says():
    """Written out from the RFC, so that the bytes do not depend on one library."""
    private = officer()
    (item,) = parse_json_object(wrap(DATA_KEY, JOURNAL, [parse_officer_jwk(public(officer_jwk()))]))["keys"]
    sealed = b64u_decode(item["sealed"])
    encapsulated, ciphertext = sealed[:32], sealed[32:]

    def extract(suite: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")

    def expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
        return HKDFExpand(SHA256(), size, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info).derive(key)

    kem, hpke = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"
    shared = private.key.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    context = encapsulated + private.key.public_key().public_bytes_raw()
    secret = expand(kem, extract(kem, b"", b"eae_prk", shared), b"shared_secret", context, 32)
    schedule = b"\x00" + extract(hpke, b"", b"psk_id_hash", b"") + extract(hpke, b"", b"info_hash", JOURNAL.encode())
    top = extract(hpke, secret, b"secret", b"")
    key, nonce = expand(hpke, top, b"key", schedule, 32), expand(hpke, top, b"base_nonce", schedule, 12)
    assert AESGCM(key).decrypt(nonce, ciphertext, b"") == DATA_KEY


@given(st.binary(min_size=32, max_size=32), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_pseudonym_is_an_hmac(key: bytes, identity: str):
    assert Pseudonyms(key).of(identity) == hmac.new(key, identity.encode(), hashlib.sha256).digest()


def test_derived_keys_differ_by_purpose():
    derived = derive(DATA_KEY)
    assert derived.seal == hmac.digest(DATA_KEY, b"relais-journal/1 seal", "sha256")
    assert derived.subject == hmac.digest(DATA_KEY, b"relais-journal/1 subject", "sha256")


@pytest.mark.parametrize(
    "change",
    [{"crv": "Ed25519"}, {"kty": "EC"}, {"x": "AA"}, {"x": "="}, {"x": 1}, {"use": "sig"}, {"d": 1}, {"d": "A" * 43}],
)
def test_other_keys_are_refused(change: dict[str, object]):
    with pytest.raises(KeyRejected):
        parse_officer_private_jwk(officer_jwk() | change)


def test_a_private_key_is_not_shown():
    assert officer_jwk()["d"] not in repr(officer())
