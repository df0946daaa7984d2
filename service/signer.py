"""The port through which signatures are made, so that a private key may lie in a file or never leave a token. Pure."""

from __future__ import annotations

from typing import Final, Protocol

#: Ed25519 (RFC 8032 §5.1.6) and ES256 in the form JWS wants (RFC 7518 §3.4: r and s side by side) have one length.
SIGNATURE_BYTES: Final = 64


class Signer(Protocol):
    """One signing key, wherever it lies; `service.jwk.PrivateKey` is the one that lies in a file.

    Where a device behind it is gone, locked or refuses, `sign` raises `OperatorError` and nothing has been written:
    whoever signs makes the signature first and the file afterwards.
    """

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the public half."""
        ...

    @property
    def alg(self) -> str:
        """The one JWS algorithm of the key: EdDSA or ES256."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature of a message as JWS carries it, `SIGNATURE_BYTES` long (an ES256 one is not DER)."""
        ...
