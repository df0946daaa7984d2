"""`relais run`: both servers on one machine, with a demo home on the first start. `make run` is this command."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Final

from cyclopts import App

from service.cli.boot import verify_active
from service.cli.common import DEFAULT_HOME, HomeOption, open_home
from service.cli.demo import DEFAULT_PEOPLE, create_demo, example_commands, refresh_demo
from service.cli.exits import Exit
from service.cli.ordering import open_ledger
from service.cli.serve import check_start, gunicorn_command, take_port
from service.clock import SystemClock
from service.control.fleet import FleetStore, Server
from service.control.follow import laggards
from service.errors import OperatorError
from service.settings import SETTINGS_FILE, Home, Settings, parse_settings

START_SECONDS = 60.0
STOP_SECONDS = 15.0
SERVERS: Final[tuple[Server, ...]] = ("rights", "admin")
#: What `make run` takes from the environment at every start, and the setting each overrides.
OVERRIDES = {
    "PORT": ("RELAIS_RIGHTS_PORT",),
    "ADMIN_PORT": ("RELAIS_ADMIN_PORT",),
    "WORKERS": ("RELAIS_RIGHTS_WORKERS", "RELAIS_ADMIN_WORKERS"),
}

app = App(name="run")


@app.default
def run(*, home: HomeOption = DEFAULT_HOME) -> int:
    """Serve both until a signal asks to stop, or until one of them ends."""
    for name, targets in OVERRIDES.items():
        if os.environ.get(name):
            os.environ.update(dict.fromkeys(targets, os.environ[name]))
    root = home.absolute()
    os.environ["RELAIS_HOME"] = str(root)
    if not (root / SETTINGS_FILE).exists():
        refuse_taken_ports(parse_settings("", os.environ))
        create_demo(root, people=_people(os.environ.get("PEOPLE")))
    place, settings = open_home(root)
    refuse_taken_ports(settings)
    if settings.instance.demo:
        refresh_demo(place, settings)
    examples = example_commands(place, settings) if settings.instance.demo else ""
    for server in SERVERS:
        check_start(server, place, settings)
    verify_active(place, settings)
    return _supervise(place, settings, examples)


def refuse_taken_ports(settings: Settings) -> None:
    """Raise `OperatorError` where a server could not listen, be it because both would on one port."""
    with take_port("rights", settings.rights), take_port("admin", settings.admin):
        pass


def _people(text: str | None) -> int:
    if not text:
        return DEFAULT_PEOPLE
    if not (text.isascii() and text.isdigit()):
        raise OperatorError("PEOPLE is a number of people, such as 100000")
    return int(text)


def _supervise(place: Home, settings: Settings, examples: str) -> int:
    """Run both servers in this process group; when either ends, or a signal asks, end both."""
    stopping = _Stop()
    with _children(settings) as children:
        deadline = time.monotonic() + START_SECONDS
        while not stopping.asked and not _all_serve(place, settings):
            if time.monotonic() > deadline or any(child.poll() is not None for child in children):
                raise OperatorError("a server did not become ready: see its log above")
            time.sleep(0.05)
        if not stopping.asked:
            rights, admin = (f"http://127.0.0.1:{port}" for port in (settings.rights.port, settings.admin.port))
            print(f"relais-droits ready: rights {rights} admin {admin}\n{examples}", flush=True)
        while not stopping.asked:
            if any(child.poll() is not None for child in children):
                raise OperatorError("a server ended: stopping the other")
            time.sleep(0.2)
    return Exit.DONE


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


class _Stop:
    """Whether SIGINT or SIGTERM has asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


@contextmanager
def _children(settings: Settings) -> Iterator[list[subprocess.Popen[bytes]]]:
    children = [subprocess.Popen(gunicorn_command(server, settings)) for server in SERVERS]  # noqa: S603 - our own
    try:
        yield children
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
