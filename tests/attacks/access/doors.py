"""The two servers' doors as a forger knocks on them: any bytes as a token, sent as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from service.jwk import private_jwk
from tests.faces.desk import NOBODY
from tests.faces.wire import Answer, Wire
from tests.fleet import Installation, ServerName
from tests.unit.access.forge import Bench

QUERY = json.dumps({"beneficiary": NOBODY}).encode()
#: So that no budget stands between a forgery and what it would read.
PLENTY = ("--daily", "1000000", "--burst", "1000000", "--unknown", "1000000")
FINESS = "750012346"


@dataclass(frozen=True, slots=True)
class Door:
    """One server, and how an honest token of pharmacy-a fares there."""

    site: Installation
    server: ServerName
    audience: str
    #: What an accepted token gets: an answer, or on the admin server that its class may not.
    accepted: tuple[int, str | None]

    def knock(self, token: str, **headers: str) -> Answer:
        """What a request with these very bytes for a token is told."""
        lines = [
            "POST /v1/rights HTTP/1.1" if self.server == "rights" else "GET /admin/v1/modes/* HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {token}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        body = QUERY if self.server == "rights" else b""
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        with Wire(self.site, self.server) as wire:
            wire.send("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body)
            return wire.answer()


def told(answer: Answer) -> tuple[int, str | None]:
    """Status and the problem's code."""
    if answer.status == 200:
        return 200, None
    return answer.status, problem(answer)["code"]


def problem(answer: Answer) -> dict[str, Any]:
    """The problem, without the time, which is another each time."""
    document: dict[str, Any] = json.loads(answer.body)
    document.pop("server_time", None)
    return document


def register_bench(site: Installation, bench: Bench) -> None:
    """Register the clients of a forger's bench: pharmacy-a with its two keys, pharmacy-b with one."""
    keys = {"pharmacy-a": [bench.owner, bench.owner_ec], "pharmacy-b": [bench.thief]}
    for client, owned in keys.items():
        site.key(client).write_text(json.dumps({"keys": [private_jwk(key.key) for key in owned]}))
        site.register(client, "pharmacy", FINESS, options=PLENTY)
