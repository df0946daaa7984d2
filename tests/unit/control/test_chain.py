"""The chain, read at once: what a later signature vouches for, and what it does not."""

from __future__ import annotations

import string
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.control.chain import ChainVerifier
from service.control.format import ORDER_TYP, StoredOrder, order_digest, order_payload
from service.errors import ChainBroken
from service.jwk import PrivateKey
from service.jws import sign_compact
from tests.unit.control.control_chain import KEY, KEYS, make_chain, make_key, make_order

FORMER: Final = make_key()
STRANGER: Final = make_key()
BOTH: Final = {**KEYS, FORMER.kid: FORMER.public}
CHAIN: Final = make_chain([make_order() for _ in range(6)])
ROWS: Final[list[StoredOrder]] = list(enumerate(CHAIN, 1))


def follows(jws: str, version: int, key: PrivateKey = KEY) -> str:
    """A properly signed order behind that one."""
    order = replace(make_order(), version=version, previous=order_digest(jws))
    return sign_compact(order_payload(order), ORDER_TYP, key)


def unsigned(jws: str) -> str:
    """The order with a signature of the right form that is none."""
    return f"{jws.rpartition('.')[0]}.{'A' * 86}"


def outcome(orders: list[object], failure: ChainBroken | None) -> tuple[list[object], str]:
    return orders, "" if failure is None else str(failure)


def test_one_signature_vouches_for_what_it_was_signed_onto():
    second = unsigned(CHAIN[1])
    rows = [(1, CHAIN[0]), (2, second), (3, follows(second, 3))]
    orders, failure = ChainVerifier(KEYS).accept(rows)
    assert [order.version for order in orders] == [1, 2, 3]
    assert failure is None


def test_whoever_computes_every_signature_sees_the_one_that_is_none():
    second = unsigned(CHAIN[1])
    orders, failure = ChainVerifier(KEYS).verify_each([(1, CHAIN[0]), (2, second), (3, follows(second, 3))])
    assert len(orders) == 1
    assert str(failure) == "order 2 does not verify: the signature does not match"


@pytest.mark.parametrize("head", [None, ROWS[2]], ids=["from the first", "behind a head"])
def test_the_last_signature_is_computed(head: StoredOrder | None):
    start = 0 if head is None else head[0]
    rows = [*ROWS[start:5], (6, unsigned(CHAIN[5]))]
    orders, failure = ChainVerifier(KEYS, head).accept(rows)
    assert [order.version for order in orders] == list(range(start + 1, 6))
    assert str(failure) == "order 6 does not verify: the signature does not match"


def test_a_signature_by_a_key_not_known_here_vouches_for_nothing():
    second = unsigned(CHAIN[1])
    orders, failure = ChainVerifier(KEYS).accept([(1, CHAIN[0]), (2, second), (3, follows(second, 3, STRANGER))])
    assert len(orders) == 1
    assert "order 2 does not verify" in str(failure)


def test_an_order_by_a_key_not_known_here_is_vouched_for_by_nobody():
    second = follows(CHAIN[0], 2, FORMER)
    rows = [(1, CHAIN[0]), (2, second), (3, follows(second, 3))]
    assert ChainVerifier(BOTH).accept(rows)[1] is None
    orders, failure = ChainVerifier(KEYS).accept(rows)
    assert len(orders) == 1
    assert str(failure) == "order 2 does not verify: signed by a key that is not known here"


@pytest.mark.parametrize("typ", ["JWT", "relais-head+jws"])
def test_what_was_signed_for_another_purpose_is_vouched_for_by_nobody(typ: str):
    second = replace(make_order(), version=2, previous=order_digest(CHAIN[0]))
    token = sign_compact(order_payload(second), typ, KEY)
    orders, failure = ChainVerifier(KEYS).accept([(1, CHAIN[0]), (2, token), (3, follows(token, 3))])
    assert len(orders) == 1
    assert "order 2 does not verify: the object is not a relais-order+jws" in str(failure)


def test_a_verifier_goes_on_behind_what_it_accepted():
    verifier = ChainVerifier(KEYS)
    assert len(verifier.accept(ROWS[:2])[0]) == 2
    assert len(verifier.accept(ROWS[2:])[0]) == 4
    assert verifier.accept([])[0] == []
    assert "follows" in str(verifier.accept([(7, follows(CHAIN[0], 7))])[1])


@pytest.mark.parametrize("place", range(6))
def test_bytes_that_no_order_has_end_the_chain_there(place: int):
    rows = [(version, f"é{jws}" if version == place + 1 else jws) for version, jws in ROWS]
    orders, failure = ChainVerifier(KEYS).accept(rows)
    assert len(orders) == place
    assert f"order {place + 1} does not verify" in str(failure)


@given(data=st.data())
def test_whoever_lacks_the_key_gets_nothing_past_that_computing_every_signature_would_not(data: st.DataObject):
    """The law behind the shortcut: nobody signed onto a chain that did not hold, so both readings are one."""
    rows = list(ROWS)
    for _ in range(data.draw(st.integers(1, 3), label="changes")):
        place = data.draw(st.integers(0, len(rows) - 1), label="place")
        version, jws = rows[place]
        match data.draw(st.sampled_from(["drop", "twice", "swap", "spell", "version", "forge", "unsign"]), label="how"):
            case "drop" if len(rows) > 1:
                del rows[place]
            case "twice":
                rows.insert(place, rows[place])
            case "swap":
                other = data.draw(st.integers(0, len(rows) - 1), label="with")
                rows[place], rows[other] = rows[other], rows[place]
            case "spell":
                at = data.draw(st.integers(0, len(jws) - 1), label="character")
                letter = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_.=+ é"), label="letter")
                rows[place] = (version, jws[:at] + letter + jws[at + 1 :])
            case "version":
                rows[place] = (version + data.draw(st.integers(-1, 1), label="by"), jws)
            case "forge":
                rows.append((rows[-1][0] + 1, follows(rows[-1][1].encode("ascii", "replace").decode(), 7, STRANGER)))
            case "unsign":
                rows[place] = (version, unsigned(jws))
            case _:
                pass
    assert outcome(*ChainVerifier(BOTH).accept(rows)) == outcome(*ChainVerifier(BOTH).verify_each(rows))
