"""A forger's bench: two clients, their keys, and tokens bent in any one place."""

from __future__ import annotations

import base64
import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from service.access.clients import Client, parse_client
from service.jwk import PrivateKey, parse_private_jwk, private_jwk

AUDIENCE = "relais-droits"
NOW = dt.datetime(2024, 2, 5, 9, 30, 12, tzinfo=dt.UTC)
T = int(NOW.timestamp())


def new_ed() -> PrivateKey:
    return parse_private_jwk(private_jwk(Ed25519PrivateKey.generate()))


def new_ec() -> PrivateKey:
    return parse_private_jwk(private_jwk(ec.generate_private_key(ec.SECP256R1())))


def client(client_id: str, *keys: PrivateKey, suspended: bool = False, **members: Any) -> Client:
    body = {"class": "pharmacy", "finess": ["750012346"], "keys": [dict(key.public.jwk) for key in keys], **members}
    return parse_client(client_id, body, suspended=suspended)


def b64(data: bytes | str) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key.key, Ed25519PrivateKey):
        return key.key.sign(data)
    r, s = decode_dss_signature(key.key.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def sealed(key: PrivateKey, header: bytes | str, claims: bytes | str) -> str:
    """A token over these very bytes, well or badly formed, with a true signature."""
    signed = f"{b64(header)}.{b64(claims)}"
    return f"{signed}.{b64(sign(key, signed.encode()))}"


@dataclass
class Bench:
    """`owner` is pharmacy-a's Ed25519 key, `owner_ec` its P-256 key, `thief` the key of the registered pharmacy-b.

    Tokens are issued `at` these Unix seconds, for `audience`.
    """

    owner: PrivateKey = field(default_factory=new_ed)
    owner_ec: PrivateKey = field(default_factory=new_ec)
    thief: PrivateKey = field(default_factory=new_ed)
    stranger: PrivateKey = field(default_factory=new_ed)
    clients: dict[str, Client] = field(default_factory=dict)
    at: int = T
    audience: str = AUDIENCE

    def __post_init__(self) -> None:
        self.clients["pharmacy-a"] = client("pharmacy-a", self.owner, self.owner_ec)
        self.clients["pharmacy-b"] = client("pharmacy-b", self.thief)

    def header(self, key: PrivateKey | None = None, **members: Any) -> dict[str, Any]:
        key = key or self.owner
        return _without_missing({"alg": key.public.alg, "kid": key.kid, "typ": "JWT", **members})

    def claims(self, **members: Any) -> dict[str, Any]:
        who = {"iss": "pharmacy-a", "sub": "pharmacy-a", "aud": self.audience}
        return _without_missing({**who, "iat": self.at, "exp": self.at + 300, "jti": "j-1", **members})

    def token(self, key: PrivateKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token with members of header and claims replaced, or left out where the value is `MISSING`."""
        key = key or self.owner
        return sealed(key, json.dumps(self.header(key, **(header or {}))), json.dumps(self.claims(**claims)))

    def raw_claims(self, text: str | bytes) -> str:
        return sealed(self.owner, json.dumps(self.header()), text)

    def raw_header(self, text: str | bytes) -> str:
        return sealed(self.owner, text, json.dumps(self.claims()))


MISSING = object()


def _without_missing(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not MISSING}
