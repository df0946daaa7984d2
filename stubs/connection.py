"""A pharmacy's connection to the rights service: its own tokens, its questions, the published receipt keys."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiohttp
import jwt
import orjson

from stubs.proof import Keys, ReceiptError, parse_jwks

_LIFETIME_SECONDS: Final = 300
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


class Reply(NamedTuple):
    """One HTTP answer: status, body as sent, the snapshot it names, seconds from question to last byte."""

    status: int
    body: bytes
    snapshot: str
    seconds: float


class Signer:
    """Mints the tokens of one client with its private JWK file (RFC 7523 claims); one is used until it ages.

    Raises `OSError`, `ValueError` or `jwt.PyJWTError` for a file that holds no key to sign with.
    """

    def __init__(self, client: str, key_file: Path, audience: str = "relais-droits") -> None:
        document = orjson.loads(key_file.read_bytes())
        if not isinstance(document, dict) or "d" not in document:
            raise ValueError("the key file holds no private JWK")
        jwk = jwt.PyJWK(document)
        self._key, self._alg = jwk.key, jwk.algorithm_name
        self._headers = {"typ": "JWT", **({"kid": jwk.key_id} if jwk.key_id else {})}
        self._claims = {"iss": client, "sub": client, "aud": audience}
        self._token, self._until = "", 0.0

    def token(self) -> str:
        """A token with at least a minute to live."""
        if time.monotonic() >= self._until:
            # In this order, for other threads may look at both meanwhile.
            self._token = self.mint(int(time.time()))
            self._until = time.monotonic() + _LIFETIME_SECONDS - 60
        return self._token

    def mint(self, now: int) -> str:
        """A fresh token, valid for five minutes from `now`."""
        claims = {**self._claims, "iat": now, "exp": now + _LIFETIME_SECONDS, "jti": str(uuid.uuid4())}
        return jwt.encode(claims, self._key, algorithm=self._alg, headers=self._headers)


class Pharmacy:
    """A connection to the rights service. Raises `aiohttp.ClientError` and `TimeoutError` where it is unreachable."""

    def __init__(self, url: str, signer: Signer, connections: int = 1) -> None:
        self._url, self._signer = url.rstrip("/"), signer
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), timeout=_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, query: bytes, request_id: str | None = None) -> Reply:
        """The reply to a query, given as JSON. The same `request_id` makes it a retry."""
        headers = {
            "Authorization": f"Bearer {self._signer.token()}",
            "Content-Type": "application/json",
            "X-Request-Id": request_id or str(uuid.uuid4()),
        }
        return await self._post("/v1/rights", query, headers)

    async def ask_batch(self, body: bytes) -> Reply:
        """The reply to a hub's batch, given as JSON."""
        headers = {"Authorization": f"Bearer {self._signer.token()}", "Content-Type": "application/json"}
        return await self._post("/v1/rights/batch", body, headers)

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        start = time.perf_counter()
        async with self._session.post(f"{self._url}{path}", data=body, headers=headers) as response:
            answered = await response.read()
            seconds = time.perf_counter() - start
            return Reply(response.status, answered, response.headers.get("Relais-Snapshot", ""), seconds)

    async def keys(self) -> Keys:
        """The published receipt keys, by thumbprint. Raises `ReceiptError`."""
        async with self._session.get(f"{self._url}/.well-known/jwks.json") as response:
            try:
                return parse_jwks(orjson.loads(await response.read()))
            except (orjson.JSONDecodeError, AttributeError, KeyError) as error:
                raise ReceiptError("the published keys are not a key set") from error
