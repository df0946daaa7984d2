"""A whole installation for tests: a demo home made by the product's own command, and its servers as real processes.

Everything goes through the doors an operator or a pharmacy has: the command line, the sockets, the files of the home.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage
from pathlib import Path
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stubs.connection import Signer

REPOSITORY: Final = Path(__file__).resolve().parents[1]
#: Generous: the machine may be busy with other things.
START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 30.0
TIMEOUT_SECONDS: Final = 30.0
ServerName = Literal["rights", "admin"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response, as sent."""

    status: int
    headers: HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code."""
        assert self.headers["Content-Type"] == "application/problem+json", (self.status, self.body)
        return str(self.json()["type"]).removeprefix("/problems/")


@dataclass(slots=True)
class Installation:
    """A demo home and its servers. `home` is its directory; logs of the servers lie beside it."""

    home: Path
    #: Settings for every process, as environment variables (`{"RELAIS_LIMITS_BODY_SECONDS": "0.5"}`).
    environment: dict[str, str] = field(default_factory=dict)
    ports: dict[ServerName, int] = field(default_factory=dict)
    _servers: dict[ServerName, subprocess.Popen[bytes]] = field(default_factory=dict)
    _signers: dict[str, Signer] = field(default_factory=dict)

    @classmethod
    def make(cls, home: Path, people: int = 3000, environment: Mapping[str, str] | None = None) -> Installation:
        """A demo home of `people` synthetic people at `home`, with free ports; no server runs yet."""
        ports = free_ports(2)
        made = cls(home, dict(environment or {}), {"rights": ports[0], "admin": ports[1]})
        made.relais("init", str(home), "--demo", "--people", str(people), at_home=False)
        return made

    # Processes

    def start(self, server: ServerName = "rights", workers: int = 2, *, ready: bool = True) -> None:
        """Start a server as its own process group and wait until it is ready (or else until it is alive)."""
        log = self.log(server).open("ab")
        with log:
            self._servers[server] = subprocess.Popen(
                [sys.executable, "-m", "service", "serve", server, "--home", str(self.home)],
                cwd=REPOSITORY,
                env=self.environ({f"RELAIS_{server.upper()}_WORKERS": str(workers)}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_ready(server, "/readyz" if ready else "/livez")
        # One may be ready before the next is forked.
        wait_until(lambda: len(self.workers(server)) >= workers, START_SECONDS, lambda: f"{server} lacks workers")

    def wait_ready(self, server: ServerName = "rights", probe: str = "/readyz") -> None:
        """Wait until a server's probe is well; fail with its log if it ends."""
        wait_until(
            lambda: self._is_well(server, probe), START_SECONDS, lambda: f"{server} not ready: {self.read_log(server)}"
        )

    def stop(self, server: ServerName) -> int:
        """Ask a server to end; gives its exit status. Fails if it does not end, or leaves a process behind."""
        process = self._servers.pop(server)
        if process.poll() is None:
            process.terminate()
        try:
            status = process.wait(STOP_SECONDS)
            wait_until(lambda: not _group_lives(process.pid), STOP_SECONDS, lambda: f"{server} left a process")
        finally:
            kill_group(process.pid)
        return status

    def kill(self, server: ServerName) -> None:
        """End a server with all its workers at once, without warning (SIGKILL)."""
        process = self._servers.pop(server)
        kill_group(process.pid)
        process.wait(STOP_SECONDS)

    def close(self) -> None:
        """Stop whatever runs. Never raises for a server that has ended by itself."""
        for server in list(self._servers):
            self.stop(server)

    def workers(self, server: ServerName = "rights") -> list[int]:
        """The process ids of a server's workers."""
        master = self._servers[server].pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [int(child) for child in children]

    def log(self, server: ServerName) -> Path:
        """The file a server writes to."""
        return self.home.with_name(f"{self.home.name}-{server}.log")

    def read_log(self, server: ServerName) -> str:
        """What a server has written so far."""
        return self.log(server).read_text("utf-8", "replace")

    # The command line

    def relais(self, *words: str, at_home: bool = True, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run `relais` and check its exit status (`None`: any)."""
        done = subprocess.run(
            [sys.executable, "-m", "service", *words, *(("--home", str(self.home)) if at_home else ())],
            cwd=REPOSITORY,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert status in (None, done.returncode), f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def register(self, client: str, client_class: str, *finess: str, options: Sequence[str] = ()) -> None:
        """Register a client with a key of its own, made outside the product; `options` go to `relais client add`."""
        if not self.key(client).exists():
            write_client_key(self.key(client))
        named = [word for number in finess for word in ("--finess", number)]
        words = ("client", "add", client, "--class", client_class, "--key", str(self.key(client)))
        self.relais(*words, *named, *options)

    def key(self, client: str) -> Path:
        """The private key file of a client."""
        return self.home / "keys" / f"{client}.jwk"

    # Questions

    def token(self, client: str = "demo-pharmacy", audience: str = "relais-droits") -> str:
        """A valid token of a client, minted outside the product."""
        name = f"{client} {audience}"
        if name not in self._signers:
            self._signers[name] = Signer(client, self.key(client), audience)
        return self._signers[name].token()

    def bearer(self, client: str = "demo-pharmacy", audience: str = "relais-droits") -> dict[str, str]:
        """The Authorization header of a client."""
        return {"Authorization": f"Bearer {self.token(client, audience)}"}

    def connect(self, server: ServerName = "rights") -> HTTPConnection:
        """A connection of one's own: it stays with one worker."""
        return HTTPConnection("127.0.0.1", self.ports[server], timeout=TIMEOUT_SECONDS)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        server: ServerName = "rights",
        connection: HTTPConnection | None = None,
    ) -> Reply:
        """One request, on a connection of its own unless one is given."""
        link = self.connect(server) if connection is None else connection
        try:
            link.request(method, path, body, dict(headers or {}))
            response = link.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            if connection is None:
                link.close()

    def ask(
        self,
        query: Any,
        client: str = "demo-pharmacy",
        headers: Mapping[str, str] | None = None,
        connection: HTTPConnection | None = None,
    ) -> Reply:
        """`POST /v1/rights` with a query (bytes as they are, else as JSON)."""
        body = query if isinstance(query, bytes) else json.dumps(query).encode()
        sent = {**self.bearer(client), "Content-Type": "application/json", **(headers or {})}
        return self.request("POST", "/v1/rights", body, sent, connection=connection)

    def admin(
        self,
        method: str,
        path: str,
        body: Any = None,
        client: str = "demo-admin",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """A request to the admin server, with a body as JSON if there is one."""
        sent = {**self.bearer(client, "relais-droits-admin"), **(headers or {})}
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if raw is not None:
            sent = {"Content-Type": "application/json", **sent}
        return self.request(method, path, raw, sent, server="admin")

    def set_mode(self, mode: str, scope: str = "*", reason: str = "test") -> None:
        """Set a mode from the command line: when this returns, every worker follows."""
        self.relais("mode", "set", mode, "--scope", scope, "--reason", reason)

    # What the home holds

    def rows(self) -> list[dict[str, Any]]:
        """The source rows of the demo snapshot."""
        return [json.loads(line) for line in (self.home / "demo" / "rows.ndjson").read_bytes().splitlines()]

    def example(self, name: Literal["open", "closed", "unknown"]) -> dict[str, Any]:
        """One of the example queries."""
        query: dict[str, Any] = json.loads((self.home / "demo" / f"{name}.json").read_bytes())
        return query

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a process of this installation finds in its environment."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("RELAIS_", "PORT"))}
        ports = {f"RELAIS_{server.upper()}_PORT": str(port) for server, port in self.ports.items()}
        return {**ours, **ports, **self.environment, **(more or {})}

    def _is_well(self, server: ServerName, probe: str) -> bool:
        process = self._servers[server]
        assert process.poll() is None, f"{server} ended with {process.returncode}: {self.read_log(server)}"
        try:
            return self.request("GET", probe, server=server).status == 200
        except (OSError, HTTPException):
            return False


@contextlib.contextmanager
def installation(
    home: Path, people: int = 3000, environment: Mapping[str, str] | None = None
) -> Iterator[Installation]:
    """A new demo installation whose servers are stopped at the end, whatever happens."""
    made = Installation.make(home, people, environment)
    try:
        yield made
    finally:
        made.close()


def write_client_key(path: Path) -> None:
    """Write a new Ed25519 private key as a JWK (RFC 8037)."""
    key = Ed25519PrivateKey.generate()
    members = {"d": key.private_bytes_raw(), "x": key.public_key().public_bytes_raw()}
    texts = {name: base64.urlsafe_b64encode(value).rstrip(b"=").decode() for name, value in members.items()}
    path.write_text(json.dumps({"kty": "OKP", "crv": "Ed25519", **texts}))


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    """Poll a condition until it holds; `what()` describes the failure after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def kill_group(group: int) -> None:
    """Kill what is left of a process group of our own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
