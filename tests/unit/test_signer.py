"""The contract of the signing port, run against every implementation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from service.errors import KeyRejected, OperatorError
from service.jwk import PrivateKey, PublicKey, parse_private_jwk, private_jwk
from service.jws import add_signature, sign_general, unverified_payload, verify_general
from service.keyfiles import KeyUse, load_private, load_public, write_new_key
from service.signer import SIGNATURE_BYTES, Signer
from service.snapshot.signing import read_draft, sign_folder
from tests.unit.signing_token import Token
from tests.unit.snapshot.snapshot_maker import SnapshotMaker

TYP = "relais-test+jws"
Made = tuple[Signer, PublicKey]


def key_file(folder: Path) -> Made:
    _, (private, public) = write_new_key(KeyUse.SNAPSHOT, folder / "signer.jwk")
    return load_private(private), load_public(public)


def p256_key(_: Path) -> Made:
    key = parse_private_jwk(private_jwk(generate_private_key(SECP256R1())))
    return key, key.public


def token(_: Path) -> Made:
    made = Token()
    return made, made.public


@pytest.fixture(params=[key_file, p256_key, token], ids=["Ed25519 key file", "P-256 key", "token"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    make: Callable[[Path], Made] = request.param
    return make(tmp_path)


def test_it_names_the_thumbprint_and_the_algorithm_of_its_public_half(made: Made):
    signer, public = made
    assert (signer.kid, signer.alg) == (public.kid, public.alg)


@pytest.mark.parametrize("payload", [b"", b"{}", bytes(range(256)) * 300])
def test_what_it_signs_verifies_under_its_public_half(made: Made, payload: bytes):
    signer, public = made
    document = sign_general(payload, TYP, [signer])
    assert verify_general(document, TYP, {public.kid: public}) == (payload, {public.kid})


def test_its_signature_has_the_length_jws_wants(made: Made):
    signer, _ = made
    assert {len(signer.sign(bytes(length))) for length in range(50)} == {SIGNATURE_BYTES}


def test_signing_again_takes_the_place_of_its_former_signature(made: Made):
    signer, public = made
    once = sign_general(b"{}", TYP, [signer])
    assert verify_general(add_signature(once, TYP, signer), TYP, {public.kid: public})[1] == {public.kid}


def test_it_does_not_show_its_secret(made: Made):
    signer, _ = made
    if isinstance(signer, PrivateKey):
        assert private_jwk(signer.key)["d"] not in repr(signer)
        assert private_jwk(signer.key)["d"] not in f"{signer}"


def test_a_device_that_is_gone_leaves_the_snapshot_as_it_was(tmp_path: Path):
    maker = SnapshotMaker(tmp_path)
    folder = maker.make()
    before = read_draft(folder)
    lost = Token()
    lost.unplug()
    with pytest.raises(OperatorError, match="token"):
        sign_folder(folder, lost)
    assert read_draft(folder) == before


class DerToken(Token):
    """A careless driver: the signature as the token's chip gives it."""

    def sign(self, message: bytes) -> bytes:
        return self.sign_der(message)


def test_a_signature_in_der_is_not_passed_on():
    document = sign_general(b"{}", TYP, [])
    with pytest.raises(KeyRejected, match="not a signature of 64"):
        add_signature(document, TYP, DerToken())
    assert unverified_payload(document) == b"{}"
