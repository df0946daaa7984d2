from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RecordUnreadable
from service.rights.model import Contract, Suspension
from service.snapshot.entries import (
    AMC_SLICE,
    CANARY,
    STEP,
    decode_entry,
    encode_contract,
    encode_entry,
    encode_tombstone,
    pad,
    unpad,
)

codes = st.text("ABCXYZ019", min_size=1, max_size=6)
days = st.dates()
suspensions = st.builds(Suspension, days, st.none() | days)
contracts = st.builds(
    Contract,
    amc=st.from_regex(r"\A[0-9]{10}\Z"),
    member=codes,
    csr=st.text(max_size=9),
    convention=codes,
    payer_rank=st.integers(1, 99),
    valid_from=days,
    valid_to=st.none() | days,
    card_valid_to=st.none() | days,
    closed_on=st.none() | days,
    suspended=st.lists(suspensions, max_size=3).map(tuple),
    responsible=st.booleans(),
    domains=st.lists(codes, max_size=3, unique=True).map(tuple),
    rates=st.dictionaries(codes, st.integers(0, 1000), max_size=20),
    rate_base=st.sampled_from(["TR", "TM"]),
)


def normal(contract: Contract) -> Contract:
    far = dt.date.max
    return msgspec.structs.replace(
        contract,
        suspended=tuple(sorted(contract.suspended, key=lambda gap: (gap.since, gap.until or far, gap.until is None))),
        domains=tuple(sorted(contract.domains)),
    )


@given(st.lists(contracts, max_size=20), st.booleans())
def test_an_entry_says_what_was_put_in(given_contracts: list[Contract], canary: bool):  # noqa: FBT001
    encoded = sorted({encode_contract(contract) for contract in given_contracts})
    plaintext = encode_entry(CANARY if canary else 0, encoded)
    entry = decode_entry(plaintext)
    assert len(plaintext) % STEP == 0
    assert entry.canary is canary
    assert not entry.deleted
    assert [encode_contract(contract) for contract in entry.contracts] == encoded
    assert all(contract in map(normal, given_contracts) for contract in map(normal, entry.contracts))


@given(contracts)
def test_equal_contracts_encode_equally_whatever_the_order_of_their_parts(contract: Contract):
    turned = msgspec.structs.replace(
        contract,
        suspended=contract.suspended[::-1],
        domains=contract.domains[::-1],
        rates=dict(reversed(contract.rates.items())),
    )
    assert encode_contract(turned) == encode_contract(contract)
    assert encode_contract(contract)[AMC_SLICE] == contract.amc.encode()


@pytest.mark.parametrize("number", [0, 15, 16, 65_535, 65_536])
def test_the_head_of_many_contracts_is_message_packs_own(number: int):
    entry = unpad(encode_entry(0, [b"\xc0"] * number))
    assert entry == msgspec.msgpack.encode([0, [None] * number])


def test_a_tombstone_is_deleted_and_empty():
    entry = decode_entry(encode_tombstone())
    assert entry.deleted
    assert entry.contracts == ()


@given(st.binary(max_size=200))
def test_padding_is_undone_and_fills_steps(data: bytes):
    padded = pad(data)
    assert len(padded) % STEP == 0
    assert len(data) < len(padded) <= len(data) + STEP
    assert unpad(padded) == data


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        bytes(STEP),
        b"\x80",
        pad(b"x") + bytes(STEP),
        pad(b""),
        pad(b"\x92\x00"),
        pad(b"\x92\x00\x90\x00"),
        pad(b"\x93\x00\x90\xc0"),
        pad(b"\x92\x00\x91\x90"),
        pad(b"\x81\xa1a\x00"),
        pad(
            msgspec.msgpack.encode(
                [0, [["0775671993", "M", "", "RO", 1, 2**40, None, None, None, [], True, [], {}, "TR"]]]
            )
        ),
        pad(
            msgspec.msgpack.encode(
                [0, [["0775671993", "M", "", "RO", 1, 0, None, None, None, [], True, [], {}, "TR", 1]]]
            )
        ),
        pad(b"\x92\x00\x91\x9e\xa2\xff\xff"),
    ],
)
def test_anything_else_is_unreadable(plaintext: bytes):
    with pytest.raises(RecordUnreadable):
        decode_entry(plaintext)
