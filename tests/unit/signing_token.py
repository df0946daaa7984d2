"""A signing device: another implementation of the port, which gives its public key and never the private one."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from service.base64url import b64u
from service.errors import OperatorError
from service.jwk import PublicKey, parse_public_jwk


class Token:
    """P-256, as most tokens have it. `unplug` takes it away."""

    def __init__(self) -> None:
        self._chip = generate_private_key(SECP256R1())
        self._there = True

    @property
    def public(self) -> PublicKey:
        numbers = self._chip.public_key().public_numbers()
        coordinates = {"x": b64u(numbers.x.to_bytes(32)), "y": b64u(numbers.y.to_bytes(32))}
        return parse_public_jwk({"kty": "EC", "crv": "P-256", **coordinates})

    @property
    def kid(self) -> str:
        return self.public.kid

    @property
    def alg(self) -> str:
        return "ES256"

    def unplug(self) -> None:
        self._there = False

    def sign_der(self, message: bytes) -> bytes:
        if not self._there:
            raise OperatorError("the token is gone: put it back")
        return self._chip.sign(message, ECDSA(SHA256()))

    def sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self.sign_der(message))
        return r.to_bytes(32) + s.to_bytes(32)
