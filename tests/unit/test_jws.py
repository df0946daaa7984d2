"""Signatures that were made in several places become one document, whatever way they travelled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from hypothesis import given
from hypothesis import strategies as st

from service.errors import SignatureRejected
from service.jwk import PrivateKey, parse_private_jwk, private_jwk
from service.jws import add_signature, detached_signature, merge_signatures, sign_general, verify_general
from tests.unit.snapshot.snapshot_maker import ALICE, BOB, CAROL

TYP = "relais-test+jws"
PAYLOAD = b'{"what":"everybody signs"}'


def p256(number: int) -> PrivateKey:
    return parse_private_jwk(private_jwk(derive_private_key(number, SECP256R1())))


DORA, EMIL = p256(1), p256(2)
SIGNERS = (ALICE, BOB, CAROL, DORA, EMIL)
KEYS = {signer.kid: signer.public for signer in SIGNERS}
UNSIGNED = sign_general(PAYLOAD, TYP, [])
#: Two signatures of each key; an ES256 key's differ, though both hold.
SIGNED = {
    (signer.kid, copy): json.loads(sign_general(PAYLOAD, TYP, [signer]))["signatures"][0]
    for signer in SIGNERS
    for copy in (1, 2)
}


def with_signatures(signatures: Mapping[str, int]) -> bytes:
    """A document as somebody might bring it: one of the two signatures of each of these keys, in this order."""
    entries = [SIGNED[kid, copy] for kid, copy in signatures.items()]
    return json.dumps({**json.loads(UNSIGNED), "signatures": entries}).encode()


documents = st.dictionaries(st.sampled_from(sorted(KEYS)), st.sampled_from([1, 2])).map(with_signatures)
several = st.lists(documents, min_size=1, max_size=5)


def merged(*parts: bytes) -> bytes:
    return merge_signatures(parts, TYP, KEYS)


def kids_of(document: bytes) -> frozenset[str]:
    return verify_general(document, TYP, KEYS)[1]


@given(several)
def test_a_merge_holds_every_signature_that_holds(parts: list[bytes]):
    document = merged(*parts)
    assert verify_general(document, TYP, KEYS) == (PAYLOAD, frozenset().union(*map(kids_of, parts)))


@given(several.flatmap(lambda parts: st.tuples(st.just(parts), st.permutations(parts))))
def test_the_order_does_not_matter(both: tuple[list[bytes], list[bytes]]):
    parts, shuffled = both
    assert merged(*parts) == merged(*shuffled)


@given(several)
def test_merging_again_changes_nothing(parts: list[bytes]):
    once = merged(*parts)
    assert merged(once) == merged(once, once) == merged(once, *parts) == merged(*parts, *parts) == once


@given(several, several)
def test_it_does_not_matter_who_merges_first(left: list[bytes], right: list[bytes]):
    assert merged(merged(*left), merged(*right)) == merged(*left, *right)


@given(several)
def test_unknown_keys_are_merged_alike(parts: list[bytes]):
    assert merge_signatures(parts, TYP, {}) == merged(*parts)


@given(st.sets(st.sampled_from(range(len(SIGNERS))), min_size=1))
def test_signing_apart_and_merging_is_signing_one_after_the_other(who: set[int]):
    chain = UNSIGNED
    for number in who:
        chain = add_signature(chain, TYP, SIGNERS[number])
    apart = merged(UNSIGNED, *(detached_signature(UNSIGNED, TYP, SIGNERS[number]) for number in who))
    assert kids_of(apart) == kids_of(chain)


def test_of_two_signatures_by_one_key_the_one_that_sorts_first_stays():
    both = sorted((SIGNED[DORA.kid, copy] for copy in (1, 2)), key=lambda entry: entry["signature"])
    document = merged(with_signatures({DORA.kid: 1}), with_signatures({DORA.kid: 2}))
    assert json.loads(document)["signatures"] == [both[0]]
    assert both[0] != both[1]


def test_a_detached_signature_holds_this_one_only_and_the_whole_payload():
    signed = sign_general(PAYLOAD, TYP, [BOB, CAROL])
    alone = detached_signature(signed, TYP, ALICE)
    assert verify_general(alone, TYP, KEYS) == (PAYLOAD, {ALICE.kid})
    assert len(json.loads(alone)["signatures"]) == 1


@pytest.mark.parametrize("other", [b"{}", PAYLOAD + b" ", PAYLOAD[:-1]])
def test_a_signature_of_another_payload_is_refused_though_it_says_the_same(other: bytes):
    with pytest.raises(SignatureRejected, match="another payload"):
        merged(UNSIGNED, sign_general(other, TYP, [ALICE]))


def test_nothing_merges_to_nothing():
    with pytest.raises(SignatureRejected):
        merged()


def bent(change: dict[str, Any]) -> bytes:
    document = json.loads(sign_general(PAYLOAD, TYP, [ALICE]))
    document["signatures"][0].update(change)
    return json.dumps(document).encode()


def test_a_signature_that_does_not_hold_is_refused_where_its_key_is_known():
    false = bent({"signature": SIGNED[BOB.kid, 1]["signature"]})
    with pytest.raises(SignatureRejected, match="does not match"):
        merged(UNSIGNED, false)
    assert merge_signatures([UNSIGNED, false], TYP, {BOB.kid: BOB.public}) == merge_signatures([false], TYP, {})


def test_a_signature_for_another_purpose_does_not_merge():
    with pytest.raises(SignatureRejected, match="not a relais-test"):
        merge_signatures([UNSIGNED, sign_general(PAYLOAD, "relais-other+jws", [ALICE])], TYP, {})
