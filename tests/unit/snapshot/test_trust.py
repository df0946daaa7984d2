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
    verify_succession,
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


@given(st.timedeltas(dt.timedelta(days=-400), dt.timedelta(days=400)))
def test_time_left_ends_where_the_file_does(before: dt.timedelta):
    known = trust(expires_at=END)
    now = END - before
    assert known.time_left(now) == before
    if before > dt.timedelta(0):
        known.check_unexpired(now)
    else:
        with pytest.raises(TrustRefused):
            known.check_unexpired(now)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (dt.timedelta(days=31), None),
        (dt.timedelta(days=30, seconds=1), None),
        (dt.timedelta(days=30), "expires in 30 days, on 2025-02-04: its root people must sign the next one before"),
        (dt.timedelta(days=2), "expires in 2 days"),
        (dt.timedelta(days=1, hours=5), "expires in 29 hours"),
        (dt.timedelta(minutes=5), "expires in 0 hours"),
        (dt.timedelta(0), "expired on 2025-02-04: nothing loads and no restarted server opens a snapshot"),
        (dt.timedelta(days=-9), "expired on 2025-02-04"),
    ],
    ids=str,
)
def test_the_end_is_told_before_it_comes(before: dt.timedelta, words: str | None):
    warning = trust(expires_at=END).expiry_warning(END - before, within_days=30)
    if words is None:
        assert warning is None
    else:
        assert warning is not None
        assert warning.startswith("the trust file, version 1,")
        assert words in warning


def test_without_days_of_warning_only_the_end_itself_is_told():
    known = trust(expires_at=END)
    assert known.expiry_warning(END - dt.timedelta(seconds=1), within_days=0) is None
    assert known.expiry_warning(END, within_days=0)


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


def chain(*ends: dt.datetime) -> list[bytes]:
    return [
        signed(encode_trust(number, end, trust_roles()), ROOT_1, ROOT_2) for number, end in enumerate(ends, start=2)
    ]


def test_several_versions_follow_one_another():
    versions = verify_succession(trust(), chain(END, END, END), NOW)
    assert [one.version for one in versions] == [2, 3, 4]


def test_of_several_versions_only_the_last_must_live():
    assert verify_succession(trust(), chain(NOW, END), NOW)[-1].version == 3
    with pytest.raises(TrustRefused, match="expired"):
        verify_succession(trust(), chain(END, NOW), NOW)


def test_of_several_versions_none_may_be_missing():
    second, third, fourth = chain(END, END, END)
    for documents in ([second, fourth], [third], [third, second], [second, second]):
        with pytest.raises(TrustRefused, match="expected trust version"):
            verify_succession(trust(), documents, NOW)
