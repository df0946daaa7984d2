"""What a client's token must be: a JWT (RFC 7519) signed by the client's own key, claims of RFC 7523. Pure.

The order of the steps is a rule. What is refused before step 4 depends on the token alone; step 4 does the same work
whether the client exists or not; only the holder of a registered key learns that a token has expired or that the client
is suspended. docs/tokens.md says the same to those who mint tokens.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import jwt
import msgspec

from service.access.clients import Client
from service.base64url import b64u_decode
from service.errors import ClientSuspended, SignatureRejected, TokenExpired, TokenInvalid
from service.identifiers import is_client_id
from service.jwk import PublicKey, parse_public_jwk
from service.strictjson import parse_strict

#: A token with every claim is under 600 characters; the rest is room for claims we do not read.
MAX_TOKEN_CHARS: Final = 4096
MAX_JTI_CHARS: Final = 128
MAX_LIFETIME_SECONDS: Final = 600
#: For the clocks of pharmacies: on iat, nbf and exp alike.
LEEWAY_SECONDS: Final = 120
#: A token without kid is tried against this many keys of its alg: a rotation overlaps two.
TRIALS_WITHOUT_KID: Final = 2

_TYP: Final = "JWT"
_HEADER_MEMBERS: Final = frozenset({"alg", "kid", "typ"})
#: Verified against when there is no key to verify against. Their private halves were never written down, and a
#: signature by one of them counts for nothing all the same.
_DUMMIES: Final[dict[str, PublicKey]] = {
    key.alg: key
    for key in (
        parse_public_jwk({"kty": "OKP", "crv": "Ed25519", "x": "J1usiav5ABQTIV-FrVEnrZWhpcJXXkDBtmtHutCYsO0"}),
        parse_public_jwk(
            {
                "kty": "EC",
                "crv": "P-256",
                "x": "TLfr1z_TqwGtIHgO6xbmHFZ6n08WCRtYJrjeYGKnp78",
                "y": "3Evcgz_-8V00MEbqVyu8Y9G9ib2XnqYuE2K3O1x8ZfY",
            }
        ),
    )
}
#: PyJWT reads the clock by itself, so the claims of time are left to step 5, which takes `now`.
_JWT: Final = jwt.PyJWT(
    options={
        "require": ["iss", "sub", "aud", "iat", "exp", "jti"],
        "strict_aud": True,
        "verify_iat": False,
        "verify_nbf": False,
        "verify_exp": False,
    }
)


class Claims(msgspec.Struct, frozen=True):
    """What a verified token says. Times are Unix seconds; `not_before` is the later of iat and nbf."""

    client_id: str
    kid: str
    not_before: int
    expires_at: int
    jti: str

    def is_early(self, now: float) -> bool:
        """Whether iat or nbf lies in the future, leeway granted."""
        return self.not_before > now + LEEWAY_SECONDS

    def is_expired(self, now: float) -> bool:
        """Whether exp is reached (RFC 7519 §4.1.4: "on or after"), leeway granted."""
        return now >= self.expires_at + LEEWAY_SECONDS


class _Header(NamedTuple):
    alg: str
    kid: str | None


def token_refused() -> TokenInvalid:
    """The one refusal of a token that proves nothing: its text never tells which rule was broken."""
    return TokenInvalid("the bearer token is not acceptable; docs/tokens.md lists what it must be")


def verify_token(token: str, lookup: Callable[[str], Client | None], audience: str, now: dt.datetime) -> Claims:
    """The claims of a token signed by a key registered for its client.

    Raises `TokenInvalid` for anything that proves nothing; after a valid signature `TokenExpired` and
    `ClientSuspended`.
    """
    # 1. Form: size, three parts, each canonical base64url without padding.
    header_bytes, claims_bytes = _open(token)
    # 2. Header: exactly alg, typ and at most kid.
    header = _parse_header(header_bytes)
    # 3. Claims: types, aud, iss = sub, lifetime.
    claims = _parse_claims(claims_bytes, audience)
    # 4. Signature, by a key registered for this client.
    client = lookup(claims.client_id)
    key = _find_signer(token, header, claims.client_id, client, audience)
    if client is None or key is None:
        raise token_refused()
    # 5. Time, then the client's state: said only to the holder of the key.
    claims = msgspec.structs.replace(claims, kid=key.kid)
    check_state(claims, client, now.timestamp())
    return claims


def check_state(claims: Claims, client: Client, now: float) -> None:
    """What must hold at every use of a token whose signature was once verified.

    Raises `TokenInvalid` (early, or its key is not the client's any more), `TokenExpired`, `ClientSuspended`.
    """
    if not client.has_key(claims.kid, now) or claims.is_early(now):
        raise token_refused()
    if claims.is_expired(now):
        raise TokenExpired("exp has passed; mint a new token and compare your clock with server_time")
    if client.suspended:
        raise ClientSuspended("an order suspended this client; its administrator can be asked why")


def _open(token: str) -> tuple[bytes, bytes]:
    parts = token.split(".") if len(token) <= MAX_TOKEN_CHARS else ()
    if len(parts) != 3 or not all(parts):
        raise token_refused()
    try:
        header, claims, _signature = (b64u_decode(part) for part in parts)
    except SignatureRejected:
        raise token_refused() from None
    return header, claims


def _parse_header(data: bytes) -> _Header:
    """crit, b64, zip, jku, jwk, x5u, x5c and cty fall with every other member: none of them is ever followed."""
    header = _parse_object(data)
    alg, kid = header.get("alg"), header.get("kid")
    if not _HEADER_MEMBERS.issuperset(header) or header.get("typ") != _TYP:
        raise token_refused()
    if not isinstance(alg, str) or alg not in _DUMMIES or not ("kid" not in header or isinstance(kid, str)):
        raise token_refused()
    return _Header(alg, kid)


def _parse_claims(data: bytes, audience: str) -> Claims:
    """Types first, since PyJWT takes `"1700000000"`, 1.5 and true for times and a list for an audience."""
    claims = _parse_object(data)
    client_id, jti = claims.get("iss"), claims.get("jti")
    issued, expires, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", claims.get("iat"))
    if not isinstance(client_id, str) or not is_client_id(client_id) or claims.get("sub") != client_id:
        raise token_refused()
    if claims.get("aud") != audience:
        raise token_refused()
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI_CHARS or not jti.isprintable():
        raise token_refused()
    # `type is`: a bool is an int, and must not pass for one.
    if type(issued) is not int or type(expires) is not int or type(not_before) is not int:
        raise token_refused()
    if not issued < expires <= issued + MAX_LIFETIME_SECONDS:
        raise token_refused()
    # Which key signed is for step 4 to find.
    return Claims(client_id=client_id, kid="", not_before=max(issued, not_before), expires_at=expires, jti=jti)


def _find_signer(token: str, header: _Header, client_id: str, client: Client | None, audience: str) -> PublicKey | None:
    """The client's key that signed, after the same number of verifications for every token that is refused."""
    for key in _candidates(header, client):
        try:
            _JWT.decode_complete(
                token, key.key, algorithms=[key.alg], audience=audience, issuer=client_id, subject=client_id
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.PyJWTError:
            raise token_refused() from None
        return None if key is _DUMMIES[header.alg] else key
    return None


def _candidates(header: _Header, client: Client | None) -> Sequence[PublicKey]:
    """Keys to try, made up to a number that depends on the header alone by keys that nobody holds."""
    keys = client.keys if client is not None else {}
    if header.kid is not None:
        count, named = 1, keys.get(header.kid)
        found = [] if named is None or named.alg != header.alg else [named]
    else:
        count = TRIALS_WITHOUT_KID
        found = [key for key in keys.values() if key.alg == header.alg]
    # More keys of this alg than trials: the token must name its key.
    fitting = found if len(found) <= count else []
    return [*fitting, *[_DUMMIES[header.alg]] * (count - len(fitting))]


def _parse_object(data: bytes) -> dict[str, Any]:
    """One JSON object in UTF-8 with distinct members at every level and no NaN or Infinity."""
    try:
        value = parse_strict(data)
    except ValueError:
        raise token_refused() from None
    if not isinstance(value, dict):
        raise token_refused()
    return value
