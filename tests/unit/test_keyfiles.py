from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from service.base64url import b64u_decode
from service.errors import KeyRejected, OperatorError
from service.jwk import is_private_jwk, parse_private_jwk, parse_public_jwk, thumbprint
from service.keyfiles import (
    MAX_KEY_FILE_BYTES,
    KeyUse,
    load_jwks,
    load_private,
    load_public,
    load_public_set,
    new_key,
    public_half,
    public_path,
    write_new_key,
)

SIGNING = [use for use in KeyUse if use not in (KeyUse.OFFICER, KeyUse.PEPPER)]


@pytest.mark.parametrize("use", SIGNING)
def test_a_signing_key_names_its_algorithm_use_and_thumbprint(use: KeyUse):
    jwk = new_key(use)
    assert (jwk["alg"], jwk["use"], jwk["kid"]) == ("EdDSA", "sig", thumbprint(jwk))
    assert parse_private_jwk(jwk).public == parse_public_jwk(public_half(jwk))


def test_an_officers_key_agrees_and_does_not_sign():
    jwk = new_key(KeyUse.OFFICER)
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["kid"]) == ("OKP", "X25519", "enc", thumbprint(jwk))
    private = X25519PrivateKey.from_private_bytes(b64u_decode(jwk["d"]))
    assert private.public_key() == X25519PublicKey.from_public_bytes(b64u_decode(jwk["x"]))
    with pytest.raises(KeyRejected):
        parse_private_jwk(jwk)


def test_a_pepper_is_a_set_of_one_secret_whose_kid_tells_nothing():
    (jwk,) = new_key(KeyUse.PEPPER)["keys"]
    assert jwk["kty"] == "oct"
    assert len(b64u_decode(jwk["k"])) == 32
    assert jwk["kid"] != new_key(KeyUse.PEPPER)["keys"][0]["kid"]


@pytest.mark.parametrize("use", KeyUse)
def test_the_private_file_is_the_owners_alone(tmp_path: Path, use: KeyUse):
    old = os.umask(0)
    try:
        _, files = write_new_key(use, tmp_path / "key.jwk")
    finally:
        os.umask(old)
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    if use is KeyUse.PEPPER:
        assert [file.name for file in tmp_path.iterdir()] == ["key.jwk"]
    else:
        public = json.loads((tmp_path / "key.pub.jwk").read_bytes())
        assert not is_private_jwk(public)
        assert public == public_half(json.loads((tmp_path / "key.jwk").read_bytes()))


@pytest.mark.parametrize("taken", ["key.jwk", "key.pub.jwk"])
def test_a_key_is_never_overwritten_not_even_half(tmp_path: Path, taken: str):
    (tmp_path / taken).write_text("precious")
    with pytest.raises(OperatorError):
        write_new_key(KeyUse.SNAPSHOT, tmp_path / "key.jwk")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {taken: "precious"}


def test_a_dangling_link_is_not_followed(tmp_path: Path):
    (tmp_path / "key.jwk").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OperatorError):
        write_new_key(KeyUse.SNAPSHOT, tmp_path / "key.jwk")
    assert not (tmp_path / "elsewhere").exists()


def test_a_failed_write_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_new_key(KeyUse.SNAPSHOT, tmp_path / "key.jwk")
    assert list(tmp_path.iterdir()) == []


def test_the_public_half_has_its_own_name():
    assert public_path(Path("a/signer.jwk")) == Path("a/signer.pub.jwk")
    assert public_path(Path("a/signer")) == Path("a/signer.pub.jwk")


def test_keys_are_read_back_and_of_a_private_one_only_the_public_half(tmp_path: Path):
    jwk, (private, public) = write_new_key(KeyUse.CLIENT, tmp_path / "key.jwk")
    assert load_private(private).kid == jwk["kid"]
    assert load_public(private) == load_public(public)
    assert load_jwks(private) == (jwk,)


def test_a_set_gives_all_its_keys(tmp_path: Path):
    path = tmp_path / "set.jwk"
    path.write_text(json.dumps({"keys": [public_half(new_key(KeyUse.CLIENT)) for _ in range(3)]}))
    assert len(load_public_set(path)) == 3
    with pytest.raises(KeyRejected, match="holds 3 keys"):
        load_public(path)
    with pytest.raises(KeyRejected, match="holds 3 keys"):
        load_private(path)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"keys":[]}', b'{"keys":[1]}', b'{"keys":{}}', b"\xff", b"{}"])
def test_a_file_that_is_no_key_is_refused_by_its_name(tmp_path: Path, content: bytes):
    path = tmp_path / "bad.jwk"
    path.write_bytes(content)
    with pytest.raises(KeyRejected, match=r"bad\.jwk"):
        load_public(path)


def test_an_error_never_shows_the_secret(tmp_path: Path):
    jwk, (private, _) = write_new_key(KeyUse.CLIENT, tmp_path / "key.jwk")
    private.chmod(0o600)
    private.write_text(json.dumps({**jwk, "d": jwk["d"][:-2] + "!!"}))
    with pytest.raises(KeyRejected) as caught:
        load_private(private)
    assert jwk["d"][:8] not in str(caught.value)


def test_an_endless_key_file_is_refused(tmp_path: Path):
    path = tmp_path / "big.jwk"
    path.write_bytes(b" " * (MAX_KEY_FILE_BYTES + 1))
    with pytest.raises(KeyRejected):
        load_jwks(path)
