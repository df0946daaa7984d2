"""Buckets for tests: moto's S3, and one of our own that lies on demand. Neither checks a signature."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.fleet import START_SECONDS, free_ports, wait_until

#: What a client must be told to reach a bucket here. The secrets look like secrets, so that a leak is found.
ACCESS_KEY: Final = "AKIAIOSFODNN7SYNTH00"
SECRET_KEY: Final = "wJalrXUtnFEMIK7MDENGbPxRfiCYSYNTHETICKEY"  # noqa: S105 - nobody's
SESSION_TOKEN: Final = "FwoGZXIvYXdzSYNTHETICSESSIONTOKEN"  # noqa: S105 - nobody's
BUCKET: Final = "relais-tests"


def environment(port: int) -> dict[str, str]:
    """The `AWS_*` variables, and the setting that allows an endpoint without TLS."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "eu-west-3",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
        "RELAIS_SYNC_ALLOW_HTTP": "true",
    }


@contextlib.contextmanager
def moto_server() -> Iterator[int]:
    """The port of moto's server as a process of its own, with one empty bucket."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _answers(port), START_SECONDS, lambda: "moto's server does not answer")
        make_bucket(port, BUCKET)
        yield port
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def make_bucket(port: int, name: str) -> None:
    """Make a bucket as any client would."""
    link = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    link.request("PUT", f"/{name}")
    assert link.getresponse().status == 200
    link.close()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came."""

    method: str
    name: str
    range: str
    if_match: str
    if_none_match: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server sends. `send` writes the body in another way than all at once."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    send: Callable[[socket.socket, bytes], None] | None = None


#: Makes another answer of the honest one.
Bend = Callable[[Asked, Answer], Answer]


@dataclass
class LyingBucket:
    """As much of S3 as the product's client needs, over a dict; what it says of a name can be bent in one line.

    `bucket.bend("latest", says(503))`, and `bucket.honest()`. Names are those below the bucket, prefix included.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    #: Bytes of bodies that were sent to their end, by name.
    served: dict[str, int] = field(default_factory=dict)
    port: int = 0
    _bends: dict[str, Bend] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bend(self, ending: str, bend: Bend) -> None:
        """Lie about every name that ends so, whoever asks and however."""
        self._bends[ending] = bend

    def turn(self, ending: str, bend: Bend) -> None:
        """From one lie to another, without a moment of honesty between them."""
        self._bends = {ending: bend}

    def honest(self) -> None:
        """Lie no more, and forget what was asked."""
        self._bends.clear()
        self.asked.clear()
        self.served.clear()

    def place(self, prefix: str, ending: str) -> str:
        """The one name below a prefix that ends so."""
        (name,) = (one for one in self.objects if one.startswith(prefix) and one.endswith(ending))
        return name

    def answer(self, asked: Asked, body: bytes) -> Answer:
        """What the server says to a request."""
        self.asked.append(asked)
        with self._lock:
            honest = self._put(asked, body) if asked.method == "PUT" else self._get(asked)
        for ending, bend in list(self._bends.items()):
            if asked.name.endswith(ending):
                return bend(asked, honest)
        return honest

    def _get(self, asked: Asked) -> Answer:
        data = self.objects.get(asked.name)
        if data is None:
            return refusal(404, "NoSuchKey")
        headers = {"ETag": etag(data), "Last-Modified": "Mon, 05 Feb 2024 09:30:00 GMT"}
        match = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", asked.range)
        if match is None:
            return Answer(200, headers, data)
        start, stop = int(match[1]), min(int(match[2]) + 1, len(data))
        if start >= len(data):
            return refusal(416, "InvalidRange")
        return Answer(206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, data[start:stop])

    def _put(self, asked: Asked, body: bytes) -> Answer:
        now = self.objects.get(asked.name)
        if asked.if_none_match == "*" and now is not None:
            return refusal(412, "PreconditionFailed")
        if asked.if_match and (now is None or asked.if_match != etag(now)):
            return refusal(412, "PreconditionFailed")
        self.objects[asked.name] = body
        return Answer(200, {"ETag": etag(body)})


@contextlib.contextmanager
def lying_bucket() -> Iterator[LyingBucket]:
    """A bucket of our own, honest until told otherwise, served by threads of this process."""
    bucket = LyingBucket()
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    bucket.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    bucket: LyingBucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._do()

    def do_HEAD(self) -> None:
        self._do()

    def do_PUT(self) -> None:
        self._do()

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.partition("?")[0].removeprefix(f"/{BUCKET}/")
        values = (self.headers.get(one) or "" for one in ("Range", "If-Match", "If-None-Match"))
        answer = self.bucket.answer(Asked(self.command, name, *values), body)
        self.send_response(answer.status)
        for header, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            if answer.send is None:
                self.wfile.write(answer.body)
            else:
                self.close_connection = True
                answer.send(self.connection, answer.body)
        except OSError:  # the client has heard enough
            self.close_connection = True
        else:
            self.bucket.served[name] = self.bucket.served.get(name, 0) + len(answer.body)


def etag(data: bytes) -> str:
    """As S3 makes one of an object put at once."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def refusal(status: int, code: str) -> Answer:
    """An error as S3 says it, with all that must not be passed on."""
    text = (
        f"<Error><Code>{code}</Code><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId><Secret>{SECRET_KEY}</Secret></Error>"
    )
    return Answer(status, {"Content-Type": "application/xml"}, f'<?xml version="1.0"?>{text}'.encode())


# Lies


def says(status: int, code: str = "Anything") -> Bend:
    """Refuse everything with a status."""
    return lambda _asked, _honest: refusal(status, code)


def holds(data: bytes) -> Bend:
    """Other bytes than were published, and every header to go with them."""

    def bend(asked: Asked, _honest: Answer) -> Answer:
        return LyingBucket({asked.name: data}).answer(asked, b"")

    return bend


def only_first(times: int, bend: Bend) -> Bend:
    """Lie to so many requests and be honest from then on."""
    left = itertools.count(times, -1)
    return lambda asked, honest: bend(asked, honest) if next(left) > 0 else honest


def cut(after: int) -> Bend:
    """Promise the whole body and close the connection after so many bytes of it."""

    def send(connection: socket.socket, body: bytes) -> None:
        connection.sendall(body[:after])
        connection.shutdown(socket.SHUT_RDWR)

    return lambda _asked, honest: replace(honest, send=send)


def reset(after: int) -> Bend:
    """Promise the whole body and reset the connection after so many bytes of it."""

    def send(connection: socket.socket, body: bytes) -> None:
        connection.sendall(body[:after])
        time.sleep(0.1)  # or the reset overtakes them
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return lambda _asked, honest: replace(honest, send=send)


def endless() -> Bend:
    """Go on for ever after the bytes that were asked for."""

    def send(connection: socket.socket, body: bytes) -> None:
        connection.sendall(body)
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(bytes(1 << 16))

    return lambda _asked, honest: replace(honest, headers={**honest.headers, "Content-Length": str(1 << 50)}, send=send)


def of_size(size: int) -> Bend:
    """Say that the whole object has another size."""

    def bend(_asked: Asked, honest: Answer) -> Answer:
        headers = dict(honest.headers)
        if "Content-Range" in headers:
            headers["Content-Range"] = re.sub(r"/[0-9]+", f"/{size}", headers["Content-Range"])
        return replace(honest, headers=headers)

    return bend


def drip(pause: float, count: int) -> Bend:
    """Send the body byte by byte with a pause after each, `count` of them, then close."""

    def send(connection: socket.socket, body: bytes) -> None:
        for number in range(count):
            connection.sendall(body[number : number + 1])
            time.sleep(pause)

    return lambda _asked, honest: replace(honest, send=send)


def silent(seconds: float) -> Bend:
    """Say nothing for so long."""

    def bend(_asked: Asked, honest: Answer) -> Answer:
        time.sleep(seconds)
        return honest

    return bend


def with_headers(**headers: str) -> Bend:
    """Other headers (`_` is `-`)."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _asked, honest: replace(honest, headers={**honest.headers, **changed})


def another_tag_each_time() -> Bend:
    """An e-tag that never comes again."""
    numbers = itertools.count()
    return lambda _asked, honest: replace(honest, headers={**honest.headers, "ETag": f'"{next(numbers)}"'})


def without_tag() -> Bend:
    """No e-tag at all."""

    def bend(_asked: Asked, honest: Answer) -> Answer:
        return replace(honest, headers={name: value for name, value in honest.headers.items() if name != "ETag"})

    return bend


def without_range() -> Bend:
    """The whole object, whatever range was asked for."""
    return lambda _asked, honest: Answer(
        200, {"ETag": '"whole"', "Last-Modified": honest.headers["Last-Modified"]}, honest.body
    )


def redirect(location: str) -> Bend:
    """Send the client elsewhere."""
    return lambda _asked, _honest: Answer(302, {"Location": location})
