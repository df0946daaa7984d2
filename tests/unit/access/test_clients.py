from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from service.access import clients
from service.access.clients import MAX_KEYS, ClientClass, Watch, client_body, client_members, parse_client
from service.errors import InvalidField
from service.jwk import PrivateKey, private_jwk
from tests.unit.access.forge import b64, new_ec, new_ed

ED, EC = new_ed(), new_ec()


def public(key: PrivateKey, **members: Any) -> dict[str, Any]:
    return {**key.public.jwk, **members}


def body(**members: Any) -> dict[str, Any]:
    return {"class": "pharmacy", "finess": ["750012346"], "keys": [public(ED)], **members}


def test_absent_budgets_are_those_of_the_class():
    pharmacy = parse_client("p", body())
    assert (pharmacy.daily, pharmacy.burst, pharmacy.unknown, pharmacy.watch) == (800, 60, 300, Watch.ENFORCE)
    assert parse_client("p", body(daily=0, watch="report")).daily == 0


BODIES = st.fixed_dictionaries(
    {
        "class": st.sampled_from([str(kind) for kind in ClientClass]),
        "finess": st.just(["750012346"]),
        "keys": st.sampled_from([[public(ED)], [public(EC)], [public(ED), public(EC)]]),
        "daily": st.integers(0, 100_000_000),
        "burst": st.integers(0, 100_000_000),
        "unknown": st.integers(0, 100_000_000),
        "watch": st.sampled_from([str(watch) for watch in Watch]),
    }
)


@given(client_id=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True), registration=BODIES)
def test_the_body_of_a_client_registers_that_client(client_id: str, registration: dict[str, Any]):
    client = parse_client(client_id, registration)
    assert client_body(client) == registration
    assert client.id == client_id
    assert not client.suspended


def test_a_registration_is_shown_with_its_kids_and_an_unreadable_one_as_such():
    shown = client_members("p", body())
    assert (shown["id"], shown["daily"], shown["keys"]) == ("p", 800, [public(ED, kid=ED.kid, alg="EdDSA")])
    assert parse_client("p", {name: shown[name] for name in shown if name != "id"}) == parse_client("p", body())
    broken = client_members("p", body(finess=["MARQUE"]))
    assert broken.keys() == {"id", "error"}
    assert "MARQUE" not in str(broken)


@pytest.mark.parametrize(
    "client_id",
    ["", "-a", ".a", "_a", "A", "a b", "a/b", "é", "a" * 65, "a\n", "１", "a\0"],  # noqa: RUF001
)
def test_bad_ids_are_refused(client_id: str):
    with pytest.raises(InvalidField):
        parse_client(client_id, body())


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"class": "root"}, "/class"),
        ({"class": None}, "/class"),
        ({"daily": -1}, "/daily"),
        ({"daily": "800"}, "/daily"),
        ({"daily": True}, "/daily"),
        ({"daily": 1.5}, "/daily"),
        ({"burst": 10**12}, "/burst"),
        ({"unknown": []}, "/unknown"),
        ({"watch": "off"}, "/watch"),
        ({"finess": "750012346"}, "/finess"),
        ({"finess": ["75001234"]}, "/finess/0"),
        ({"finess": ["7500123４6"]}, "/finess/0"),  # noqa: RUF001 - full-width digit
        ({"finess": ["750012346\n"]}, "/finess/0"),
        ({"finess": []}, "/finess"),
        ({"finess": ["750012346", "2A0012346"]}, "/finess"),
        ({"class": "hub", "finess": ["2A0012346", "2a0012346"]}, "/finess/1"),
        ({"finess": ["7A0012346"]}, "/finess/0"),
        ({"finess": [750012346]}, "/finess/0"),
        ({"keys": []}, "/keys"),
        ({"keys": {}}, "/keys"),
        ({"keys": ["x"]}, "/keys/0"),
        ({"keys": [public(ED), public(ED)]}, "/keys/1"),
        ({"keys": [public(ED)] * (MAX_KEYS + 1)}, "/keys"),
        ({"colour": "red"}, ""),
    ],
)
def test_a_bad_registration_is_refused_at_its_field_and_not_echoed(members: dict[str, Any], pointer: str):
    with pytest.raises(InvalidField) as caught:
        parse_client("p", body(**members))
    assert caught.value.pointer == pointer
    for value in ("root", "off", "75001234", "colour", "red"):
        assert value not in str(caught.value)


WEAK_POINTS = [
    b"\0" * 32,
    b"\1" + b"\0" * 31,
    b"\1" + b"\0" * 30 + b"\x80",
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 31,
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
]


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": b64(b"s" * 32)},
        {"kty": "RSA", "n": b64(b"\xff" * 128), "e": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "x": b64(b"a" * 32)},
        {"kty": "OKP", "crv": "Ed448", "x": b64(b"a" * 57)},
        {"kty": "EC", "crv": "P-384", "x": b64(b"a" * 48), "y": b64(b"a" * 48)},
        {"kty": "EC", "crv": "P-256", "x": b64(b"a" * 32), "y": b64(b"a" * 32)},
        {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))},
        public(ED, use="enc"),
        public(ED, key_ops=["encrypt"]),
        public(ED, alg="ES256"),
        public(ED, x=ED.public.jwk["x"] + "="),
        public(ED, x=b64(b"a" * 31)),
        public(ED, x=1),
        public(EC, y=None),
        {},
        *[{"kty": "OKP", "crv": "Ed25519", "x": b64(point)} for point in WEAK_POINTS],
    ],
    ids=repr,
)
def test_weak_or_wrong_keys_are_refused(jwk: dict[str, Any]):
    with pytest.raises(InvalidField) as caught:
        parse_client("p", body(keys=[jwk]))
    assert caught.value.pointer == "/keys/0"


def test_a_weak_point_would_let_anyone_sign():
    # Why they are refused here: the library verifies a signature that no private key made.
    forged = WEAK_POINTS[1] + bytes(32)
    Ed25519PublicKey.from_public_bytes(WEAK_POINTS[1]).verify(forged, b"any message at all")


def test_of_a_private_key_only_the_public_part_is_kept():
    client = parse_client("p", body(keys=[private_jwk(ED.key)]))
    assert client_body(client)["keys"] == [dict(ED.public.jwk)]
    assert private_jwk(ED.key)["d"] not in repr(client)


# --- registry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ClientClass)
def test_who_speaks_to_the_admin_server_names_it_as_audience(kind: ClientClass):
    audience = "ici-admin" if kind in {"operator", "admin", "auditor"} else "ici"
    assert clients.audience_for(kind, "ici") == audience
