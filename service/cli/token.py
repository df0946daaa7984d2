"""`relais token`: a client's token, made on the machine that holds its key."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.access.clients import Client, audience_for, parse_client
from service.access.mint import DEFAULT_LIFETIME_SECONDS, mint_token
from service.cli.common import DEFAULT_HOME, HomeOption, open_home
from service.cli.ordering import open_ledger
from service.clock import SystemClock
from service.errors import OperatorError
from service.identifiers import is_client_id
from service.jwk import PrivateKey
from service.keyfiles import load_private
from service.settings import Home, Settings

app = App(name="token")


@app.command(name="mint")
def mint(
    *,
    client: Annotated[str, Parameter(help="The client's id.")],
    key: Annotated[Path, Parameter(help="The client's private key, a JWK.")],
    aud: Annotated[
        str | None, Parameter(help="The server the token is for; by default the one the client's class asks.")
    ] = None,
    lifetime: Annotated[int, Parameter(help="Seconds, at most 600.")] = DEFAULT_LIFETIME_SECONDS,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Print a token, alone on the last line. With --aud no home is needed."""
    private = load_private(key)
    if not is_client_id(client):
        raise OperatorError("this is not the shape of a client id")
    audience = _registered_audience(home, client, private) if aud is None else aud
    print(mint_token(client, private, audience, SystemClock().now(), jti=str(uuid.uuid4()), lifetime=lifetime))


def _registered_audience(path: Path, client_id: str, private: PrivateKey) -> str:
    """The audience of the client's class; warns of what would make the server refuse the token."""
    home, settings = open_home(path)
    client = _registered(home, settings, client_id)
    if private.kid not in client.keys:
        print(f"relais: warning: this key is not registered for {client_id}", file=sys.stderr)
    if client.suspended:
        print(f"relais: warning: {client_id} is suspended", file=sys.stderr)
    return audience_for(client.client_class, settings.instance.name)


def _registered(home: Home, settings: Settings, client_id: str) -> Client:
    with open_ledger(home, settings, stale=True) as ledger:
        known = ledger.state.clients.get(client_id)
    if known is None:
        raise OperatorError(f"{client_id} is not registered here: relais client add, or say --aud")
    return parse_client(client_id, known.body, suspended=known.suspended)
