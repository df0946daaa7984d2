from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.errors import InvalidField, OperatorError, SettingsError, UpstreamMalformed, UpstreamUnavailable
from service.rights.model import Status
from service.settings import UpstreamSettings
from service.upstream.client import Client, rights_url, token_seconds
from service.upstream.wire import question_bytes
from tests.unit.upstream.answers import QUERY, another, answer, yes
from tests.unit.upstream.servers import (
    Reply,
    Request,
    Upstream,
    drips,
    hangs,
    http,
    resets,
    says,
    self_signed,
    until,
    upstream,
)

YES = http(yes(QUERY))
ASK = """
import asyncio, sys
from service.errors import UpstreamUnavailable
from service.settings import UpstreamSettings
from service.upstream.client import Client
from tests.unit.upstream.answers import QUERY

async def ask():
    settings = UpstreamSettings(url=sys.argv[1], total_ms=20_000, connect_ms=20_000, read_ms=20_000)
    client = Client(settings, None)
    try:
        print((await client.ask(QUERY)).status)
    except UpstreamUnavailable as error:
        print(error.detail)
    finally:
        await client.close()

asyncio.run(ask())
"""


@asynccontextmanager
async def asking(
    reply: Reply, mint: Callable[[], str] | None = None, **changes: object
) -> AsyncIterator[tuple[Client, Upstream]]:
    async with upstream(reply) as server:
        client = Client(server.settings(**changes), mint)
        try:
            yield client, server
        finally:
            await client.close()


async def fault(reply: Reply, **changes: object) -> UpstreamUnavailable | UpstreamMalformed:
    """How one question fails; whatever happened, the next question is not spoilt by it."""
    async with asking(reply, **changes) as (client, server):
        with pytest.raises((UpstreamUnavailable, UpstreamMalformed)) as caught:
            await client.ask(QUERY)
        server.reply = says(YES)
        if "total_ms" not in changes:
            assert (await client.ask(QUERY)).status is Status.OPEN
        assert str(QUERY.nir) not in caught.value.detail
        return caught.value


async def test_a_question_and_its_answer():
    async with asking(says(YES)) as (client, server):
        assert (await client.ask(QUERY)).status is Status.OPEN
    (request,) = server.requests
    assert request.line == "POST /v1/rights HTTP/1.1"
    assert request.body == question_bytes(QUERY)
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"
    assert not {"cookie", "authorization"} & set(request.headers)


async def test_one_connection_serves_many_questions():
    async with asking(says(YES)) as (client, server):
        for _ in range(5):
            await client.ask(QUERY)
        assert (server.connections, len(server.requests)) == (1, 5)


async def test_a_base_with_a_path():
    async with upstream(says(YES)) as server:
        settings = UpstreamSettings(url=f"{server.url}/rights-api/", total_ms=20_000, connect_ms=20_000, read_ms=20_000)
        client = Client(settings, None)
        await client.ask(QUERY)
        await client.close()
        assert server.requests[0].line == "POST /rights-api/v1/rights HTTP/1.1"


async def test_it_can_be_asked_again_after_a_close():
    async with asking(says(YES)) as (client, server):
        await client.ask(QUERY)
        await client.close()
        await client.ask(QUERY)
        assert server.connections == 2


async def test_a_fictitious_nir_goes_nowhere():
    async with asking(says(YES)) as (client, server):
        with pytest.raises(InvalidField):
            await client.ask(msgspec.structs.replace(QUERY, nir="2555555000030"))
        assert server.connections == 0


@pytest.mark.parametrize(
    "status",
    ["204 No Content", "301 Moved", "400 Bad", "401 No", "403 No", "422 No", "429 Slow", "500 Oops", "503 Off"],
)
async def test_any_status_but_200_is_no_answer(status: str):
    error = await fault(says(http(b"" if status.startswith("204") else yes(QUERY), status)))
    assert isinstance(error, UpstreamUnavailable)
    assert error.detail == f"status {status[:3]}"


async def test_a_redirect_is_not_followed():
    async with upstream(says(YES)) as elsewhere:
        error = await fault(says(http(b"", "307 Temporary Redirect", Location=f"{elsewhere.url}/v1/rights")))
        assert error.detail == "status 307"
        assert elsewhere.connections == 0


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "", "application/problem+json", "json"])
async def test_any_other_type_is_no_answer(content_type: str):
    error = await fault(says(http(yes(QUERY), content_type=content_type)))
    assert isinstance(error, UpstreamMalformed)


async def test_a_type_with_its_charset_is_good():
    async with asking(says(http(yes(QUERY), content_type="application/json; charset=utf-8"))) as (client, _):
        await client.ask(QUERY)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x"])
async def test_an_encoded_body_is_not_unpacked(encoding: str):
    error = await fault(says(http(gzip.compress(yes(QUERY)), Content_Encoding=encoding)))
    assert error.detail == "a body encoded though none was asked for"


async def test_a_body_that_says_it_is_too_large_is_not_read():
    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 65537\r\n\r\n")
        await asyncio.Event().wait()

    error = await fault(reply)
    assert (type(error), error.detail) == (UpstreamMalformed, "too large")


async def test_a_body_without_end_is_not_read_beyond_the_limit():
    sent = 0

    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    error = await fault(reply)
    assert (type(error), error.detail) == (UpstreamMalformed, "too large")
    # What the sockets of both sides hold, and no more.
    assert sent < 32 * 1024 * 1024


async def test_the_limit_itself_is_allowed():
    async with asking(says(YES), response_bytes=len(yes(QUERY))) as (client, _):
        await client.ask(QUERY)
    error = await fault(says(YES), response_bytes=len(yes(QUERY)) - 1, total_ms=20_000)
    assert error.detail == "too large"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\x00",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
    ids=range(4),
)
async def test_what_is_not_http(data: bytes):
    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        raise ConnectionError

    await fault(reply)


async def test_json_that_is_no_answer():
    error = await fault(says(http(b'{"status": "open"}')))
    assert isinstance(error, UpstreamMalformed)


async def test_an_answer_about_somebody_else():
    error = await fault(says(http(yes(another(QUERY)))))
    assert (type(error), error.detail) == (UpstreamMalformed, "it answers another question")


async def test_two_answers_that_were_mixed_up_are_both_refused():
    """A server that hands each of two callers what belongs to the other."""
    bodies: list[tuple[asyncio.StreamWriter, bytes]] = []

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        rank = json.loads(request.body)["beneficiary"]["birth_rank"]
        bodies.append((writer, yes(QUERY if rank == 1 else another(QUERY))))
        if len(bodies) == 2:
            (one, of_one), (other, of_other) = bodies
            one.write(http(of_other))
            other.write(http(of_one))

    async with asking(reply) as (client, _):
        results = await asyncio.gather(client.ask(QUERY), client.ask(another(QUERY)), return_exceptions=True)
    assert [type(result) for result in results] == [UpstreamMalformed] * 2


@pytest.mark.parametrize(
    "data", [YES[:40], YES[:-1], YES[: YES.index(b"\r\n\r\n") + 4]], ids=["in its head", "a byte short", "no body"]
)
async def test_an_answer_that_breaks_off(data: bytes):
    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        raise ConnectionError

    assert isinstance(await fault(reply), UpstreamUnavailable)


async def test_a_reset():
    assert isinstance(await fault(resets), UpstreamUnavailable)


async def test_nobody_listens():
    async with upstream(says(YES)) as server:
        settings = server.settings()
    client = Client(settings, None)
    with pytest.raises(UpstreamUnavailable, match="no connection"):
        await client.ask(QUERY)
    await client.close()


async def test_a_server_that_hangs_costs_the_total_and_its_connection():
    async with asking(hangs, total_ms=1000) as (client, server):
        with pytest.raises(UpstreamUnavailable, match="in time"):
            await client.ask(QUERY)
        server.reply = says(YES)
        assert (await client.ask(QUERY)).status is Status.OPEN
        assert server.connections == 2


async def test_a_server_that_falls_silent_costs_the_read_limit():
    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(YES[:-1])
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        assert (await fault(reply, read_ms=100, total_ms=600_000)).detail == "no complete answer in time"


async def test_a_drip_keeps_the_reads_short_and_still_ends_with_the_total():
    error = await fault(drips(YES, 0.01), read_ms=10_000, total_ms=300)
    assert error.detail == "no complete answer in time"


async def test_a_caller_who_gives_up_leaves_no_half_read_connection():
    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(YES[:-10])
        await asyncio.Event().wait()

    async with asking(reply) as (client, server):
        call = asyncio.create_task(client.ask(QUERY))
        await until(lambda: bool(server.requests))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.reply = says(YES)
        assert (await client.ask(QUERY)).status is Status.OPEN
        assert server.connections == 2


async def test_a_failure_is_not_asked_twice():
    async with asking(resets) as (client, server):
        with pytest.raises(UpstreamUnavailable):
            await client.ask(QUERY)
        assert len(server.requests) == 1


async def test_what_is_sent_after_the_answer_is_not_taken_for_the_next_one():
    """Response splitting by the server: a second answer in the same breath."""
    async with asking(says(YES + http(answer(QUERY, status="unknown")))) as (client, server):
        assert (await client.ask(QUERY)).status is Status.OPEN
        await asyncio.sleep(0.05)
        server.reply = says(YES)
        assert (await client.ask(QUERY)).status is Status.OPEN


async def test_a_server_that_closes_its_idle_connections():
    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(YES)
        await writer.drain()
        raise ConnectionError

    async with asking(reply) as (client, server):
        for _ in range(3):
            await client.ask(QUERY)
            await until(lambda: not server.open)
            await asyncio.sleep(0.01)
        assert server.connections == 3


async def test_cookies_are_not_kept():
    async with upstream(says(http(yes(QUERY), Set_Cookie="caller=1; Path=/"))) as server:
        # By name: a cookie of a numeric address would be refused anyway.
        client = Client(msgspec.structs.replace(server.settings(), url=f"http://localhost:{server.port}"), None)
        await client.ask(QUERY)
        await client.ask(QUERY)
        await client.close()
        assert "cookie" not in server.requests[1].headers


async def test_proxies_of_the_environment_see_no_question(monkeypatch: pytest.MonkeyPatch):
    async with upstream(says(YES)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with asking(says(YES)) as (client, _):
            await client.ask(QUERY)
        assert proxy.connections == 0


async def test_a_certificate_that_nobody_vouches_for_is_refused_before_a_question_is_sent(tmp_path: Path):
    tls, _ = self_signed(tmp_path)
    async with upstream(says(YES), tls) as server:
        client = Client(msgspec.structs.replace(server.settings(), url=f"https://localhost:{server.port}"), None)
        with pytest.raises(UpstreamUnavailable, match="no connection"):
            await client.ask(QUERY)
        await client.close()
        assert server.requests == []


async def test_a_certificate_that_the_system_trusts(tmp_path: Path):
    """In a process of its own: OpenSSL reads the system's authorities once."""
    tls, certificate = self_signed(tmp_path)
    async with upstream(says(YES), tls) as server:
        for host, status in (("localhost", "open"), ("127.0.0.1", "no connection")):
            asking = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                ASK,
                f"https://{host}:{server.port}",
                env={**os.environ, "SSL_CERT_FILE": str(certificate)},
                stdout=asyncio.subprocess.PIPE,
            )
            told, _ = await asking.communicate()
            assert told.decode().strip() == status
        assert len(server.requests) == 1


async def test_no_more_connections_than_questions_in_flight():
    async with asking(says(YES), in_flight=2) as (client, server):
        await asyncio.gather(*(client.ask(QUERY) for _ in range(20)))
        assert server.connections <= 2
        assert len(server.requests) == 20


def token(seconds: float, name: str) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"iat": 1000, "exp": 1000 + seconds, "jti": name}).encode())
    return f"e30.{claims.rstrip(b'=').decode()}.{name}"


class Mint:
    """Counts what it minted."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.minted = 0

    def __call__(self) -> str:
        self.minted += 1
        return token(self.seconds, str(self.minted))


async def test_one_token_is_shown_until_it_ages():
    mint = Mint(300)
    async with asking(says(YES), mint) as (client, server):
        for _ in range(3):
            await client.ask(QUERY)
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {token(300, '1')}"] * 3


async def test_an_aged_token_is_replaced():
    mint = Mint(0)
    async with asking(says(YES), mint) as (client, _):
        await client.ask(QUERY)
        await client.ask(QUERY)
    assert mint.minted == 2


async def test_a_token_that_was_refused_is_not_shown_again():
    mint = Mint(300)
    async with asking(says(http(b"", "401 No")), mint) as (client, server):
        with pytest.raises(UpstreamUnavailable):
            await client.ask(QUERY)
        server.reply = says(YES)
        await client.ask(QUERY)
    assert mint.minted == 2


async def test_without_a_token_nothing_is_asked():
    def mint() -> str:
        raise OperatorError("/secret/path is missing")

    async with asking(says(YES), mint) as (client, server):
        with pytest.raises(UpstreamUnavailable) as caught:
            await client.ask(QUERY)
        assert (server.connections, caught.value.detail) == (0, "no token can be made")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a.!.c", "a.e30.c", "a.bnVsbA.c"])
def test_a_token_that_does_not_say_how_long_it_lives_is_used_once(text: str):
    assert token_seconds(text) == 0.0


def test_how_long_a_token_lives():
    assert token_seconds(token(300, "x")) == 300.0
    assert token_seconds(token(-5, "x")) == 0.0


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8090", "http://127.9.9.9", "http://localhost:1/", "http://[::1]:8090", "https://rights.example"],
)
def test_addresses_that_keep_the_question_private(url: str):
    assert rights_url(UpstreamSettings(url=url)) == url.rstrip("/") + "/v1/rights"


@pytest.mark.parametrize(
    "url",
    [
        "http://rights.example",
        "http://10.0.0.1",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://0.0.0.0:8090",
        "HTTP://rights.example",
        "ftp://127.0.0.1",
        "rights.example",
        "https://",
        "https://:443",
        "https://user:password@rights.example",
        "https://rights.example?x=1",
        "https://rights.example#x",
        "https://[::1",
        "https://rights.example:99999",
    ],
)
def test_addresses_that_do_not(url: str):
    with pytest.raises(SettingsError) as caught:
        Client(UpstreamSettings(url=url), None)
    assert "password@" not in caught.value.detail


def test_http_where_it_is_allowed_by_name():
    settings: Any = UpstreamSettings(url="http://rights.internal", allow_http=True)
    assert rights_url(settings) == "http://rights.internal/v1/rights"
