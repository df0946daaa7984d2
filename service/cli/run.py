"""`relais run`: both servers on one machine, with a demo home on the first start. `make run` is this command.

With UPSTREAM=stub the stand-in for the upstream is a third process beside them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from types import FrameType
from typing import Final

from cyclopts import App

from service.cli.boot import verify_active
from service.cli.common import DEFAULT_HOME, HomeOption, open_home
from service.cli.demo import DEFAULT_PEOPLE, create_demo, example_commands, refresh_demo
from service.cli.exits import Exit
from service.cli.ordering import open_ledger
from service.cli.serve import check_start, gunicorn_command, take_port
from service.cli.upstream import (
    STUB,
    STUB_HOST,
    Upstream,
    listens,
    order_live,
    parse_upstream,
    steps_end_at,
    stub_command,
    stub_hints,
)
from service.clock import SystemClock
from service.control.fleet import FleetStore, Server
from service.control.follow import laggards
from service.errors import OperatorError
from service.settings import SETTINGS_FILE, Home, ServerSettings, Settings, parse_settings

START_SECONDS = 60.0
STOP_SECONDS = 15.0
SERVERS: Final[tuple[Server, ...]] = ("rights", "admin")
#: What `make run` takes from the environment at every start, and the setting each overrides.
OVERRIDES = {
    "PORT": ("RELAIS_RIGHTS_PORT",),
    "ADMIN_PORT": ("RELAIS_ADMIN_PORT",),
    "WORKERS": ("RELAIS_RIGHTS_WORKERS", "RELAIS_ADMIN_WORKERS"),
}

_Children = Mapping[str, subprocess.Popen[bytes]]

app = App(name="run")


@app.default
def run(*, home: HomeOption = DEFAULT_HOME) -> int:
    """Serve both until a signal asks to stop, or until one of them ends."""
    for name, targets in OVERRIDES.items():
        if os.environ.get(name):
            os.environ.update(dict.fromkeys(targets, os.environ[name]))
    upstream = parse_upstream(os.environ)
    if upstream is not None:
        os.environ["RELAIS_UPSTREAM_URL"] = upstream.url
    root = home.absolute()
    os.environ["RELAIS_HOME"] = str(root)
    if not (root / SETTINGS_FILE).exists():
        refuse_taken_ports(parse_settings("", os.environ), upstream)
        create_demo(root, people=_people(os.environ.get("PEOPLE")), live=upstream is not None)
    place, settings = open_home(root)
    refuse_taken_ports(settings, upstream)
    if settings.instance.demo:
        refresh_demo(place, settings)
    if upstream is not None:
        _admit(upstream, place, settings)
    verify_active(place, settings, check_start(place, settings, *SERVERS))
    return _supervise(place, settings, upstream)


def refuse_taken_ports(settings: Settings, upstream: Upstream | None = None) -> None:
    """Raise `OperatorError` where a server could not listen, be it because two would on one port."""
    binds = [("rights", settings.rights), ("admin", settings.admin)]
    if upstream is not None and upstream.stub_port is not None:
        binds.append((STUB, ServerSettings(host=STUB_HOST, port=upstream.stub_port, workers=1)))
    with ExitStack() as taken:
        for name, bind in binds:
            taken.enter_context(take_port(name, bind))


def _admit(upstream: Upstream, place: Home, settings: Settings) -> None:
    """Let a demo ask its upstream from the first start on. Elsewhere whether to is for people to order."""
    if not settings.instance.demo:
        if upstream.stub_port is not None:
            raise OperatorError("UPSTREAM=stub answers about a demo's people: this home is no demo")
    elif not settings.two_person:
        order_live(place, settings)


def _people(text: str | None) -> int:
    if not text:
        return DEFAULT_PEOPLE
    if not (text.isascii() and text.isdigit()):
        raise OperatorError("PEOPLE is a number of people, such as 100000")
    return int(text)


def _supervise(place: Home, settings: Settings, upstream: Upstream | None) -> int:
    """Run the servers in this process group; when one ends, or a signal asks, end all."""
    stopping = _Stop()
    stub_port = None if upstream is None else upstream.stub_port
    commands: dict[str, list[str]] = {server: gunicorn_command(server, settings) for server in SERVERS}
    if stub_port is not None:
        commands[STUB] = stub_command(place, stub_port)
    # Whoever starts a sandbox asks at once, and is to see the upstream answer.
    steps_end = None if stub_port is None else steps_end_at(place, settings)
    with _children(commands) as children:
        deadline = time.monotonic() + START_SECONDS

        def ready() -> bool:
            if stub_port is not None and not listens(stub_port):
                return False
            return _all_serve(place, settings) and (steps_end is None or SystemClock().now() >= steps_end)

        while not stopping.asked and not ready():
            if time.monotonic() > deadline or _ended(children):
                raise OperatorError("a server did not become ready: see its log above")
            time.sleep(0.05)
        if not stopping.asked:
            print(_welcome(place, settings, upstream), flush=True)
        while not stopping.asked:
            if ended := _ended(children):
                raise OperatorError(f"the {ended} server ended: stopping the rest")
            time.sleep(0.2)
    return Exit.DONE


def _welcome(place: Home, settings: Settings, upstream: Upstream | None) -> str:
    """Where the servers are, and in a demo what to ask them."""
    rights, admin = (f"http://127.0.0.1:{port}" for port in (settings.rights.port, settings.admin.port))
    lines = [f"relais-droits ready: rights {rights} admin {admin}"]
    if settings.instance.demo:
        lines.append(example_commands(place, settings))
    if upstream is not None and upstream.stub_port is not None:
        lines.append(stub_hints(upstream.url))
    return "\n".join(lines)


def _all_serve(place: Home, settings: Settings) -> bool:
    """Whether every worker of both servers lives and follows the orders, the active snapshot included."""
    with closing(FleetStore(place.fleet)) as fleet:
        beats = [beat for beat in fleet.live(SystemClock().now()) if beat.node == settings.instance.node]
    # While they start, this process must not take their time by verifying orders over and over.
    if len(beats) < settings.rights.workers + settings.admin.workers:
        return False
    with open_ledger(place, settings, stale=True) as ledger:
        state = ledger.state
    return not laggards(beats, state.version, None if state.activation is None else state.activation.sequence)


def _ended(children: _Children) -> str | None:
    """The name of a server that runs no more."""
    return next((name for name, child in children.items() if child.poll() is not None), None)


class _Stop:
    """Whether SIGINT or SIGTERM has asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


@contextmanager
def _children(commands: Mapping[str, Sequence[str]]) -> Iterator[_Children]:
    children = {name: subprocess.Popen(command) for name, command in commands.items()}  # noqa: S603 - our own
    try:
        yield children
    finally:
        for child in children.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
