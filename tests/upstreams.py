"""The upstream of an installation: the stand-in server as a process of its own, broken and mended over HTTP."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from tests.fleet import REPOSITORY, START_SECONDS, STOP_SECONDS, TIMEOUT_SECONDS, free_ports, kill_group, wait_until

PROGRAM: Final = "stubs.visiodroits"


@dataclass(slots=True)
class Upstream:
    """A stand-in server on `port`; its log lies at `log`. The arguments are those of `stubs.visiodroits`."""

    arguments: tuple[str, ...]
    log: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its base: what goes into `upstream.url`."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it in a process group of its own, and wait until it answers. It has no faults then."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", PROGRAM, *self.arguments, "--port", str(self.port)],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._lives, START_SECONDS, lambda: f"no upstream: {self.log.read_text()}")

    def faults(self, **change: float | bool) -> dict[str, Any]:
        """Break it: what is not named stays as it is. Gives the faults that hold then."""
        return self._json("PUT", "/faults", json.dumps(change).encode())

    def mend(self) -> None:
        """Take all faults back."""
        self._json("DELETE", "/faults")

    def counts(self) -> dict[str, int]:
        """How many questions it was asked since it started, and to which end each came."""
        return self._json("GET", "/counts")

    def ask(self, query: Any) -> tuple[int, dict[str, Any]]:
        """Status and document of `POST /v1/rights`, asked directly."""
        status, body = self.request("POST", "/v1/rights", json.dumps(query).encode())
        return status, json.loads(body)

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of one request on a connection of its own."""
        link = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        try:
            link.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
            response = link.getresponse()
            return response.status, response.read()
        finally:
            link.close()

    def kill(self) -> None:
        """End it without warning, connections and all (SIGKILL); `start` starts it again on the same port."""
        if self.process is not None:
            kill_group(self.process.pid)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def stop(self) -> int:
        """Ask it to end; gives its exit status."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.kill()

    def _lives(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.request("GET", "/livez")[0] == 200
        except (OSError, HTTPException):
            return False

    def _json(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        status, document = self.request(method, path, body)
        assert status == 200, document
        value: dict[str, Any] = json.loads(document)
        return value


def people_of(home: Path) -> tuple[str, ...]:
    """The arguments for an upstream that knows the people of a demo home: those of its first snapshot."""
    return ("--rows", str(home / "demo" / "rows.ndjson"), "--policy", str(home / "demo" / "policy.toml"))


@contextlib.contextmanager
def upstream(folder: Path, *arguments: str | Path) -> Iterator[Upstream]:
    """A stand-in server that runs, and is ended at the end: `upstream(tmp_path, *people_of(site.home))`."""
    made = Upstream(tuple(map(str, arguments)), folder / "visiodroits.log")
    try:
        made.start()
        yield made
    finally:
        made.kill()
