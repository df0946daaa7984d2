"""A small server that says exactly the bytes a test wants, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.settings import UpstreamSettings

#: Of requests read completely: what to write. A raised exception drops the connection.
Reply = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes
    #: Which connection of the server, and which request on it, from 0.
    connection: int
    number: int


@dataclass
class Upstream:
    reply: Reply
    port: int = 0
    connections: int = 0
    open: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **changes: object) -> UpstreamSettings:
        """Patient ones: a slow machine fails no test."""
        patient: dict[str, object] = {"total_ms": 20_000, "connect_ms": 20_000, "read_ms": 20_000, **changes}
        return UpstreamSettings(url=self.url, **patient)  # type: ignore[arg-type]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, connection = 0, self.connections
        self.connections += 1
        self.open += 1
        try:
            while request := await _read(reader, connection, number):
                self.requests.append(request)
                number += 1
                await self.reply(request, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


async def _read(reader: asyncio.StreamReader, connection: int, number: int) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines if text)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(line, headers, body, connection, number)


@asynccontextmanager
async def upstream(reply: Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    made = Upstream(reply)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    tasks = asyncio.all_tasks()
    try:
        yield made
    finally:
        server.close()
        # Those that hang on purpose.
        for task in asyncio.all_tasks() - tasks - {asyncio.current_task()}:
            task.cancel()


def http(body: bytes, status: str = "200 OK", content_type: str = "application/json", **headers: str) -> bytes:
    lines = {"Content-Type": content_type, "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def says(data: bytes) -> Reply:
    """The same bytes to everybody."""

    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return reply


async def hangs(_: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def resets(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    await asyncio.sleep(0)
    raise ConnectionError


def drips(data: bytes, pause: float) -> Reply:
    """Byte by byte."""

    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        for byte in data:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(pause)

    return reply


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another task brings about."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """TLS of a server called localhost that nobody vouches for, and its certificate, for who wants to trust it."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, none))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return context, pem
