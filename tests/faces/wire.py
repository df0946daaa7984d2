"""Bytes on a socket, for requests that no HTTP library would send."""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import socket
from dataclasses import dataclass, field
from email.message import Message
from typing import Self

from tests.fleet import Installation, ServerName

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as read from the socket."""

    status: int
    headers: Message
    body: bytes
    raw: bytes = field(repr=False)


class Wire:
    """One connection to a server."""

    def __init__(self, served: Installation, server: ServerName = "rights") -> None:
        self._socket = socket.create_connection(("127.0.0.1", served.ports[server]), TIMEOUT_SECONDS)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send, whether or not the server still listens."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def end(self) -> None:
        """Say that nothing more will come."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def vanish(self) -> None:
        """Close with a reset, as a machine does that is switched off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._file.close()
        self._socket.close()

    def line(self) -> bytes:
        """The next line, without its end."""
        return self._file.readline().rstrip(b"\r\n")

    def answer(self, *, head: bool = False) -> Answer:
        """The next response (`head`: to a HEAD request)."""
        lines = [self._file.readline()]
        assert lines[0], "the server closed the connection without an answer"
        while lines[-1] not in (b"\r\n", b""):
            lines.append(self._file.readline())
        raw = b"".join(lines)
        version, status, _ = lines[0].split(b" ", 2)
        assert version.startswith(b"HTTP/"), lines[0]
        headers = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(b"".join(lines[1:]), headersonly=True)
        body = b"" if head else self._file.read(int(headers["Content-Length"] or 0))
        return Answer(int(status), headers, body, raw + body)

    def is_closed(self) -> bool:
        """Whether the server closes the connection, without a byte more."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True
