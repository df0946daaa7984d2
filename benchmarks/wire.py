"""A load generator light enough to share a machine with what it measures: keep-alive, one request in flight each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop


@dataclass
class Load:
    """What a run saw: requests finished, statuses, seconds, latencies in seconds."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    failures: int = 0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return sum(self.statuses.values()) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds below which `share` of the requests lay."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the previous response is whole."""

    def __init__(self, requests: Sequence[bytes], offset: int, load: Load, ends: float) -> None:
        self.requests, self.position, self.load, self.ends = requests, offset, load, ends
        self.buffer = bytearray()
        self.need = -1
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.requests[self.position % len(self.requests)])
        self.position += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.need < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            start = head.index(b"content-length:") + 15
            stop = head.find(b"\r\n", start)
            self.need = end + 4 + int(head[start : stop if stop > 0 else None])
        if len(self.buffer) < self.need:
            return
        now = time.perf_counter()
        status = int(self.buffer[9:12])
        self.load.statuses[status] = self.load.statuses.get(status, 0) + 1
        self.load.latencies.append(now - self.sent)
        self.buffer.clear()
        self.need = -1
        if now < self.ends:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.need >= 0 or exc is not None:
            self.load.failures += 1
        if not self.done.done():
            self.done.set_result(None)


def post(path: str, body: bytes, token: str = "", port: int = 8080) -> bytes:
    """One HTTP/1.1 POST as bytes."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{authorization}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Load a server on loopback from `connections` keep-alive connections for `seconds`."""
    return uvloop.run(_run(port, requests, connections, seconds))


async def _run(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    load = Load()
    started = time.perf_counter()
    step = max(1, len(requests) // connections)
    made = [
        await asyncio.get_running_loop().create_connection(
            lambda i=i: _Connection(requests, i * step, load, started + seconds), "127.0.0.1", port
        )
        for i in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    load.seconds = time.perf_counter() - started
    return load
