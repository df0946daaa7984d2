"""The one place that speaks HTTP to the upstream: a question out, an answer that passed every check back.

Deliberately absent:
- retries: a failed question is answered from the snapshot at once, and a service in trouble is not asked twice;
- redirects, cookies, compressed bodies and proxies of the environment: an answer comes from the configured address,
  says the same to everybody, is never larger than it looks, and nobody else sees the question.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import SplitResult, urlsplit

import aiohttp

from service.base64url import b64u_decode
from service.errors import RelaisError, SettingsError, SignatureRejected, UpstreamMalformed, UpstreamUnavailable
from service.rights.heard import Heard
from service.rights.model import Query
from service.settings import UpstreamSettings
from service.upstream.wire import parse_answer, question_bytes

RIGHTS_PATH: Final = "/v1/rights"
_JSON: Final = "application/json"
_HEADERS: Final = {
    "Accept": _JSON,
    "Accept-Encoding": "identity",
    "Content-Type": _JSON,
    "User-Agent": "relais-droits",
}
#: Servers often close an idle connection after 5 to 75 s. One that closes just as it is used costs an answer.
_IDLE_SECONDS: Final = 4.0
#: A token is renewed once this share of its life is over.
_TOKEN_SHARE: Final = 0.8


class Client:
    """Asks one upstream. `mint` makes a token to show it, None where it takes none; a token is shown until it ages.

    Raises `SettingsError` for a `url` that is none, or that would send questions in clear beyond this machine.
    """

    def __init__(self, settings: UpstreamSettings, mint: Callable[[], str] | None) -> None:
        self._settings = settings
        self._url = rights_url(settings)
        self._mint = mint
        self._token = ""
        self._token_ends = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, query: Query) -> Heard:
        """What the upstream says about a query, within `upstream.total_ms`.

        Raises `UpstreamUnavailable` where nothing that counts came in time, `UpstreamMalformed` where what came is
        not to be believed, and `InvalidField` for a fictitious NIR, which is sent nowhere.
        """
        body = question_bytes(query)
        return parse_answer(await self._fetch(body), query)

    async def close(self) -> None:
        """Close the connections; a later question opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _fetch(self, body: bytes) -> bytes:
        headers = self._authorization()
        try:
            async with self._connected().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                try:
                    self._check_head(response)
                    return await self._read(response)
                except BaseException:
                    # What is left unread would be taken for the beginning of the next answer.
                    response.close()
                    raise
        except TimeoutError:
            raise UpstreamUnavailable("no complete answer in time") from None
        except aiohttp.ClientResponseError:
            raise UpstreamMalformed("not HTTP") from None
        except aiohttp.ClientConnectorError:
            raise UpstreamUnavailable("no connection") from None
        except (aiohttp.ClientError, OSError):
            raise UpstreamUnavailable("the answer broke off") from None

    def _check_head(self, response: aiohttp.ClientResponse) -> None:
        """Before a byte of the body is read. Raises `UpstreamUnavailable`, `UpstreamMalformed`."""
        if response.status == HTTPStatus.UNAUTHORIZED:
            self._token = ""
        if response.status != HTTPStatus.OK:
            raise UpstreamUnavailable(f"status {response.status}")
        if response.content_type != _JSON:
            raise UpstreamMalformed("not application/json")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UpstreamMalformed("a body encoded though none was asked for")
        if (response.content_length or 0) > self._settings.response_bytes:
            raise UpstreamMalformed("too large")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, never more of it than is allowed. Raises `UpstreamMalformed`."""
        body = bytearray()
        async for part in response.content.iter_any():
            body += part
            if len(body) > self._settings.response_bytes:
                raise UpstreamMalformed("too large")
        return bytes(body)

    def _connected(self) -> aiohttp.ClientSession:
        """The session, made at the first question, because it belongs to the loop that runs."""
        if self._session is None:
            settings = self._settings
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=settings.in_flight, keepalive_timeout=_IDLE_SECONDS),
                timeout=aiohttp.ClientTimeout(
                    total=settings.total_ms / 1000,
                    connect=settings.connect_ms / 1000,
                    sock_read=settings.read_ms / 1000,
                ),
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _authorization(self) -> dict[str, str]:
        """Raises `UpstreamUnavailable` where no token can be made."""
        if self._mint is None:
            return {}
        now = asyncio.get_running_loop().time()
        if not self._token or now >= self._token_ends:
            try:
                self._token = self._mint()
            except RelaisError:
                raise UpstreamUnavailable("no token can be made") from None
            self._token_ends = now + _TOKEN_SHARE * token_seconds(self._token)
        return {"Authorization": f"Bearer {self._token}"}


def rights_url(settings: UpstreamSettings) -> str:
    """Where questions go. Raises `SettingsError` for what is no address, or is one without TLS beyond this machine."""
    try:
        parts = urlsplit(settings.url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise SettingsError("upstream.url is not an address") from None
    if not valid or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise SettingsError("upstream.url is not an address http(s)://HOST[:PORT][/PATH]")
    if parts.username is not None or parts.password is not None:
        raise SettingsError("upstream.url holds credentials: use upstream.client and upstream.key")
    if parts.scheme == "http" and not (settings.allow_http or _is_this_machine(parts)):
        raise SettingsError("upstream.url must be https: questions name people (upstream.allow_http lets it be http)")
    return settings.url.rstrip("/") + RIGHTS_PATH


def token_seconds(token: str) -> float:
    """How long a token of our own lives, by its own claims; 0 where it does not say."""
    try:
        claims = json.loads(b64u_decode(token.split(".")[1]))
        return max(0.0, float(claims["exp"]) - float(claims["iat"]))
    except (SignatureRejected, ValueError, LookupError, TypeError):
        return 0.0


def _is_this_machine(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
