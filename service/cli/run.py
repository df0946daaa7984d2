"""`relais run`: both servers on one machine, with a demo home on the first start. `make run` is this command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from cyclopts import App

from service.cli.common import DEFAULT_HOME, Exit, HomeOption, open_home
from service.cli.demo import create_demo, example_commands, refresh_demo
from service.errors import OperatorError
from service.settings import SETTINGS_FILE, Settings, parse_settings

START_SECONDS = 60.0
STOP_SECONDS = 15.0
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
        create_demo(root, people=int(os.environ.get("PEOPLE") or 100_000))
    place, settings = open_home(root)
    refuse_taken_ports(settings)
    if settings.instance.demo:
        refresh_demo(place, settings)
    return _supervise(settings, example_commands(place, settings) if settings.instance.demo else "")


def refuse_taken_ports(settings: Settings) -> None:
    """Raise `OperatorError` where a server could not listen.

    gunicorn would try for seconds, and whoever listens there might be taken for ours.
    """
    with ExitStack() as probes:
        for name, server in (("rights", settings.rights), ("admin", settings.admin)):
            try:
                probes.enter_context(socket.create_server((server.host, server.port)))
            except OSError as error:
                where = f"{server.host}:{server.port}"
                raise OperatorError(f"the {name} server cannot listen on {where}: {error.strerror or error}") from error


def _supervise(settings: Settings, examples: str) -> int:
    """Run both servers in this process group; when either ends, or a signal asks, end both."""
    stopping = _Stop()
    with _children(("rights", "admin")) as children:
        urls = (_url(settings.rights.port), _url(settings.admin.port))
        deadline = time.monotonic() + START_SECONDS
        while not stopping.asked and not all(_ready(url) for url in urls):
            if time.monotonic() > deadline or any(child.poll() is not None for child in children):
                raise OperatorError("a server did not become ready: see its log above")
            time.sleep(0.05)
        if not stopping.asked:
            print(f"relais-droits ready: rights {urls[0]} admin {urls[1]}\n{examples}", flush=True)
        while not stopping.asked:
            if any(child.poll() is not None for child in children):
                raise OperatorError("a server ended: stopping the other")
            time.sleep(0.2)
    return Exit.DONE


class _Stop:
    """Whether SIGINT or SIGTERM has asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


@contextmanager
def _children(servers: tuple[str, ...]) -> Iterator[list[subprocess.Popen[bytes]]]:
    children = [
        subprocess.Popen([sys.executable, "-m", "service", "serve", server])  # noqa: S603 - our own command
        for server in servers
    ]
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


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
