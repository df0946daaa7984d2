"""The token we show the upstream: we are a client there, as pharmacies are clients here."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from service.access.mint import DEFAULT_LIFETIME_SECONDS, mint_token
from service.clock import Clock
from service.errors import SettingsError
from service.keyfiles import load_private
from service.settings import Home, Settings

#: A token is minted anew before its last minute: the other side's clock is not ours.
_SPARE_SECONDS = 60.0


def upstream_token(home: Home, settings: Settings, clock: Clock) -> Callable[[], str] | None:
    """Gives the token to show now, minted once every few minutes; None where the upstream is shown none.

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
    known, renew_at = "", float("-inf")

    def current() -> str:
        nonlocal known, renew_at
        if clock.monotonic() >= renew_at:
            known = mint_token(client, key, settings.upstream.audience, clock.now(), jti=secrets.token_hex(16))
            renew_at = clock.monotonic() + DEFAULT_LIFETIME_SECONDS - _SPARE_SECONDS
        return known

    return current
