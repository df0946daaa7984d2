"""Receipt keys from elsewhere than the home: a JWK set in a file or at a web address."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from service.errors import OperatorError
from service.jwk import PublicKey, parse_public_jwk
from service.keyfiles import MAX_KEY_FILE_BYTES, load_public_set
from service.strictjson import parse_json_object

_TIMEOUT_SECONDS: Final = 10.0
_WEB: Final = ("https://", "http://")


def fetch_receipt_keys(source: str) -> dict[str, PublicKey]:
    """The keys of a JWK or JWK set in a file or at a web address, by kid. Raises `KeyRejected` or `OperatorError`."""
    if not source.startswith(_WEB):
        return {key.kid: key for key in load_public_set(Path(source))}
    try:
        with urllib.request.urlopen(source, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - the scheme is checked
            data = response.read(MAX_KEY_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        # What failed below is wrapped in the library's own words.
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise OperatorError(f"{source} gives no keys: {getattr(cause, 'strerror', None) or cause}") from error
    jwks = parse_json_object(data).get("keys")
    if not isinstance(jwks, list) or not all(isinstance(jwk, dict) for jwk in jwks):
        raise OperatorError(f"{source} gives no JWK set")
    keys = [parse_public_jwk(jwk) for jwk in jwks]
    return {key.kid: key for key in keys}
