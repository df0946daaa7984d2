"""The admin server's application in this process: a real home without a snapshot, real stores, a clock to turn."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from service.app import build, open_ledger
from service.cli.home import create_home
from service.control.format import Kind, Order
from service.control.ledger import Intent, Ledger
from service.keyring import load_order_key
from service.settings import Home, Settings, load_settings
from service.web.admin.desk import DESK
from stubs.connection import Signer
from tests.fleet import write_client_key

#: Who speaks to the admin server in these tests, and as what.
PEOPLE = {"anna": "admin", "bruno": "admin", "olga": "operator", "aude": "auditor"}


@dataclass
class TurnedClock:
    """The machine's clock, so many seconds ahead; each look at it takes `look` more."""

    ahead: float = 0.0
    look: float = 0.0

    def now(self) -> dt.datetime:
        self.ahead += self.look
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Reply:
    """What came back, read."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def code(self) -> str:
        return str(self.json["code"])

    @property
    def etag(self) -> str:
        return self.headers["ETag"]


@dataclass
class Office:
    """People with tokens before one admin worker. `home` is a home; `keys` where their private keys lie."""

    home: Home
    keys: Path
    clock: TurnedClock
    app: web.Application
    client: TestClient[Any, Any]
    _signers: dict[str, Signer] = field(default_factory=dict)

    def bearer(self, who: str) -> dict[str, str]:
        signer = self._signers.setdefault(who, Signer(who, self.keys / f"{who}.jwk", "relais-droits-admin"))
        return {"Authorization": f"Bearer {signer.mint(int(self.clock.now().timestamp()))}"}

    async def send(self, method: str, path: str, body: Any = None, who: str = "anna", **headers: str) -> Reply:
        """One request; a body that is not bytes goes as JSON. `If_Match` becomes `If-Match`."""
        sent = {**self.bearer(who), **{name.replace("_", "-"): value for name, value in headers.items()}}
        content = {"data": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
        if isinstance(body, bytes):
            sent.setdefault("Content-Type", "application/json")
        async with self.client.request(method, f"/admin/v1/{path}", headers=sent, **content) as response:
            return Reply(response.status, response.headers, await response.json(content_type=None))

    async def get(self, path: str, who: str = "anna") -> Reply:
        return await self.send("GET", path, who=who)

    async def write(self, method: str, path: str, body: Any, who: str = "anna", seen: str | None = None) -> Reply:
        """A write on what the resource at `seen` (default: `path`) is now; on nothing where it is not there."""
        known = await self.get(path if seen is None else seen)
        match = {"If_None_Match": "*"} if known.status == 404 else {"If_Match": known.etag}
        return await self.send(method, path, body, who, **match)

    @property
    def ledger(self) -> Ledger:
        return self.app[DESK].ledger

    def orders(self) -> list[Order]:
        return self.ledger.orders()


OpenOffice = Callable[..., Awaitable[Office]]


@pytest.fixture
def open_office(tmp_path: Path, aiohttp_client: AiohttpClient) -> OpenOffice:
    """Opens an office in a new home; members of the environment are settings."""

    async def opened(**environment: str) -> Office:
        home = create_home(tmp_path / "home", demo=True)
        settings = load_settings(home, {f"RELAIS_{name}": value for name, value in environment.items()})
        keys = tmp_path / "people"
        keys.mkdir()
        register(home, settings, keys)
        clock = TurnedClock()
        app = build("admin", home, settings, clock)
        return Office(home, keys, clock, app, await aiohttp_client(app))

    return opened


@pytest.fixture
async def office(open_office: OpenOffice) -> Office:
    """One where whoever may order may also loosen, and an upstream is configured."""
    return await open_office(UPSTREAM_URL="http://127.0.0.1:9")


@pytest.fixture
async def careful(open_office: OpenOffice) -> Office:
    """One where what loosens takes two people."""
    return await open_office(CONTROL_TWO_PERSON="always", UPSTREAM_URL="http://127.0.0.1:9")


def register(home: Home, settings: Settings, keys: Path) -> None:
    """Everybody of `PEOPLE`, and a pharmacy."""
    ledger = open_ledger(home, settings)
    for name, client_class in {**PEOPLE, "shop": "pharmacy"}.items():
        write_client_key(keys / f"{name}.jwk")
        body = {
            "class": client_class,
            "finess": ["750012346"] if client_class == "pharmacy" else [],
            "keys": [public(keys / f"{name}.jwk")],
        }
        intent = Intent(kind=Kind.CLIENT_REGISTER, scope=name, body=body, reason="test", actor="cli:test")
        ledger.issue(intent, load_order_key(home, settings), dt.datetime.now(dt.UTC))
    ledger.close()


def public(path: Path) -> dict[str, Any]:
    """The public half of a private key file."""
    jwk: dict[str, Any] = json.loads(path.read_bytes())
    return {name: value for name, value in jwk.items() if name != "d"}
