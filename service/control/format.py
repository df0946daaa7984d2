"""One order: its kinds, its bodies, its bytes, and what may be written into it. Pure.

An order is a compact JWS (typ `relais-order+jws`) over the RFC 8785 form of its ten members. Its digest, which
the next order names as `previous`, is the SHA-256 of the JWS's ASCII bytes. What has been signed stays readable:
rules about reasons and scopes bind whoever *issues* an order (`check_order`), not who reads an old one.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from service.base64url import sha256_b64u
from service.errors import ChainBroken, InvalidField, SignatureRejected
from service.identifiers import check_finess, is_client_id, parse_amc
from service.jwk import is_private_jwk
from service.strictjson import canonical

ORDER_TYP: Final = "relais-order+jws"
#: The scope that means every AMC.
EVERYWHERE: Final = "*"
REASON_CHARACTERS: Final = 500
NOTICE_CHARACTERS: Final = 500
NOTICE_ID: Final = r"^[a-z0-9][a-z0-9._-]{0,63}\Z"

#: 13 digits are a NIR without its key. What people put between its groups does not make it another number, and
#: neither does a Corsican department. Dates and times with `:` or `T` in them stay below; a list of numbers may not.
_BETWEEN: Final = r"[\s.\-\u2010-\u2015\u2212_/]*"
_LONG_RUN: Final = re.compile(rf"\d(?:{_BETWEEN}\d){{12,}}")
_CORSICAN: Final = re.compile(rf"\d(?:{_BETWEEN}\d){{4}}{_BETWEEN}2{_BETWEEN}[ABab](?:{_BETWEEN}\d){{6}}")
_AMC: Final = re.compile(r"[0-9]{10}")
_Body = TypeVar("_Body", bound=msgspec.Struct)

ModeName = Literal["live", "degraded", "suspended"]
Severity = Literal["info", "warning", "critical"]
#: An order's version and its compact JWS, unverified.
StoredOrder = tuple[int, str]
Instant = Annotated[dt.datetime, msgspec.Meta(tz=True)]
_Sequence = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class Kind(StrEnum):
    """What an order does. A kind this version does not know stops the fold."""

    MODE_SET = "mode.set"
    MODE_CLEAR = "mode.clear"
    SNAPSHOT_ACTIVATE = "snapshot.activate"
    SNAPSHOT_PIN = "snapshot.pin"
    SNAPSHOT_UNPIN = "snapshot.unpin"
    CLIENT_REGISTER = "client.register"
    CLIENT_LIMIT = "client.limit"
    CLIENT_SUSPEND = "client.suspend"
    CLIENT_RESUME = "client.resume"
    NOTICE_PUT = "notice.put"
    NOTICE_WITHDRAW = "notice.withdraw"


#: Kinds whose effect may end by itself. A client's suspension may not: only an order lifts it.
_MAY_END: Final = frozenset({Kind.MODE_SET, Kind.SNAPSHOT_PIN, Kind.CLIENT_LIMIT, Kind.NOTICE_PUT})
#: Kinds that must: nobody goes back to older data for ever without saying so again.
_MUST_END: Final = frozenset({Kind.SNAPSHOT_PIN})


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision: who, why, from when, until when, and the order before it."""

    version: _Sequence
    at: Instant
    actor: str
    kind: str
    scope: str
    body: dict[str, Any]
    reason: str
    until: Instant | None
    approved_by: str | None
    previous: str | None


class Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an order that says everything by its kind and scope."""


class ModeSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `mode.set`."""

    mode: ModeName


class Activate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `snapshot.activate`: `counts` feed the floor, `accepted` are findings of the guard an admin overrode."""

    sequence: _Sequence
    digest: str
    counts: dict[str, Any]
    accepted: list[Any] = []


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `snapshot.pin`."""

    sequence: _Sequence
    digest: str


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of `client.limit`: what replaces the registration's own, member by member."""

    daily: int | msgspec.UnsetType | None = msgspec.UNSET
    burst: int | msgspec.UnsetType | None = msgspec.UNSET
    unknown: int | msgspec.UnsetType | None = msgspec.UNSET
    watch: Literal["enforce", "report"] | msgspec.UnsetType = msgspec.UNSET


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of `client.suspend` and `client.resume`: the client itself, or what it asks for one FINESS."""

    finess: str | msgspec.UnsetType = msgspec.UNSET


class NoticePut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """Body of `notice.put`: shown from `from` (at once when null) until the order's end."""

    id: Annotated[str, msgspec.Meta(pattern=NOTICE_ID)]
    severity: Severity
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=NOTICE_CHARACTERS)]
    since: Instant | None = None


class NoticeWithdraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `notice.withdraw`."""

    id: str


#: A registration is opaque here: access parses it, and one that does not parse must cost one client, not the chain.
_BODIES: Final[Mapping[Kind, type[msgspec.Struct]]] = {
    Kind.MODE_SET: ModeSet,
    Kind.MODE_CLEAR: Empty,
    Kind.SNAPSHOT_ACTIVATE: Activate,
    Kind.SNAPSHOT_PIN: Pin,
    Kind.SNAPSHOT_UNPIN: Empty,
    Kind.CLIENT_LIMIT: Limit,
    Kind.CLIENT_SUSPEND: Standing,
    Kind.CLIENT_RESUME: Standing,
    Kind.NOTICE_PUT: NoticePut,
    Kind.NOTICE_WITHDRAW: NoticeWithdraw,
}


def instant_text(instant: dt.datetime) -> str:
    """An instant as orders write it: RFC 3339, UTC, milliseconds."""
    return instant.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_instant(text: str, pointer: str = "") -> dt.datetime:
    """An RFC 3339 time with its offset, in UTC. Raises `InvalidField`, which does not quote it."""
    try:
        instant = dt.datetime.fromisoformat(text)
        if instant.tzinfo is not None:
            return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):  # the last hours of the year 9999 are beyond it in UTC
        pass
    raise InvalidField("an RFC 3339 time with its offset", pointer)


def to_milliseconds(instant: dt.datetime) -> dt.datetime:
    """The instant an order can hold: what `instant_text` keeps of it."""
    return instant.astimezone(dt.UTC).replace(microsecond=instant.microsecond // 1000 * 1000)


def order_payload(order: Order) -> bytes:
    """The RFC 8785 bytes that are signed."""
    members = {name: getattr(order, name) for name in Order.__struct_fields__}
    members["at"] = instant_text(order.at)
    members["until"] = None if order.until is None else instant_text(order.until)
    return canonical(members)


def parse_order(payload: bytes) -> Order:
    """The order in a verified payload. Raises `SignatureRejected` unless the bytes are its one canonical form.

    Comparing with the form written anew refuses in one stroke repeated members, floats that lost digits, spaces
    and any other spelling of a time.
    """
    try:
        order = msgspec.json.decode(payload, type=Order)
        if order_payload(order) != payload:
            raise SignatureRejected("the order is not in canonical form")
        _check_json(order.body, depth=0)
    except InvalidField as error:
        raise SignatureRejected("the order's body holds what the canonical form cannot") from error
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SignatureRejected("the payload is not an order") from error
    return order


def order_digest(jws: str) -> str:
    """What the next order names as `previous`."""
    return sha256_b64u(jws.encode("ascii"))


def order_kind(order: Order) -> Kind:
    """The order's kind. Raises `ChainBroken` for one this version does not know: to ignore it might be to loosen."""
    try:
        return Kind(order.kind)
    except ValueError as error:
        raise ChainBroken(f"order {order.version} is of a kind this version does not know: upgrade") from error


def order_body(order: Order, body_type: type[_Body]) -> _Body:
    """The order's body as its kind defines it. Raises `InvalidField`."""
    try:
        return msgspec.convert(order.body, body_type)
    except msgspec.ValidationError as error:
        # The library's text may quote the value.
        raise InvalidField(f"a body of {order.kind} has other members, types or ranges", "/body") from error


def check_reason(text: str, pointer: str = "/reason") -> None:
    """Raises `InvalidField` for a text that is empty, too long, unprintable, or may hold a NIR."""
    if not text.strip():
        raise InvalidField("say why: a reason is mandatory", pointer)
    if len(text) > REASON_CHARACTERS:
        raise InvalidField(f"longer than {REASON_CHARACTERS} characters", pointer)
    # Cc moves a terminal's cursor, Cs (lone surrogates) is not UTF-8; Cf is invisible and would split a number; Zl and
    # Zp end a line for many a reader of logs.
    if any(unicodedata.category(character) in {"Cc", "Cs", "Cf", "Zl", "Zp"} for character in text):
        raise InvalidField("control, invisible or broken characters", pointer)
    folded = unicodedata.normalize("NFKC", text)
    if _LONG_RUN.search(folded) or _CORSICAN.search(folded):
        raise InvalidField("13 digits or more in a row could be somebody's NIR: leave them out", pointer)


def check_order(order: Order) -> None:
    """Raises `InvalidField` naming what may not be issued; `ChainBroken` for an unknown kind."""
    kind = order_kind(order)
    check_reason(order.reason)
    if not order.actor.strip():
        raise InvalidField("an order has an author", "/actor")
    _check_scope(kind, order.scope)
    _check_body(kind, order)
    if order.until is None:
        if kind in _MUST_END:
            raise InvalidField(f"{kind} needs an end: say until when", "/until")
        return
    if kind not in _MAY_END:
        raise InvalidField(f"{kind} has no end of its own: it takes another order to undo it", "/until")
    if order.until <= order.at:
        raise InvalidField("the end lies in the past", "/until")


def parse_scope(text: str) -> str:
    """`*` or an AMC number in its canonical form, ten digits. Raises `InvalidField`."""
    if text == EVERYWHERE:
        return text
    try:
        return parse_amc(text)
    except InvalidField as error:
        raise InvalidField("a scope is `*` or an AMC number", "/scope") from error


def _check_scope(kind: Kind, scope: str) -> None:
    subject = kind.partition(".")[0]
    if subject == "client":
        good = is_client_id(scope)
    else:
        good = scope == EVERYWHERE or (subject != "snapshot" and _AMC.fullmatch(scope) is not None)
    if not good:
        raise InvalidField(f"not a scope of {kind}", "/scope")


def _check_body(kind: Kind, order: Order) -> None:
    _check_json(order.body, depth=0)
    if kind in _BODIES:
        body = order_body(order, _BODIES[kind])
        if isinstance(body, NoticePut):
            check_reason(body.text, "/body/text")
        elif isinstance(body, Standing):
            _check_finess(body.finess)
    elif not isinstance(order.body.get("keys"), list):
        raise InvalidField("a registration lists its keys", "/body/keys")
    else:
        for key in order.body["keys"]:
            # The chain is read by every worker and exported: a secret in it could never be taken back.
            if not isinstance(key, dict) or is_private_jwk(key):
                raise InvalidField("not a public JWK", "/body/keys")


def _check_finess(finess: str | msgspec.UnsetType) -> None:
    if finess is not msgspec.UNSET and check_finess(finess) != finess:
        raise InvalidField("a FINESS number is written in capitals", "/body/finess")


def _check_json(value: Any, depth: int) -> None:
    """What our canonical form can hold: no floats, no large integers, keys in ASCII, little nesting."""
    if depth > 16:
        raise InvalidField("nested too deeply", "/body")
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise InvalidField("a member's name is not ASCII text", "/body")
            _check_json(member, depth + 1)
    elif isinstance(value, list | tuple):
        for member in value:
            _check_json(member, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**53):
        raise InvalidField("a number that is not an exact integer", "/body")
    elif value is not None and not isinstance(value, int):
        raise InvalidField("not a JSON value", "/body")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidField("text that is not Unicode", "/body") from error
