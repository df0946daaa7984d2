"""What `UPSTREAM` says to `relais run`: nothing, the stand-in server over a demo's people, or an address."""

from __future__ import annotations

import datetime as dt
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from service.cli.ordering import open_ledger
from service.clock import SystemClock
from service.control.format import EVERYWHERE, Kind
from service.control.intent import Intent
from service.errors import OperatorError
from service.keyring import load_order_key
from service.settings import Home, Settings
from service.upstream.breaker import RAMP_SHARES

STUB: Final = "stub"
STUB_HOST: Final = "127.0.0.1"
STUB_PORT: Final = 8090
_REASON: Final = "demo started with an upstream"
_LAST_PORT: Final = 65_535


class Upstream(NamedTuple):
    """The upstream of a run: its base, and the port of the stand-in server where that is to be started."""

    url: str
    stub_port: int | None = None


def parse_upstream(environ: Mapping[str, str]) -> Upstream | None:
    """What UPSTREAM and STUB_PORT say, None if nothing. Raises `OperatorError`."""
    text = environ.get("UPSTREAM", "")
    if not text:
        return None
    if text == STUB:
        port = _port(environ.get("STUB_PORT", ""))
        return Upstream(f"http://{STUB_HOST}:{port}", port)
    with suppress(ValueError):
        parts = urlsplit(text)
        if parts.scheme in ("http", "https") and parts.hostname:
            return Upstream(text)
    raise OperatorError("UPSTREAM is stub, or an address such as https://upstream.example")


def _port(text: str) -> int:
    if not text:
        return STUB_PORT
    if text.isascii() and text.isdigit() and 0 < int(text) <= _LAST_PORT:
        return int(text)
    raise OperatorError(f"STUB_PORT is a port, such as {STUB_PORT}")


def stub_command(home: Home, port: int) -> list[str]:
    """What runs the stand-in server over a demo's people."""
    people = ["--rows", str(home.demo / "rows.ndjson"), "--policy", str(home.demo / "policy.toml")]
    return [sys.executable, "-m", "stubs.visiodroits", *people, "--host", STUB_HOST, "--port", str(port)]


def listens(port: int) -> bool:
    """Whether the stand-in server has its people and takes questions."""
    with suppress(OSError), socket.create_connection((STUB_HOST, port), timeout=1):
        return True
    return False


def order_live(home: Home, settings: Settings) -> bool:
    """Order mode `live` for all where no order ever said what the mode of all is; whether it was given.

    A run with an upstream is meant to ask it. What somebody has ordered stays. Raises as `Ledger.issue`.
    """
    with open_ledger(home, settings) as ledger:
        modes = (Kind.MODE_SET, Kind.MODE_CLEAR)
        if any(order.kind in modes and order.scope == EVERYWHERE for order in ledger.orders()):
            return False
        intent = Intent(kind=Kind.MODE_SET, scope=EVERYWHERE, body={"mode": "live"}, reason=_REASON, actor="demo")
        order = ledger.issue(intent, load_order_key(home, settings), SystemClock().now())
    seconds = _steps_seconds(settings)
    print(
        f"order {order.version}: mode live; the upstream is asked in steps, all queries after {seconds:g} s", flush=True
    )
    return True


def steps_end_at(home: Home, settings: Settings) -> dt.datetime | None:
    """When all queries go upstream after the order of `live` for all; None where that is not the mode."""
    with open_ledger(home, settings, stale=True) as ledger:
        everywhere = ledger.state.view(SystemClock().now()).mode_for(None)
    if everywhere.mode != "live" or everywhere.since is None:
        return None
    return everywhere.since + dt.timedelta(seconds=_steps_seconds(settings))


def _steps_seconds(settings: Settings) -> float:
    return len(RAMP_SHARES) * settings.upstream.step_seconds


def stub_hints(url: str) -> str:
    """How to break the stand-in server, to mend it, and to see what it was asked: commands to paste."""
    return "\n".join(
        (
            f"# the upstream at {url}: break it, mend it, see what it was asked",
            f"curl -s -X PUT {url}/faults -d '{{\"hang\": true}}'",
            f"curl -s -X DELETE {url}/faults",
            f"curl -s {url}/counts",
        )
    )
