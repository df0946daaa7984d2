"""`relais serve`: one HTTP server under gunicorn."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import structlog
from cyclopts import App, Parameter

from service import telemetry
from service.cli.boot import verify_active
from service.cli.common import DEFAULT_HOME, HomeOption, open_home
from service.cli.ordering import open_ledger
from service.control.fleet import Server
from service.control.state import Activation
from service.errors import KeyRejected, OperatorError, SettingsError
from service.jwk import is_private_jwk
from service.keyfiles import load_jwks
from service.keyring import load_officers, load_order_key, load_receipt_key, load_receipt_keys
from service.settings import Home, ServerSettings, Settings
from service.snapshot.catalog import Catalog

app = App(name="serve")
_LOG = structlog.get_logger()
ServerArgument = Annotated[Server, Parameter(help="Which of the two.")]


@app.default
def serve(server: ServerArgument, /, *, home: HomeOption = DEFAULT_HOME) -> None:
    """Serve `rights` (for pharmacy software) or `admin` (for operators) under gunicorn, until SIGTERM or SIGINT."""
    place, settings = open_home(home)
    active = check_start(place, settings, server)
    bind = settings.rights if server == "rights" else settings.admin
    take_port(server, bind).close()
    telemetry.configure_logs()
    verified = verify_active(place, settings, active) if server == "rights" else None
    _LOG.info(
        "server_starts", server=server, host=bind.host, port=bind.port, workers=bind.workers, snapshot_verified=verified
    )
    os.environ["RELAIS_HOME"] = str(place.root)
    os.execv(sys.executable, gunicorn_command(server, settings))  # noqa: S606 - the server takes this process's place


def gunicorn_command(server: Server, settings: Settings) -> list[str]:
    """What runs one server; RELAIS_HOME in its environment names the home."""
    bind = settings.rights if server == "rights" else settings.admin
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        f"service.app:{server}",
        "--worker-class",
        "service.worker.Worker",
        "--workers",
        str(bind.workers),
        "--bind",
        f"{bind.host}:{bind.port}",
        "--preload",  # modules are imported once, by the master; resources are opened by each worker after its fork
        "--no-control-socket",  # otherwise one opens under $HOME
        "--graceful-timeout",
        "10",
        "--log-level",
        "warning",
    ]
    shared_memory = Path("/dev/shm")  # noqa: S108 - gunicorn's liveness file must not wait for a disk
    if os.access(shared_memory, os.W_OK):
        command += ["--worker-tmp-dir", str(shared_memory)]
    return command


def take_port(server: str, bind: ServerSettings) -> socket.socket:
    """A socket that listens where a server (by its name) will. Raises `OperatorError` where it could not.

    gunicorn would try for seconds, and whoever listens there might be taken for ours.
    """
    host = bind.host.strip("[]")
    try:
        return socket.create_server((host, bind.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        # The standard library adds the address a second time.
        cause = (error.strerror or str(error)).partition(" (while")[0]
        hint = ": stop what listens there, or choose another port" if error.errno == errno.EADDRINUSE else ""
        where = f"{bind.host}:{bind.port}"
        raise OperatorError(f"the {server} server cannot listen on {where}: {cause}{hint}") from error


def check_start(home: Home, settings: Settings, *servers: Server) -> Activation | None:
    """What the orders name; raises what would keep every worker from starting, once and before they do.

    For gunicorn prints a stack for each. Raises `SettingsError`, `KeyRejected`, and `StoreUnavailable` or `ChainBroken`
    where there are no orders to follow.
    """
    if not settings.instance.demo:
        refuse_private_keys(home, settings)
    with open_ledger(home, settings, stale=True) as ledger:
        active = ledger.state.activation
    Catalog.of(home).clean()
    if "admin" in servers:
        load_order_key(home, settings)
    if "rights" in servers:
        load_receipt_key(home, settings)
        load_receipt_keys(home, settings)
        load_officers(home, settings)
    return active


def refuse_private_keys(home: Home, settings: Settings) -> None:
    """Raise `SettingsError` where a private key other than a server's own lies in the home.

    A stolen server must be able neither to publish a snapshot nor to re-read the journal: signers', roots' and
    officers' private keys stay with their people. A key is known by what it holds, whatever its file is called.
    """
    own = {home.path(name).resolve() for name in (settings.keys.pepper, settings.keys.receipt, settings.keys.order)}
    for path in sorted(home.root.rglob("*")):
        # Of what the service itself writes there is much, and none of it is named like a key.
        written = any(path.is_relative_to(one) for one in (home.journal, home.snapshots, home.incoming))
        if written and path.suffix != ".jwk":
            continue
        if path.is_file() and path.resolve() not in own and _is_private(path):
            name = path.relative_to(home.root)
            raise SettingsError(f"{name} is a private key: it must not lie in a home that serves")


def _is_private(path: Path) -> bool:
    try:
        return any(is_private_jwk(jwk) for jwk in load_jwks(path))
    except KeyRejected:
        if path.suffix == ".jwk":  # a key file that cannot be read is not passed over
            raise
        return False
