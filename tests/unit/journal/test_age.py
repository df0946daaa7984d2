from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from service.errors import KeyRejected
from service.journal.age import CHUNK_BYTES, Recipient, Sealing, parse_recipient
from tests.unit.journal.opened_age import RECIPIENT, open_age

#: Sealed to RECIPIENT with the bytes below for chance; age's Rust library (pyrage 1.4.0) opens it as "age\n".
KNOWN = bytes.fromhex(
    "6167652d656e6372797074696f6e2e6f72672f76310a2d3e20583235353139206a304446726261504a574a4b35624955366e"
    "5a3662736c4e677030396531346130627076506945344b46380a4565682f41664d797939787462615438425a6938744d6256"
    "5663773475447237726d785972616d415936630a2d2d2d206b556978726c725446496138796e314a343945464a30484b674a"
    "6a567367487179585567594751356f43770a101112131415161718191a1b1c1d1e1fe4de5ad452a87c01950676de9e3cef47"
    "caa8df0b"
)


def seal(data: bytes, step: int = 777) -> bytes:
    out = bytearray()
    sealing = Sealing(parse_recipient(RECIPIENT), out.extend)
    for at in range(0, len(data), step):
        sealing.write(data[at : at + step])
    sealing.close()
    return bytes(out)


def test_the_bytes_are_those_that_age_opens():
    chance = iter([bytes(range(16)), bytes(range(32)), bytes(range(16, 32))])
    out = bytearray()
    sealing = Sealing(parse_recipient(RECIPIENT), out.extend, lambda _size: next(chance))
    sealing.write(b"age\n")
    sealing.close()
    assert bytes(out) == KNOWN
    assert open_age(KNOWN) == b"age\n"


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 200_000])
def test_every_size_opens(size: int):
    data = bytes(number % 251 for number in range(size))
    assert open_age(seal(data)) == data


@given(st.lists(st.binary(max_size=50)))
def test_however_it_is_written(pieces: list[bytes]):
    out = bytearray()
    sealing = Sealing(parse_recipient(RECIPIENT), out.extend)
    for piece in pieces:
        sealing.write(piece)
    sealing.close()
    assert open_age(bytes(out)) == b"".join(pieces)


def test_a_file_cut_at_a_chunk_does_not_open():
    sealed = seal(bytes(2 * CHUNK_BYTES))
    with pytest.raises(InvalidTag):
        open_age(sealed[: -CHUNK_BYTES - 16])


def test_nobody_else_opens_it():
    with pytest.raises(InvalidTag):
        open_age(seal(b"secret"), bytes(range(1, 33)))
    assert b"secret" not in seal(b"secret")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age1",
        RECIPIENT[:-1],
        RECIPIENT[:-1] + "q",
        RECIPIENT.upper(),
        "age-secret-key-1" + RECIPIENT[4:],
        RECIPIENT.replace("v", "b", 1),
        "ssh-ed25519 AAAA",
        "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
    ],
)
def test_what_is_no_recipient_is_refused(text: str):
    with pytest.raises(KeyRejected):
        parse_recipient(text)


def test_a_key_anybody_could_open_is_refused():
    with pytest.raises(KeyRejected):
        Sealing(Recipient(bytes(32)), lambda _data: None)
