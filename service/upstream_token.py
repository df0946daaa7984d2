"""The token we show the upstream: we are a client there, as pharmacies are clients here."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from service.access.mint import mint_token
from service.clock import Clock
from service.errors import SettingsError
from service.keyfiles import load_private
from service.settings import Home, Settings


def upstream_token(home: Home, settings: Settings, clock: Clock) -> Callable[[], str] | None:
    """Mints a token to show; None where the upstream is shown none.

    Raises `SettingsError` where `upstream.client` is named without a key that can be read, `KeyRejected` where the
    file holds no private key.
    """
    client = settings.upstream.client
    if not client:
        return None
    path = home.path(settings.upstream.key)
    try:
        key = load_private(path)
    except OSError as error:
        raise SettingsError(f"upstream.key {path} cannot be read: {error.strerror or error}") from error

    def mint() -> str:
        return mint_token(client, key, settings.upstream.audience, clock.now(), jti=secrets.token_hex(16))

    return mint
