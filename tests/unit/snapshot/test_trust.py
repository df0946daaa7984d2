from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import SignatureRejected, TrustRefused
from service.jwk import PrivateKey, private_jwk
from service.jws import sign_general
from service.snapshot.trust import (
    MAX_TRUST_BYTES,
    TRUST_TYP,
    Person,
    Role,
    RoleName,
    encode_trust,
    parse_trust,
    verify_next_trust,
    verify_trust,
)
from service.strictjson import canonical
from tests.unit.snapshot.snapshot_maker import (
    ALICE,
    ALICE_NEW,
    BOB,
    CAROL,
    NOW,
    ROOT_1,
    ROOT_2,
    STRANGER,
    key_of,
    trust,
    trust_roles,
)

END = NOW + dt.timedelta(days=365)
PAYLOAD = encode_trust(1, END, trust_roles())


def signed(payload: bytes = PAYLOAD, *keys: PrivateKey, typ: str = TRUST_TYP) -> bytes:
    return sign_general(payload, typ, keys or (ROOT_1, ROOT_2))


def bent(change: Callable[[dict[str, Any]], object]) -> bytes:
    value = msgspec.json.decode(PAYLOAD)
    change(value)
    return canonical(value)


def test_a_file_signed_by_its_own_roots_is_trusted():
    found = verify_trust(signed(), NOW)
    assert found.names(RoleName.SNAPSHOT) == ("alice", "bob", "carol")
    assert found.threshold(RoleName.ROOT) == 2
    assert set(found.keys(RoleName.ROOT)) == {ROOT_1.kid, ROOT_2.kid}


@given(st.sets(st.sampled_from([ALICE.kid, ALICE_NEW.kid, BOB.kid, CAROL.kid, STRANGER.kid, ROOT_1.kid, "x"])))
def test_people_count_and_not_keys(kids: set[str]):
    names = trust().signers_of(kids, RoleName.SNAPSHOT)
    holders = {ALICE.kid: "alice", ALICE_NEW.kid: "alice", BOB.kid: "bob", CAROL.kid: "carol"}
    assert names == {holders[kid] for kid in kids if kid in holders}


@pytest.mark.parametrize("keys", [(ROOT_1,), (ROOT_1, ALICE), (ALICE, BOB), (STRANGER, ROOT_2)])
def test_a_file_short_of_root_signatures_is_refused(keys: tuple[PrivateKey, ...]):
    with pytest.raises(SignatureRejected):
        verify_trust(signed(PAYLOAD, *keys), NOW)


def test_an_unsigned_file_is_refused():
    with pytest.raises(SignatureRejected):
        verify_trust(sign_general(PAYLOAD, TRUST_TYP, []), NOW)


def test_a_file_signed_for_another_purpose_is_refused():
    with pytest.raises(SignatureRejected):
        verify_trust(signed(typ="relais-snapshot+jws"), NOW)


def test_an_edited_file_is_refused():
    document = msgspec.json.decode(signed())
    other = msgspec.json.decode(signed(encode_trust(2, END, trust_roles())))
    with pytest.raises(SignatureRejected):
        verify_trust(msgspec.json.encode({**document, "payload": other["payload"]}), NOW)


@pytest.mark.parametrize("late", [dt.timedelta(), dt.timedelta(days=1)])
def test_an_expired_file_is_refused(late: dt.timedelta):
    with pytest.raises(TrustRefused, match="expired"):
        verify_trust(signed(), END + late)


def test_an_endless_file_is_refused_before_it_is_parsed():
    with pytest.raises(TrustRefused):
        verify_trust(b" " * (MAX_TRUST_BYTES + 1), NOW)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["roles"]["snapshot"].update(threshold=0),
        lambda value: value["roles"]["snapshot"].update(threshold=1),
        lambda value: value["roles"]["root"].update(threshold=1),
        lambda value: value["roles"]["snapshot"].update(threshold=4),
        lambda value: value["roles"]["snapshot"].update(threshold=True),
        lambda value: value["roles"]["snapshot"].update(signers=[]),
        lambda value: value["roles"].pop("root"),
        lambda value: value["roles"].update(timestamp={"threshold": 1, "signers": []}),
        lambda value: value.update(version=0),
        lambda value: value.update(version=2**63),
        lambda value: value.update(expires_at="2030-01-01T00:00:00"),
        lambda value: value.update(more=1),
        lambda value: value["roles"]["snapshot"]["signers"][0].update(name=""),
        lambda value: value["roles"]["snapshot"]["signers"][0].update(name="alice "),
        lambda value: value["roles"]["snapshot"]["signers"][0].update(name="al\u200bice"),
        lambda value: value["roles"]["snapshot"]["signers"][0].update(name="BOB"),
        lambda value: value["roles"]["snapshot"]["signers"][0].update(keys=[]),
        lambda value: value["roles"]["snapshot"]["signers"][0].update(keys=[private_jwk(ALICE.key)]),
        lambda value: value["roles"]["snapshot"]["signers"][0]["keys"][0].update(kid=BOB.kid),
        lambda value: value["roles"]["snapshot"]["signers"][0]["keys"][0].update(use="enc"),
        lambda value: value["roles"]["snapshot"]["signers"][0]["keys"][0].update(alg="HS256"),
        lambda value: value["roles"]["snapshot"]["signers"][0]["keys"][0].update(kty="oct"),
        lambda value: value["roles"]["snapshot"]["signers"][0].update(
            keys=value["roles"]["snapshot"]["signers"][1]["keys"]
        ),
        lambda value: value["roles"]["root"]["signers"][0].update(
            keys=value["roles"]["snapshot"]["signers"][1]["keys"]
        ),
    ],
    ids=lambda _: None,
)
def test_a_file_that_breaks_a_rule_is_refused_even_when_signed(change: Callable[[dict[str, Any]], object]):
    with pytest.raises(TrustRefused):
        verify_trust(signed(bent(change)), NOW)


def test_a_threshold_of_one_is_for_a_demo_only():
    payload = encode_trust(1, END, trust_roles(threshold=1))
    assert verify_trust(signed(payload), NOW, demo=True).threshold(RoleName.SNAPSHOT) == 1
    with pytest.raises(TrustRefused):
        verify_trust(signed(payload), NOW)


def test_a_repeated_member_cannot_hide_a_second_role():
    payload = PAYLOAD.replace(b'"version":1', b'"version":1,"version":2')
    with pytest.raises(TrustRefused):
        parse_trust(payload)


NEW_ROOT = key_of(20)


def next_payload(version: int = 2) -> bytes:
    roots = (Person("root-2", (ROOT_2.public,)), Person("root-3", (NEW_ROOT.public,)))
    return encode_trust(version, END, {**trust_roles(), RoleName.ROOT: Role(2, roots)})


def test_the_next_version_is_signed_by_the_roots_of_both():
    found = verify_next_trust(trust(), signed(next_payload(), ROOT_1, ROOT_2, NEW_ROOT), NOW)
    assert found.version == 2


@pytest.mark.parametrize("keys", [(ROOT_1, ROOT_2), (ROOT_2, NEW_ROOT), (ROOT_1, NEW_ROOT)])
def test_neither_the_old_nor_the_new_roots_alone_rotate(keys: tuple[PrivateKey, ...]):
    with pytest.raises(SignatureRejected):
        verify_next_trust(trust(), signed(next_payload(), *keys), NOW)


@pytest.mark.parametrize("version", [1, 3])
def test_a_version_is_neither_repeated_nor_left_out(version: int):
    with pytest.raises(TrustRefused, match="expected trust version 2"):
        verify_next_trust(trust(), signed(next_payload(version), ROOT_1, ROOT_2, NEW_ROOT), NOW)


def test_an_expired_file_may_still_be_succeeded():
    old = trust(expires_at=NOW - dt.timedelta(days=1))
    assert verify_next_trust(old, signed(next_payload(), ROOT_1, ROOT_2, NEW_ROOT), NOW).version == 2
