"""Keys of records and their sealing (docs/snapshot_format.md). Pure.

A layer key comes from the secret pepper and the layer's public salt; the place, key and nonce of a record come from
the layer key and the canonical identity asked for. So a stolen file tells nothing to whoever lacks the pepper, and
two records never share a key. A nonce is used once, because a layer holds one plaintext for each identity and every
layer has a fresh salt.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.base64url import b64u
from service.errors import RecordUnreadable
from service.snapshot.entries import pad, unpad

SALT_SIZE: Final = 16
#: What sealing adds to a plaintext.
TAG_SIZE: Final = 16
#: Shorter secrets could be searched for: the salt is public and the identities are few.
MIN_PEPPER_SIZE: Final = 32
LAYER_LABEL: Final = b"relais-layer-1"
#: No identity of a person begins like this, and only the right pepper finds and opens it.
PROBE_IDENTITY: Final = "probe|relais-layer-1"


class LayerKey:
    """The secret of one layer: pepper and salt combined, ready to derive. `repr` never shows it.

    The HMAC state is prepared once and copied for each identity, which halves the cost.
    """

    __slots__ = ("_state", "salt")

    def __init__(self, pepper: bytes, salt: bytes) -> None:
        if len(pepper) < MIN_PEPPER_SIZE or len(salt) != SALT_SIZE:
            raise ValueError("a pepper has 32 bytes or more, a salt exactly 16")
        self.salt = salt
        self._state = hmac.HMAC(_hmac_sha512(pepper, LAYER_LABEL + salt), hashes.SHA512())

    def derive(self, identity: str) -> bytes:
        """64 bytes for a canonical identity: 16 record key, 32 AES key, 12 nonce, 4 unused."""
        state = self._state.copy()
        state.update(identity.encode("ascii"))
        return state.finalize()

    def place(self, base_record_key: bytes) -> bytes:
        """64 bytes for what this delta says of a base's record: 16 record key; 48 more seal a tombstone.

        They follow from the base's record key alone, because nobody remembers the identities of a base.
        """
        return self.derive(f"over|{b64u(base_record_key)}")


def record_key(derived: bytes) -> bytes:
    """The 16 bytes under which a record lies."""
    return derived[:16]


def seal(derived: bytes, plaintext: bytes, salt: bytes) -> bytes:
    """AES-256-GCM ciphertext and tag of a padded plaintext, bound to its layer by the salt."""
    return AESGCM(derived[16:48]).encrypt(derived[48:60], plaintext, salt)


def open_sealed(derived: bytes, sealed: bytes, salt: bytes) -> bytes:
    """The padded plaintext behind `seal`. Raises `RecordUnreadable` for any other key, salt or byte."""
    try:
        return AESGCM(derived[16:48]).decrypt(derived[48:60], sealed, salt)
    except (InvalidTag, ValueError) as error:
        raise RecordUnreadable("the record does not open") from error


def seal_probe(key: LayerKey) -> tuple[bytes, bytes]:
    """Record key and sealed value of the layer's probe: its plaintext is the salt."""
    derived = key.derive(PROBE_IDENTITY)
    return record_key(derived), seal(derived, pad(key.salt), key.salt)


def opens_probe(key: LayerKey, sealed: bytes) -> bool:
    """Whether the probe found under this key opens and says the salt."""
    try:
        return unpad(open_sealed(key.derive(PROBE_IDENTITY), sealed, key.salt)) == key.salt
    except RecordUnreadable:
        return False


def _hmac_sha512(key: bytes, message: bytes) -> bytes:
    state = hmac.HMAC(key, hashes.SHA512())
    state.update(message)
    return state.finalize()
