"""Key files: JWK (RFC 7517) made here, or read from an operator's disk. An adapter around `service.jwk`.

A private key is written once, mode 0600, and never overwritten; its public half lies beside it. Errors name the file
and the rule, never what the file holds.
"""

from __future__ import annotations

import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from service.base64url import b64u
from service.errors import KeyRejected, OperatorError, SignatureRejected
from service.files import PRIVATE_MODE, sync_directory
from service.jwk import PrivateKey, PublicKey, parse_private_jwk, parse_public_jwk, private_jwk, public_half, thumbprint
from service.strictjson import parse_json_object

PUBLIC_MODE: Final = 0o644
#: A set of a hundred keys takes a third of it.
MAX_KEY_FILE_BYTES: Final = 64 * 1024
PEPPER_BYTES: Final = 32


class KeyUse(StrEnum):
    """What a key is made for."""

    SNAPSHOT = "snapshot"
    ROOT = "root"
    ORDER = "order"
    CLIENT = "client"
    RECEIPT = "receipt"
    OFFICER = "officer"
    PEPPER = "pepper"


def new_key(use: KeyUse) -> dict[str, Any]:
    """A fresh private JWK (Ed25519; X25519 for an officer), or for a pepper a JWK set of one 32-byte secret."""
    if use is KeyUse.PEPPER:
        return {"keys": [_new_pepper()]}
    if use is KeyUse.OFFICER:
        return _new_officer_key()
    return dict(private_jwk(Ed25519PrivateKey.generate()))


def public_path(path: Path) -> Path:
    """Where the public half of a key file lies: `signer.jwk` → `signer.pub.jwk`."""
    return path.with_name(f"{path.name.removesuffix('.jwk')}.pub.jwk")


def refuse_to_overwrite(use: KeyUse, path: Path) -> None:
    """Raises `OperatorError` where a file lies in a new key's way: a lost pepper or signer cannot be made again."""
    for target in (path,) if use is KeyUse.PEPPER else (path, public_path(path)):
        if os.path.lexists(target):
            raise OperatorError(f"{target} exists: choose another name, a key is never overwritten")


def write_new_key(use: KeyUse, path: Path) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Makes a key, writes it and, a pepper excepted, its public half; returns the private JWK and the files.

    Raises `OperatorError` rather than overwrite a file.
    """
    refuse_to_overwrite(use, path)
    jwk = new_key(use)
    files = {path: (jwk, PRIVATE_MODE)}
    if use is not KeyUse.PEPPER:
        files[public_path(path)] = (public_half(jwk), PUBLIC_MODE)
    for target, (value, mode) in files.items():
        _write_once(target, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n", mode)
    return jwk, tuple(files)


def load_jwks(path: Path) -> tuple[dict[str, Any], ...]:
    """The JWKs of a file that holds one JWK or a JWK set. Raises `KeyRejected`, or `OSError` for the disk."""
    with path.open("rb") as file:
        data = file.read(MAX_KEY_FILE_BYTES + 1)
    if len(data) > MAX_KEY_FILE_BYTES:
        raise KeyRejected(f"{path}: a key file is at most {MAX_KEY_FILE_BYTES} bytes")
    try:
        value = parse_json_object(data)
    except SignatureRejected as error:
        raise KeyRejected(f"{path}: not a JWK or a JWK set") from error
    keys = value.get("keys", [value])
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise KeyRejected(f"{path}: not a JWK or a JWK set")
    return tuple(keys)


def load_private(path: Path) -> PrivateKey:
    """The one signing key of a file. Raises `KeyRejected`."""
    try:
        return parse_private_jwk(_only(path))
    except KeyRejected as error:
        raise _naming(path, error) from error


def load_public(path: Path) -> PublicKey:
    """The one verification key of a file; of a private one only the public half is kept. Raises `KeyRejected`."""
    return load_public_set(path, at_most=1)[0]


def load_public_set(path: Path, at_most: int = 100) -> tuple[PublicKey, ...]:
    """The verification keys of a file, one or several. Raises `KeyRejected`."""
    jwks = load_jwks(path)
    if len(jwks) > at_most:
        raise KeyRejected(f"{path}: holds {len(jwks)} keys, at most {at_most} may be")
    try:
        return tuple(parse_public_jwk(jwk) for jwk in jwks)
    except KeyRejected as error:
        raise _naming(path, error) from error


def _only(path: Path) -> dict[str, Any]:
    jwks = load_jwks(path)
    if len(jwks) != 1:
        raise KeyRejected(f"holds {len(jwks)} keys, one is needed")
    return jwks[0]


def _naming(path: Path, error: KeyRejected) -> KeyRejected:
    # An operator with ten key files needs to know which; load_jwks names it already.
    return error if error.detail.startswith(str(path)) else KeyRejected(f"{path}: {error.detail}")


def _new_pepper() -> dict[str, str]:
    # The kid is random rather than a thumbprint: manifests publish it, and a hash of the secret is nobody's business.
    return {"kty": "oct", "alg": "HS512", "kid": secrets.token_urlsafe(9), "k": b64u(secrets.token_bytes(PEPPER_BYTES))}


def _new_officer_key() -> dict[str, str]:
    key = X25519PrivateKey.generate()
    public = {"crv": "X25519", "kty": "OKP", "x": b64u(key.public_key().public_bytes_raw())}
    # No `alg`: RFC 7518's ECDH-ES is not HPKE, and HPKE has no registered JWK algorithm yet.
    return {**public, "d": b64u(key.private_bytes_raw()), "use": "enc", "kid": thumbprint(public)}


def _write_once(path: Path, data: bytes, mode: int) -> None:
    """Create a file that must not exist, whole and durable, or leave nothing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
    sync_directory(path.parent)
