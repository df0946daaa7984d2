from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import SignatureRejected, TrustRefused
from service.jws import sign_general
from service.snapshot.succession import Standing, differences, standing, with_key, without_key, without_person
from service.snapshot.trust import TRUST_TYP, Person, Role, RoleName, Trust, encode_trust, parse_trust
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

SNAPSHOT = trust_roles()[RoleName.SNAPSHOT]
ALL = sorted([ALICE.kid, ALICE_NEW.kid, BOB.kid, CAROL.kid])


def people(role: Role) -> dict[str, list[str]]:
    return {person.name: [key.kid for key in person.keys] for person in role.signers}


def next_trust(role: Role, expires_at: dt.datetime = NOW + dt.timedelta(days=365)) -> Trust:
    return parse_trust(encode_trust(2, expires_at, {**trust_roles(), RoleName.SNAPSHOT: role}))


def test_a_person_goes_and_the_others_stay():
    assert people(without_person(SNAPSHOT, "alice")) == {"bob": [BOB.kid], "carol": [CAROL.kid]}


def test_one_revoked_key_goes_and_the_person_stays():
    assert people(without_key(SNAPSHOT, "alice", ALICE.kid))["alice"] == [ALICE_NEW.kid]


@pytest.mark.parametrize("name", ["alice", "ALICE", "Alice"])
def test_a_person_in_other_capitals_is_the_same(name: str):
    assert "alice" not in people(without_person(SNAPSHOT, name))
    assert people(without_key(SNAPSHOT, name, ALICE.kid))["alice"] == [ALICE_NEW.kid]
    assert people(with_key(SNAPSHOT, name, STRANGER.public))["alice"] == [ALICE.kid, ALICE_NEW.kid, STRANGER.kid]


def test_nobody_of_that_name_and_no_such_key_are_said():
    with pytest.raises(TrustRefused, match="called dora: it has alice, bob, carol"):
        without_person(SNAPSHOT, "dora")
    with pytest.raises(TrustRefused, match="bob has no key"):
        without_key(SNAPSHOT, "bob", ALICE.kid)
    with pytest.raises(TrustRefused, match=r"bob has key .* already"):
        with_key(SNAPSHOT, "bob", BOB.public)


def test_a_persons_only_key_can_be_exchanged_but_not_just_taken():
    without = without_key(SNAPSHOT, "bob", BOB.kid)
    with pytest.raises(TrustRefused, match="bob of the snapshot role has no key"):
        next_trust(without)
    assert next_trust(with_key(without, "bob", STRANGER.public)).names(RoleName.SNAPSHOT) == ("alice", "bob", "carol")


def test_a_stolen_key_does_not_become_a_second_person():
    with pytest.raises(TrustRefused, match="one key stands under two names"):
        next_trust(with_key(SNAPSHOT, "dora", BOB.public))


def test_what_changes_is_said_line_by_line():
    role = with_key(without_key(without_person(SNAPSHOT, "carol"), "alice", ALICE.kid), "dora", STRANGER.public)
    following = next_trust(replace(role, threshold=3), NOW + dt.timedelta(days=366))
    assert differences(trust(), following) == (
        "snapshot threshold 2 -> 3",
        f"- snapshot alice {ALICE.kid}",
        f"- snapshot carol {CAROL.kid}",
        f"+ snapshot dora {STRANGER.kid}",
        "expires 2025-02-04 -> 2025-02-05",
    )


def test_a_renewal_changes_the_end_alone():
    assert differences(trust(), next_trust(SNAPSHOT, NOW + dt.timedelta(days=400))) == (
        "expires 2025-02-04 -> 2025-03-11",
    )


@given(st.sets(st.sampled_from(ALL)), st.sets(st.sampled_from(ALL)))
def test_every_key_that_comes_or_goes_is_named_whoever_holds_it(before: set[str], after: set[str]):
    keys = {key.kid: key.public for key in (ALICE, ALICE_NEW, BOB, CAROL)}
    fixed = (Person("x", (key_of(30).public,)), Person("y", (key_of(31).public,)))

    def version(kids: set[str]) -> Trust:
        return next_trust(Role(2, (*fixed, *(Person(f"p-{kid}", (keys[kid],)) for kid in sorted(kids)))))

    named = {line.split()[0] + line.split()[-1] for line in differences(version(before), version(after))}
    assert named == {f"-{kid}" for kid in before - after} | {f"+{kid}" for kid in after - before}


def test_who_has_signed_is_counted_by_people():
    known = trust()
    document = sign_general(encode_trust(2, NOW, trust_roles()), TRUST_TYP, [ROOT_1, STRANGER])
    assert standing(document, known) == Standing(1, 2, ("root-1",))
    assert not standing(document, known).reached
    both = sign_general(encode_trust(2, NOW, trust_roles()), TRUST_TYP, [ROOT_1, ROOT_2])
    assert standing(both, known).reached


def test_a_false_signature_is_not_merely_missing():
    document = sign_general(b"{}", TRUST_TYP, [ROOT_1]).replace(b'"signature":"', b'"signature":"AAAA')
    with pytest.raises(SignatureRejected):
        standing(document, trust())
