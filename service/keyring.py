"""The keys a home's settings name: who signs orders and receipts here, and whose signatures count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.jwk import PrivateKey, PublicKey
from service.keyfiles import load_jwks, load_private, load_public, load_public_set
from service.settings import Home, Settings


def load_order_key(home: Home, settings: Settings) -> PrivateKey:
    """The key that signs orders. Raises `SettingsError` if it is missing, `KeyRejected` if it is no key."""
    with _named(home.path(settings.keys.order)) as path:
        return load_private(path)


def load_order_keys(home: Home, settings: Settings) -> dict[str, PublicKey]:
    """The keys orders may be signed by, by kid. Raises `SettingsError`, `KeyRejected`."""
    return _load_sets(map(home.path, settings.keys.order_public))


def load_receipt_key(home: Home, settings: Settings) -> PrivateKey:
    """The key that signs this node's receipts. Raises `SettingsError`, `KeyRejected`."""
    with _named(home.path(settings.keys.receipt)) as path:
        return load_private(path)


def load_receipt_keys(home: Home, settings: Settings) -> dict[str, PublicKey]:
    """The keys that verify this installation's receipts, retired ones included, by kid, the current one first."""
    with _named(home.path(settings.keys.receipt)) as path:
        current = load_public(path)
    return {current.kid: current, **_load_sets(map(home.path, settings.keys.receipts_retired))}


def load_sentinel_keys(home: Home, settings: Settings) -> dict[str, PublicKey]:
    """The keys that may have signed the sentinel's orders, by kid: this home's receipt keys, and other nodes'.

    A process that has no receipt key, as an admin server may, knows only those named. Raises `SettingsError`,
    `KeyRejected`.
    """
    named = _load_sets(map(home.path, settings.keys.sentinel_public))
    retired = _load_sets(map(home.path, settings.keys.receipts_retired))
    try:
        own = load_public(home.path(settings.keys.receipt))
    except OSError:
        return {**named, **retired}
    return {**named, **retired, own.kid: own}


def load_officers(home: Home, settings: Settings) -> list[dict[str, Any]]:
    """The officers' public JWKs, to which journals are sealed. Raises `SettingsError`, `KeyRejected`."""
    jwks: list[dict[str, Any]] = []
    for name in settings.keys.officers:
        with _named(home.path(name)) as path:
            jwks.extend(load_jwks(path))
    return jwks


def _load_sets(paths: Iterable[Path]) -> dict[str, PublicKey]:
    keys: dict[str, PublicKey] = {}
    for each in paths:
        with _named(each) as path:
            keys.update({key.kid: key for key in load_public_set(path)})
    return keys


@contextmanager
def _named(path: Path) -> Iterator[Path]:
    """A key file that cannot be read is a fault of the settings, and which file it is helps."""
    try:
        yield path
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
