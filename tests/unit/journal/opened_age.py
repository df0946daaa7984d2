"""Opening what was sealed in age's format, written from its specification (C2SP age.md), sharing nothing with ours."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

#: AGE-SECRET-KEY-1PTFSUESF4WJ785HDS8SWVT34J0TJ56ZTTTUQZDYK8SHC2TKCUW0S8PN8WP: made for these tests, secret of nobody.
RECIPIENT = "age1vwlfv9dxanehvznulcatsshaslztt63ce66yxpfs52kn9w35nuxqtnslp7"
IDENTITY = "PTFSUESF4WJ785HDS8SWVT34J0TJ56ZTTTUQZDYK8SHC2TKCUW0S8PN8WP"
_CHARACTERS = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"
_CHUNK = 64 * 1024


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869, one block."""
    return hmac.digest(hmac.digest(salt or bytes(32), key, "sha256"), info + b"\x01", hashlib.sha256)


def secret_key(text: str = IDENTITY) -> bytes:
    number = 0
    for character in text[:-6]:
        number = number << 5 | _CHARACTERS.index(character)
    return (number >> 4).to_bytes(32, "big")


def _unbase64(data: bytes) -> bytes:
    return base64.b64decode(data + b"=" * (-len(data) % 4))


def open_age(data: bytes, secret: bytes | None = None) -> bytes:
    """The plaintext; any exception means that it does not open."""
    head, _, rest = data.partition(b"\n--- ")
    mac, _, payload = rest.partition(b"\n")
    version, stanza, body = head.split(b"\n")
    assert version == b"age-encryption.org/v1"
    kind, share = stanza.removeprefix(b"-> ").split(b" ")
    assert kind == b"X25519"
    private = X25519PrivateKey.from_private_bytes(secret or secret_key())
    public = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(_unbase64(share)))
    wrapping = _hkdf(shared, _unbase64(share) + public, b"age-encryption.org/v1/X25519")
    file_key = ChaCha20Poly1305(wrapping).decrypt(bytes(12), _unbase64(body), None)
    assert hmac.digest(_hkdf(file_key, b"", b"header"), head + b"\n---", "sha256") == _unbase64(mac)
    key = ChaCha20Poly1305(_hkdf(file_key, payload[:16], b"payload"))
    chunks = [payload[at : at + _CHUNK + 16] for at in range(16, len(payload), _CHUNK + 16)]
    return b"".join(
        key.decrypt(number.to_bytes(11, "big") + bytes([number == len(chunks) - 1]), chunk, None)
        for number, chunk in enumerate(chunks)
    )
