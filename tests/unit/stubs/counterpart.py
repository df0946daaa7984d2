"""A rights service in a hundred lines, to test the pharmacy against: it answers, records nothing, and can be bent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm

CLIENT, FINESS = "pharmacie-exemple", "750012346"


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def tree(leaves: Sequence[bytes]) -> bytes:
    """Merkle tree hash as RFC 9162 §2.1.1 defines it, over hashed leaves."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Inclusion proof as RFC 9162 §2.1.3.1 defines it."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path(index, leaves[:split]), tree(leaves[split:])]
    return [*path(index - split, leaves[split:]), tree(leaves[:split])]


def leaf(answer: dict[str, Any]) -> bytes:
    return hashlib.sha256(b"\x00" + canonical(answer)).digest()


def public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    return {name: OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)[name] for name in ("crv", "kty", "x")}


def thumbprint(key: Ed25519PrivateKey) -> str:
    return b64u(hashlib.sha256(canonical(public_jwk(key))).digest())


@dataclass
class Office:
    """Signs heads; `header` and `payload` bend what is signed."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    header: dict[str, Any] = field(default_factory=dict)
    payload: dict[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, Ed25519PublicKey]:
        return {thumbprint(self.key): self.key.public_key()}

    def head(self, leaves: Sequence[bytes], first: int = 0) -> str:
        blank = b64u(bytes(32))
        told = {"journal": "j-1", "first": first, "size": len(leaves), "root": b64u(tree(leaves))}
        told |= {"entries": blank, "previous": blank, "at": "2024-02-05T09:30:12.123Z", **self.payload}
        header = {"alg": "EdDSA", "kid": thumbprint(self.key), "typ": "relais-head+jws", **self.header}
        body = f"{b64u(canonical(header))}.{b64u(canonical(told))}"
        return f"{body}.{b64u(self.key.sign(body.encode()))}"

    def receipt(self, answer: dict[str, Any], index: int = 3, size: int = 6) -> dict[str, Any]:
        leaves = [leaf(answer) if place == index else hashlib.sha256(bytes([place])).digest() for place in range(size)]
        return {"head": self.head(leaves, 100), "index": index, "path": [b64u(step) for step in path(index, leaves)]}


def respond(office: Office, normalised: dict[str, Any], status: str = "open") -> dict[str, Any]:
    """A whole response to a query as normalised."""
    opening = hashlib.sha256(canonical(normalised)).digest()[:16]
    contract: dict[str, Any] = {
        "amc": "0990000011", "amc_name": "Mutuelle Exemple Azur", "status": status, "member": "EX000001",
        "valid_from": "2023-01-01", "valid_to": None, "rates": {"PH7": 100, "PH4": None}, "rate_base": "TR",
    }  # fmt: skip
    answer = {
        "advice": "check_card" if status == "unknown" else "apply_unguaranteed",
        "asked": b64u(hmac.digest(opening, canonical(normalised), "sha256")),
        "contracts": [] if status == "unknown" else [contract],
        "degraded": True,
        "for": {"client": CLIENT, "finess": FINESS},
        "notices": [{"id": "n", "severity": "warning", "text": "Service de secours Écume"}],
        "service_date": normalised["service_date"],
        "status": status,
    }
    text = "Droits ouverts selon les données de secours."
    return {"answer": answer, "counter_text": text, "receipt": office.receipt(answer), "opening": b64u(opening)}


@dataclass
class Service:
    """The HTTP face. `snapshot` tells which snapshot the n-th answer names, `fault` may answer in its place."""

    office: Office
    client_key: Ed25519PublicKey
    snapshot: Callable[[int], int] = lambda _number: 42
    fault: Callable[[int], web.Response | None] = lambda _number: None
    spoil: Callable[[dict[str, Any]], None] = lambda _response: None
    answered: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    requests: int = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/v1/rights", self.rights), web.get("/.well-known/jwks.json", self.jwks)])
        return app

    async def jwks(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [public_jwk(self.office.key), {"kty": "EC", "crv": "P-256"}]})

    async def rights(self, request: web.Request) -> web.Response:
        self.requests += 1
        token = request.headers["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, self.client_key, algorithms=["EdDSA"], audience="relais-droits")
        assert claims["iss"] == claims["sub"] == CLIENT
        self.tokens.add(claims["jti"])
        if (fault := self.fault(self.requests)) is not None:
            return fault
        response = respond(self.office, self._normalised(await request.json()))
        self.spoil(response)
        self.answered.append(response)
        return web.json_response(response, headers={"Relais-Snapshot": str(self.snapshot(self.requests))})

    @staticmethod
    def _normalised(query: dict[str, Any]) -> dict[str, Any]:
        person = {**query["beneficiary"], "nir": query["beneficiary"]["nir"][:13]}
        return {
            "beneficiary": person, "finess": FINESS, "service_date": "2024-02-05", "domain": "PHAR", "benefits": [],
            "amc": query.get("amc"),
        }  # fmt: skip
