"""Who may ask: clients, their classes, keys and budgets. Pure.

A client proves itself with its own private key only; we keep the public part. Keys are known by their RFC 7638
thumbprint, so that replacing a key always changes its `kid` and a token by the former key stops at once.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from service.errors import InvalidField, KeyRejected
from service.identifiers import check_finess, is_client_id
from service.jwk import PublicKey, parse_public_jwk, thumbprint

#: A rotation needs two; a hub with several sites some more. Bounded so that an order stays small.
MAX_KEYS: Final = 16
#: The year 9999, beyond which no instant can be written.
_MOST_SECONDS: Final = 253_402_300_800
_POINTER_STEP: Final = re.compile(r"\.([a-z_]+)|\[(\d+)\]")


class ClientClass(StrEnum):
    """What a client is. Only pharmacies and hubs ask for rights."""

    PHARMACY = "pharmacy"
    HUB = "hub"
    VENDOR = "vendor"
    OPERATOR = "operator"
    ADMIN = "admin"
    AUDITOR = "auditor"


#: Classes that speak to the admin server.
ADMIN_CLASSES: Final = frozenset({ClientClass.OPERATOR, ClientClass.ADMIN, ClientClass.AUDITOR})


class Watch(StrEnum):
    """What the sentinel may do about this client: act, or only say what it would have done."""

    ENFORCE = "enforce"
    REPORT = "report"


class Budgets(msgspec.Struct, frozen=True):
    """Lookups a day, the burst, and `beneficiary_unknown` answers a day before more of them stop the client."""

    daily: int
    burst: int
    unknown: int


#: Answers about nobody known that a larger budget allows where nothing else is said.
_UNKNOWN_PERCENT: Final = 30
#: Budgets of a class for a client (of a hub: for each FINESS) whose registration names none.
CLASS_BUDGETS: Final[Mapping[str, Budgets]] = dict.fromkeys(ClientClass, Budgets(800, 60, 300))


class Client(msgspec.Struct, frozen=True):
    """A registered client: `keys` by kid; `finess_index` is `finess` for membership (a hub may have thousands).

    `suspended_finess` are pharmacies for which it is refused, though it is not as a whole.
    `key_ends` are the Unix seconds from which a key of a rotation counts no more, by kid; the others have no end.
    """

    id: str
    client_class: ClientClass
    finess: tuple[str, ...]
    finess_index: frozenset[str]
    keys: Mapping[str, PublicKey]
    daily: int
    burst: int
    unknown: int
    watch: Watch
    suspended: bool
    key_ends: Mapping[str, int] = {}
    suspended_finess: frozenset[str] = frozenset()

    def has_key(self, kid: str, now: float) -> bool:
        """Whether the client may sign by this key now (Unix seconds)."""
        return kid in self.keys and now < self.key_ends.get(kid, math.inf)


_Count = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a registration order."""

    client_class: ClientClass = msgspec.field(name="class")
    keys: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=MAX_KEYS)]
    finess: list[str] = msgspec.field(default_factory=list)
    daily: _Count | None = None
    burst: _Count | None = None
    unknown: _Count | None = None
    watch: Watch = Watch.ENFORCE


def audience_for(client_class: ClientClass, instance: str) -> str:
    """The `aud` of a class's tokens: the instance's name, or its admin server's."""
    return admin_audience(instance) if client_class in ADMIN_CLASSES else instance


def admin_audience(instance: str) -> str:
    """The `aud` the admin server asks for."""
    return f"{instance}-admin"


def parse_client(
    client_id: str,
    body: Mapping[str, Any],
    *,
    suspended: bool = False,
    known_keys: Mapping[str, PublicKey] | None = None,
) -> Client:
    """The client a registration describes; absent budgets are those of its class. Raises `InvalidField`.

    `known_keys` are those of the same `keys`, parsed before: they take most of the time.
    """
    terms, jwks = _parse_terms(client_id, body)
    keys = parse_keys(jwks) if known_keys is None else known_keys
    return msgspec.structs.replace(terms, keys=keys, key_ends=_parse_key_ends(jwks, keys), suspended=suspended)


def parse_terms(client_id: str, body: Mapping[str, Any]) -> Client:
    """The same client without its keys, where thousands are looked at. Raises `InvalidField`."""
    return _parse_terms(client_id, body)[0]


def _parse_terms(client_id: str, body: Mapping[str, Any]) -> tuple[Client, list[dict[str, Any]]]:
    if not is_client_id(client_id):
        raise InvalidField("a client id is 1 to 64 of a-z, 0-9, '.', '_', '-', and starts with a letter or digit")
    try:
        registration = msgspec.convert(body, _Body)
    except msgspec.ValidationError as error:
        # The library's text may quote the value: only the place is kept.
        raise InvalidField("wrong type, range or name in the registration", _pointer(str(error))) from None
    budgets = CLASS_BUDGETS[registration.client_class]
    daily = budgets.daily if registration.daily is None else registration.daily
    unknown = max(budgets.unknown, daily * _UNKNOWN_PERCENT // 100)
    finess = _parse_finess(registration)
    client = Client(
        id=client_id,
        client_class=registration.client_class,
        finess=finess,
        finess_index=frozenset(finess),
        keys={},
        daily=daily,
        burst=budgets.burst if registration.burst is None else registration.burst,
        unknown=unknown if registration.unknown is None else registration.unknown,
        watch=registration.watch,
        suspended=False,
    )
    return client, registration.keys


def _parse_key_ends(jwks: Iterable[Mapping[str, Any]], kids: Iterable[str]) -> dict[str, int]:
    """`exp` as the registry of JWK parameters has it, a NumericDate; here whole seconds."""
    ends: dict[str, int] = {}
    for position, (jwk, kid) in enumerate(zip(jwks, kids, strict=True)):
        if "exp" not in jwk:
            continue
        end = jwk["exp"]
        # `type is`: a bool is an int, and must not pass for one.
        if type(end) is not int or not 0 < end < _MOST_SECONDS:
            raise InvalidField("a key's exp is whole Unix seconds", f"/keys/{position}/exp")
        ends[kid] = end
    return ends


def parse_keys(jwks: Iterable[Mapping[str, Any]]) -> dict[str, PublicKey]:
    """Public keys by kid; private members are dropped. Raises `InvalidField` for a bad, weak or repeated key."""
    keys: dict[str, PublicKey] = {}
    for position, jwk in enumerate(jwks):
        pointer = f"/keys/{position}"
        try:
            key = parse_public_jwk(jwk)
        except KeyRejected as error:
            raise InvalidField(error.detail, pointer) from None
        if key.kid in keys:
            raise InvalidField("the same key twice", pointer)
        keys[key.kid] = key
    return keys


def client_body(client: Client) -> dict[str, Any]:
    """The body of the order that registers this client: `parse_client` of it gives the same client."""
    return {
        "class": str(client.client_class),
        "finess": list(client.finess),
        "keys": [
            {**key.jwk, **({"exp": client.key_ends[kid]} if kid in client.key_ends else {})}
            for kid, key in client.keys.items()
        ],
        "daily": client.daily,
        "burst": client.burst,
        "unknown": client.unknown,
        "watch": str(client.watch),
    }


def client_members(client_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A registration for a machine: `id` and its body, keys with `kid` and `alg`; `error` where it does not parse."""
    try:
        client = parse_client(client_id, body)
    except InvalidField as error:
        return {"id": client_id, "error": error.detail}
    members = client_body(client)
    keys = [
        {**jwk, "kid": key.kid, "alg": key.alg} for jwk, key in zip(members["keys"], client.keys.values(), strict=True)
    ]
    return {"id": client_id, **members, "keys": keys}


def key_ids(body: Mapping[str, Any]) -> frozenset[str]:
    """The kids of a registration's keys, computed from their members alone: thousands of bodies are compared."""
    kids: set[str] = set()
    for jwk in body.get("keys", ()):
        with contextlib.suppress(KeyError, TypeError):
            kids.add(thumbprint(jwk))
    return frozenset(kids)


def _parse_finess(registration: _Body) -> tuple[str, ...]:
    numbers: dict[str, None] = {}
    for position, text in enumerate(registration.finess):
        try:
            number = check_finess(text)
        except InvalidField as error:
            raise InvalidField(error.detail, f"/finess/{position}") from None
        if number in numbers:
            raise InvalidField("the same FINESS twice", f"/finess/{position}")
        numbers[number] = None
    if registration.client_class is ClientClass.PHARMACY and len(numbers) != 1:
        raise InvalidField("a pharmacy has exactly one FINESS", "/finess")
    return tuple(numbers)


def _pointer(text: str) -> str:
    """The RFC 6901 pointer behind the library's `… - at `$.keys[0]``."""
    path = text.rpartition(" - at `$")[2] if " - at `$" in text else ""
    return "".join(f"/{name or index}" for name, index in _POINTER_STEP.findall(path))
