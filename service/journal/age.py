"""Sealing a stream to somebody's public key in the format of age (https://age-encryption.org/v1, C2SP age.md).

That format because whoever receives a file needs none of our code: `age --decrypt --identity key.txt FILE`. One
X25519 recipient a file; bytes are sealed as they come, in chunks of 64 KiB.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.errors import KeyRejected

CHUNK_BYTES: Final = 64 * 1024
_VERSION: Final = b"age-encryption.org/v1"
_PREFIX: Final = "age"
_FILE_KEY_BYTES: Final = 16
_NONCE_BYTES: Final = 16
_CHARACTERS: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
#: BIP 173's generator.
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a file is sealed to."""

    key: bytes


def parse_recipient(text: str) -> Recipient:
    """The X25519 key in an `age1…` text (Bech32, BIP 173). Raises `KeyRejected`."""
    prefix, _, data = text.strip().rpartition("1")
    if prefix != _PREFIX or not data or not set(data) <= set(_CHARACTERS):
        raise KeyRejected("not an age recipient (age1…)")
    values = [_CHARACTERS.index(character) for character in data]
    expanded = [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]
    if _checksum(expanded + values) != 1:
        raise KeyRejected("the age recipient holds a typing error: its checksum does not match")
    key = _bytes(values[:-6])
    if len(key) != 32:
        raise KeyRejected("not an X25519 age recipient")
    return Recipient(key)


class Sealing:
    """One file sealed to a recipient: `write` as often as needed, then `close`; `sink` takes the sealed bytes."""

    def __init__(
        self, recipient: Recipient, sink: Callable[[bytes], object], entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Raises `KeyRejected` for a key with which nothing can be sealed."""
        file_key, ephemeral, nonce = entropy(_FILE_KEY_BYTES), entropy(32), entropy(_NONCE_BYTES)
        self._sink = sink
        self._waiting = bytearray()
        self._counter = 0
        self._seal = ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))
        sink(_header(recipient, file_key, ephemeral) + nonce)

    def write(self, data: bytes) -> None:
        """Take more bytes."""
        self._waiting += data
        # The last chunk is marked, so a full one waits until it is known not to be the last.
        while len(self._waiting) > CHUNK_BYTES:
            self._chunk(last=False)

    def close(self) -> None:
        """Seal what waits as the last chunk: whoever cuts the file off is noticed."""
        self._chunk(last=True)

    def _chunk(self, *, last: bool) -> None:
        chunk = bytes(self._waiting[:CHUNK_BYTES])
        del self._waiting[:CHUNK_BYTES]
        nonce = self._counter.to_bytes(11, "big") + bytes([last])
        self._counter += 1
        self._sink(self._seal.encrypt(nonce, chunk, None))


def _header(recipient: Recipient, file_key: bytes, ephemeral: bytes) -> bytes:
    private = X25519PrivateKey.from_private_bytes(ephemeral)
    share = private.public_key().public_bytes_raw()
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(recipient.key))
    except ValueError as error:  # a point of low order: anybody could open what is sealed to it
        raise KeyRejected("nothing can be sealed to this key") from error
    wrapping = _derive(secret, share + recipient.key, b"age-encryption.org/v1/X25519")
    body = ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)
    head = b"%b\n-> X25519 %b\n%b\n---" % (_VERSION, _base64(share), _base64(body))
    mac = hmac.digest(_derive(file_key, b"", b"header"), head, "sha256")
    return b"%b %b\n" % (head, _base64(mac))


def _derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _checksum(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check


def _bytes(values: list[int]) -> bytes:
    """Groups of five bits as bytes; padding must be zero and short. Raises `KeyRejected`."""
    bits, number = 5 * len(values), 0
    for value in values:
        number = number << 5 | value
    rest = bits % 8
    if rest >= 5 or number & (1 << rest) - 1:
        raise KeyRejected("not an age recipient: its padding is wrong")
    return (number >> rest).to_bytes(bits // 8, "big")
